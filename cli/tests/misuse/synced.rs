//! What the tool has told of is on the disk.

use std::fs;
use std::process::Command;

use crate::Store;

#[test]
fn an_archive_and_then_its_name_are_on_the_disk_before_they_are_told_of() {
    let store = Store::of(3);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-o", "calls", "-e", "trace=fsync,linkat,write"]);
    strace.args([env!("CARGO_BIN_EXE_sessile"), "export", "sessions.redb", "a.jsonl"]);
    let traced = strace.current_dir(store.folder.path()).output();
    let Some(traced) = traced.ok().filter(|it| it.status.success()) else {
        eprintln!("skipped: strace is missing, or may trace nothing");
        return;
    };
    assert_eq!(traced.stdout, b"3 sessions in a.jsonl\n");
    let calls = fs::read_to_string(store.path("calls")).unwrap();
    let folder = store.folder.path().to_str().unwrap().to_owned();
    let after = |from: usize, wanted: &dyn Fn(&str) -> bool| {
        let found = calls.lines().skip(from).position(wanted);
        from + found.unwrap_or_else(|| panic!("not from line {from} on: {calls}")) + 1
    };
    let named = after(0, &|call| call.contains("linkat(") && call.contains("a.jsonl"));
    let bytes = |call: &str| call.contains("fsync(") && call.contains(&format!("{folder}/#"));
    assert!(after(0, &bytes) < named, "{calls}");
    let synced =
        after(named, &|call| call.contains("fsync(") && call.contains(&format!("<{folder}>")));
    after(synced, &|call| call.contains("3 sessions in a.jsonl"));
}
