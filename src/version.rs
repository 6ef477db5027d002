//! Which program this is.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from; `debug` in a build for tests, `unknown` where there was no repository.
pub const COMMIT: &str = env!("PERDURA_COMMIT");

/// Both, as people read them.
pub const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PERDURA_COMMIT"), ")");
