//! What keeps data and passwords to the user that the program runs as: modes of files, core files, command lines.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

use crate::config::settings::Settings;

/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;

/// Files and folders that this process makes from now on, RocksDB's included, are their owner's: 0600 and 0700.
pub fn keep_files_private() {
    umask(Mode::from_raw_mode(OTHERS));
}

/// This process leaves no core file: it would hold the data. A core that is piped to a program knows no limit, so the process is not
/// dumpable either.
pub fn leave_no_core() {
    let limit = getrlimit(Resource::Core);
    let none = Rlimit { current: Some(0), maximum: limit.maximum };
    let limited = setrlimit(Resource::Core, none);
    if let Err(error) = limited.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        tracing::warn!(%error, "a crash may leave a core file, which holds data");
    }
}

/// Says so once if others than the owner may look into the data folder.
pub fn warn_of_open_folder(dir: &Path) {
    let Ok(metadata) = std::fs::metadata(dir) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        tracing::warn!(
            dir = %dir.display(),
            mode = format_args!("{mode:04o}"),
            "other users of this machine may look into the data folder: chmod -R go= keeps it to its owner"
        );
    }
}

/// Says so if a password is in the command line, which every user of the machine can read.
pub fn warn_of_shown_secrets(settings: &Settings) {
    for name in settings.secrets_in_flags() {
        tracing::warn!(
            setting = name,
            "a password in the command line is shown by ps: give it in the environment or in the file"
        );
    }
}
