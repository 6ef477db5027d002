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
    Ok(is_yes(&mut io::stdin().lock())?)
}

/// Whether the next line says yes. The end of the input does not.
fn is_yes(input: &mut impl BufRead) -> io::Result<bool> {
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in [("y\n", true), ("YES\n", true), ("n\n", false), ("\n", false), ("", false)]
        {
            assert_eq!(is_yes(&mut answer.as_bytes()).expect("bytes can be read"), expected, "{answer:?}");
        }
        assert!(!is_yes(&mut &b"yesterday\ny\n"[..]).expect("bytes can be read"));
    }
}
