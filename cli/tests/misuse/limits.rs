//! What has an end or none: files up to a limit, a pipe, and an output whose reader has gone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use sessile::{SessionKey, SessionStore};

use crate::program::{Answer, Program, ended};
use crate::{Store, ends};

/// A folder with a store of one session that has as many letters, in `large.redb`.
fn large(letters: usize) -> (Store, SessionKey) {
    let store = Store::of(1);
    let builder = SessionStore::<String>::builder().manual_maintenance().content_name("shop");
    let builder = builder.max_content_len(16 << 20);
    let open = builder.open(store.path("large.redb")).unwrap();
    let key = open.create("x".repeat(letters)).unwrap().key();
    open.close().unwrap();
    (store, key)
}

#[test]
fn a_limit_on_the_size_of_files_is_told_of_and_leaves_no_draft() {
    let (store, _) = large(2 << 20);
    store.prints(0, &["export", "large.redb", "a.jsonl", "--with-content"]);
    store.prints(0, &["backup", "large.redb", "backup.redb"]);
    let before = store.names();
    for arguments in [
        &["backup", "large.redb", "new.redb"][..],
        &["restore", "backup.redb", "new.redb"],
        &["restore", "backup.redb", "sessions.redb", "--replace"],
        &["salvage", "large.redb", "new.redb"],
        &["export", "large.redb", "new.jsonl", "--with-content"],
        &["import", "a.jsonl", "sessions.redb"],
        &["copy", "large.redb", "sessions.redb"],
    ] {
        let mut shell = Command::new("sh");
        // 1 MiB, in blocks of 512 bytes.
        shell.args(["-c", "ulimit -f 2048; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_sessile")]);
        let output = shell.args(arguments).current_dir(store.path("")).output().unwrap();
        let (_, err) = ends(&output, 2, arguments);
        assert!(err.contains("File too large"), "{arguments:?}: {err}");
        assert!(err.contains("raise the limit"), "{arguments:?}: {err}");
        // Of the verbs that write a session after the other, the failure is of one session.
        let is_in_parts = ["import", "copy"].contains(&arguments[0]);
        assert_eq!(err.contains("before stays; repeat"), is_in_parts, "{arguments:?}: {err}");
        assert_eq!(store.names(), before, "{arguments:?}");
    }
    store.prints(0, &["check", "sessions.redb"]);
}

impl Store {
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

#[test]
fn an_archive_that_is_a_pipe_or_a_folder_is_refused_at_once() {
    let store = Store::of(0);
    assert!(Command::new("mkfifo").arg(store.path("pipe")).status().unwrap().success());
    for archive in ["pipe", ".", "/dev/null"] {
        let arguments = ["import", archive, "new.redb", "--create"];
        let child = store.command(&arguments).spawn().unwrap();
        let (_, err) = ends(&ended(child), 2, &arguments);
        assert!(err.contains("not a regular file"), "{err}");
    }
    assert!(!store.path("new.redb").exists());
}

#[test]
fn a_long_content_is_shortened_in_a_list_and_whole_elsewhere() {
    let (store, key) = large(40_000);
    let (out, _) = store.prints(0, &["list", "large.redb", "--content"]);
    assert_eq!(out.lines().count(), 2, "{} bytes", out.len());
    assert!(out.contains("sessile show") && out.len() < 12_000, "{} bytes", out.len());
    let whole = "78".repeat(40_000);
    let key = key.to_string();
    for arguments in
        [&["show", "large.redb", &key][..], &["list", "large.redb", "--content", "--json"]]
    {
        let (out, _) = store.prints(0, arguments);
        assert!(out.contains(&whole), "{arguments:?}");
    }
}

/// One event, and then nothing but signs of life.
const QUIET: Answer = |_, out| {
    let key = "00000000000000000000000000000001";
    let event = format!(
        r#"{{"event":"created","key":"{key}","user":{{"number":"9007199254740993"}},"text":""}}"#
    );
    writeln!(out, r#"{{"alive":{{}}}}"#)?;
    writeln!(out, r#"{{"event":{event}}}"#)?;
    loop {
        writeln!(out, r#"{{"alive":{{}}}}"#)?;
        thread::sleep(Duration::from_millis(10));
    }
};

#[test]
fn a_watch_ends_with_its_reader_even_if_nothing_happens() {
    let store = Store::of(0);
    let _program = Program::at(&store.path("door"), QUIET);
    let arguments = ["watch", "door", "--json"];
    let mut child = store.command(&arguments).spawn().unwrap();
    let mut event = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut event).unwrap();
    assert!(event.contains(r#""user_argument":"9007199254740993""#), "{event}");
    ends(&ended(child), 0, &arguments);
}
