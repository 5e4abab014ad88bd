//! Real killed processes: this test program starts itself, and the child works until it is killed.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use sessile::{SessionId, SessionStore};

use super::Choices;

const CHILD: &str = "SESSILE_CRASH_CHILD";
const CHILDREN: u64 = 12;

/// The path of the store, if this is the child.
fn is_child() -> Option<std::path::PathBuf> {
    env::var_os(CHILD).map(Into::into)
}

fn say(line: &str) {
    // A line of its own, whatever the test harness has printed before.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Starts this test in another process, kills it after some lines, and returns all of them.
fn kill_after(lines: u64, test: &str, path: &Path) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (mut said, mut killed) = (Vec::new(), false);
    // Output from before the kill is still in the pipe; the last line may be cut short.
    for line in out.lines() {
        let line = line.unwrap();
        if line.starts_with(['+', '?', '-', '.']) {
            said.push(line);
        }
        if said.len() as u64 >= lines && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself: {said:?}");
    said
}

#[test]
fn a_killed_process_leaves_everything_it_acknowledged() {
    if let Some(path) = is_child() {
        return work(&path);
    }
    let test = "crash::killed::a_killed_process_leaves_everything_it_acknowledged";
    let mut choices = Choices(1);
    for _ in 0..CHILDREN {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let mut there = HashMap::new();
        for line in kill_after(1 + choices.below(150), test, &path) {
            let id = line[1..].to_owned();
            match &line[..1] {
                "+" => there.insert(id, Some(true)),
                "-" => there.insert(id, Some(false)),
                // It began to end the session; whether it did is unknown.
                _ => there.insert(id, None),
            };
        }
        let store = SessionStore::<String>::open(&path).unwrap();
        for (id, expected) in there {
            let Ok(id) = SessionId::parse(&id) else { continue };
            let found = store.read(&id).unwrap().is_some();
            assert!(expected.is_none_or(|expected| expected == found));
        }
    }
}

/// Creates and ends sessions, and reports it: before it begins to end one, and after each.
fn work(path: &Path) {
    let store = SessionStore::<String>::open(path).unwrap();
    let mut choices = Choices(2);
    let mut ids = Vec::new();
    loop {
        let len = choices.below(3_000) as usize;
        let session = store.create_for_user("ann", "x".repeat(len)).unwrap();
        say(&format!("+{}", session.id().encode()));
        ids.push(session.id().clone());
        if ids.len() > 20 {
            let ended: SessionId = ids.swap_remove(choices.below(20) as usize);
            say(&format!("?{}", ended.encode()));
            store.destroy(&ended).unwrap();
            say(&format!("-{}", ended.encode()));
        }
    }
}

#[test]
fn a_process_killed_while_it_creates_stores_leaves_nothing_in_the_way_of_the_next() {
    if let Some(path) = is_child() {
        loop {
            drop(SessionStore::<String>::open(&path).unwrap());
            fs::remove_file(&path).unwrap();
            say(".");
        }
    }
    let test = "crash::killed::\
        a_process_killed_while_it_creates_stores_leaves_nothing_in_the_way_of_the_next";
    for lines in 1..=CHILDREN {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        fs::write(folder.path().join("sessions.redb.old"), "somebody's").unwrap();
        kill_after(lines, test, &path);
        let store = SessionStore::<String>::open(&path).unwrap();
        let id = store.create("new".into()).unwrap().id().clone();
        store.close().unwrap();
        let store = SessionStore::<String>::open(&path).unwrap();
        assert!(store.read(&id).unwrap().is_some());
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["sessions.redb", "sessions.redb.old"]);
        assert_eq!(fs::read(folder.path().join("sessions.redb.old")).unwrap(), b"somebody's");
    }
}
