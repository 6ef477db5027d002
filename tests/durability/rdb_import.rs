//! An RDB file that lies in an object store, as ElastiCache and MemoryDB leave theirs.

use std::process::{Command, Output};

use crate::{perdura, s3};

fn run(args: &[&str], variables: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.args(args).envs(variables.iter().cloned());
    command.output().expect("the program can be run")
}

#[test]
fn a_file_in_an_object_store_is_imported() {
    let (store, source, target) = (s3::Server::start(), perdura().start(), perdura().start());
    let mut client = source.client();
    // Longer than what is fetched at once, compressed or not.
    for n in 0..1000_u64 {
        let value: String = (0..1500).map(|i: u64| (n * 7919 + i * i * 31).to_string()).collect();
        client.check(&format!("SET key{n} {value}"), "+OK");
    }
    let folder = tempfile::tempdir().expect("a folder for files");
    let file = folder.path().join("dump.rdb");
    let (path, from, to) =
        (file.to_string_lossy().into_owned(), source.addr().to_string(), target.addr().to_string());
    let exported = run(&["export", "--rdb", &path, "--addr", &from], &[]);
    assert!(exported.status.success(), "{exported:?}");
    store.put("snapshots/dump.rdb", &std::fs::read(&file).expect("the file is there"));
    let url = store.url("snapshots/dump.rdb");
    let imported = run(&["import", "--rdb", &url, "--addr", &to], &store.variables());
    assert!(imported.status.success(), "{imported:?}");
    let mut there = target.client();
    there.check("DBSIZE", ":1000");
    assert_eq!(there.run("DEBUG DIGEST"), client.run("DEBUG DIGEST"));
    let missing = run(&["import", "--rdb", &store.url("none.rdb"), "--addr", &to], &store.variables());
    assert_eq!(missing.status.code(), Some(4), "{missing:?}");
}
