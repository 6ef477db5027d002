//! The `perdura` binary.

fn main() {}
