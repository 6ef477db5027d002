//! `perdura serve`: one node, until it is told to end.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::open_files::TooFewFiles;
use super::{MISTAKE, arguments, complain, open_files, privacy};
use crate::cli::configuration;
use crate::config::settings::Settings;
use crate::config::{Config, ConfigError};
use crate::{logging, server};

pub fn command() -> Command {
    Command::new("serve")
        .about("Run a node: alone, or one of --initial-cluster")
        .args(arguments::settings_without(&[]))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let (config, settings) = match configure(matches) {
        Ok(configured) => configured,
        Err(error) => {
            complain(error);
            return ExitCode::from(MISTAKE);
        }
    };
    logging::init(config.log_format, config.log_level);
    if !config.core_dumps {
        privacy::leave_no_core();
    }
    for variable in settings.unknown_variables() {
        tracing::warn!(variable, "no setting has this name: ignored");
    }
    for warning in settings.warnings() {
        tracing::warn!("--config: {warning}");
    }
    privacy::warn_of_shown_secrets(&settings);
    privacy::warn_of_open_folder(&config.dir);
    match with_open_files(config) {
        Ok(config) => serve(config),
        Err(error) => {
            complain(error);
            ExitCode::from(MISTAKE)
        }
    }
}

fn configure(matches: &ArgMatches) -> Result<(Config, Settings), ConfigError> {
    let settings = Settings::resolve(&arguments::flags_of(matches), arguments::environment())?;
    let config = configuration::build(&settings)?;
    Ok((config, settings))
}

fn with_open_files(mut config: Config) -> Result<Config, TooFewFiles> {
    let each = if config.members.is_empty() { 1 } else { 2 };
    let fitting = open_files::make_room_for(config.maxclients, each)?;
    if fitting < config.maxclients {
        tracing::warn!(
            maxclients = fitting,
            wanted = config.maxclients,
            "the limit of open files (ulimit -n) allows fewer clients"
        );
        config.maxclients = fitting;
    }
    Ok(config)
}

fn serve(config: Config) -> ! {
    match server::run(config) {
        Ok(()) => end(0),
        Err(error) => {
            tracing::error!("{error}");
            end(1)
        }
    }
}

/// Ends the process at once, whatever its threads do. What is to be durable is; a usual exit would run the destructors of RocksDB's
/// globals first, whose locks its threads may still want: the process then aborted now and then.
fn end(code: i32) -> ! {
    // SAFETY: `_exit` takes no pointer and does not return, so nothing in this process can be used after it. It can't be run under
    // Miri; every test that stops a node in good order and looks at its exit code runs it.
    unsafe { libc::_exit(code) }
}
