//! The command line: `perdura serve`, `status`, `handover`, `doctor`, `debug`, `local-cluster`, `torture`, `checkpoint`, `log`, `digest`, `backup`, `restore`, `recover`, `import`, `export`, `ping`.
//!
//! - Exit codes: 0 is done as asked, 1 is a failure, 2 is a mistake in what was asked (`status`, `handover`, `torture`, `log`, `checkpoint`, `digest`,
//!   `backup`, `restore`, `import`, `export` and `recover` have more); messages go to standard error.
//! - The flags of `serve` are generated from the list of settings, so that no flag exists without its key in the file
//!   and its name in the environment.

mod arguments;
mod backup;
mod checkpoint;
mod configuration;
mod confirm;
mod connection;
mod debug;
mod digest;
mod doctor;
mod export;
mod failure;
mod handover;
mod import;
mod local_cluster;
mod log;
mod open_files;
mod ping;
mod privacy;
mod recover;
mod restore;
mod serve;
mod status;
mod torture;

use std::process::ExitCode;

use clap::Command;

use crate::session::table;

/// A mistake in flags, environment or file.
const MISTAKE: u8 = 2;

/// Does what the command line says.
pub fn main() -> ExitCode {
    privacy::keep_files_private();
    table::know_commands();
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("status", matches)) => status::run(matches),
        Some(("handover", matches)) => handover::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("debug", matches)) => debug::run(matches),
        Some(("local-cluster", matches)) => local_cluster::run(matches),
        Some(("torture", matches)) => torture::run_command(matches),
        Some(("checkpoint", matches)) => checkpoint::run(matches),
        Some(("digest", matches)) => digest::run(matches),
        Some(("ping", matches)) => ping::run(matches),
        Some(("log", matches)) => log::run(matches),
        Some(("backup", matches)) => backup::run(matches),
        Some(("restore", matches)) => restore::run(matches),
        Some(("import", matches)) => import::run(matches),
        Some(("export", matches)) => export::run(matches),
        Some(("recover", matches)) => recover::run(matches),
        _ => ExitCode::from(MISTAKE),
    }
}

fn command() -> Command {
    Command::new("perdura")
        .version(crate::version::TEXT)
        .long_version(crate::version::LONG)
        .about("A durable, Redis-compatible, in-memory database")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(status::command())
        .subcommand(handover::command())
        .subcommand(doctor::command())
        .subcommand(debug::command())
        .subcommand(local_cluster::command())
        .subcommand(torture::command())
        .subcommand(checkpoint::command())
        .subcommand(digest::command())
        .subcommand(ping::command())
        .subcommand(log::command())
        .subcommand(backup::command())
        .subcommand(restore::command())
        .subcommand(import::command())
        .subcommand(export::command())
        .subcommand(recover::command())
}

/// Says what went wrong, to a person.
fn complain(error: impl std::fmt::Display) {
    eprintln!("perdura: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn an_unknown_flag_is_a_mistake_that_names_it() {
        let error = command()
            .try_get_matches_from(["perdura", "serve", "--prot", "1"])
            .expect_err("there is no such flag");
        assert_eq!(error.exit_code(), i32::from(MISTAKE));
        assert!(error.to_string().contains("--prot"));
    }
}
