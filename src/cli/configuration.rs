//! The configuration of a node that is to start: its settings, and the files that they name.

use crate::backup::key::Key;
use crate::config::settings::Settings;
use crate::config::{Config, ConfigError};

/// A configuration with which a node can start. A key for backups that can't be read would be missed when the first backup is to
/// be made, which may be at night.
pub fn build(settings: &Settings) -> Result<Config, ConfigError> {
    let config = Config::build(settings)?;
    let key_file = config.backup.as_ref().and_then(|plan| plan.key_file.as_deref());
    if let Some(Err(error)) = key_file.map(Key::read) {
        return Err(settings.refuse("backup-key-file", error.to_string()));
    }
    Ok(config)
}
