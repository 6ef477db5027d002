//! A question before what can't be undone.

use std::io::{self, BufRead, IsTerminal};

use super::failure::Failure;

/// Whether somebody at the terminal answers with yes.
///
/// # Errors
/// There is no terminal to ask at: who runs this from a script has to say `--yes`.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Mistake(format!(
            "{question} There is no terminal to answer at: say --yes, or --dry-run to see what would be done"
        )));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
