//! What the fuzzers begin with: `tests/fuzz/corpus/TARGET/`, a file each.

use std::path::Path;

/// Calls `check` with each file's bytes, in the order of their names.
pub fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.sort();
    for path in paths {
        eprintln!("{}", path.display());
        check(&std::fs::read(&path).expect("a readable file"));
    }
}
