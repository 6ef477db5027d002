//! Reads the file of `--requirepass-file` again when it changes.
//!
//! A file that can't be used changes nothing: the passwords stay as they are, and the log says why.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{ServerError, spawn};
use crate::admin::shared::Shared;
use crate::config::passwords::Passwords;

/// How often the file is read.
const LOOK: Duration = Duration::from_secs(1);

/// Begins to watch the file, where there is one.
pub fn watch(shared: Arc<Shared>) -> Result<(), ServerError> {
    let Some(path) = shared.config.started_with().requirepass_file.clone() else { return Ok(()) };
    spawn("passwords".to_owned(), move || watch_file(&shared, path))
}

fn watch_file(shared: &Shared, path: PathBuf) {
    let mut told = None;
    loop {
        std::thread::sleep(LOOK);
        match Passwords::read(&path) {
            Ok(passwords) => {
                told = None;
                if shared.config.replace_passwords(passwords) {
                    tracing::info!(file = %path.display(), "the passwords have changed");
                }
            }
            Err(reason) => {
                if told.as_ref() != Some(&reason) {
                    tracing::warn!("--requirepass-file: {reason}; the passwords stay as they are");
                }
                told = Some(reason);
            }
        }
    }
}
