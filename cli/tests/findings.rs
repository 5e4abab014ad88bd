//! The tool's findings: for every exit code, the text gives the reason.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test reports by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use redb::{Database, TableDefinition};
use serde_json::Value;
use sessile::{Salvage, SessionKey, SessionStore};

const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
const PAGE: usize = 4_096;

struct Store {
    folder: tempfile::TempDir,
    keys: Vec<SessionKey>,
}

impl Store {
    /// A closed store of this many sessions, of Ann.
    fn of(sessions: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let keys = (0..sessions).map(|it| store.create_for_user("ann", it).unwrap().key());
        let keys = keys.collect();
        store.close().unwrap();
        Self { folder, keys }
    }

    /// Damages the record of the first session.
    fn damaged(self) -> Self {
        let database = Database::open(self.path("sessions.redb")).unwrap();
        let writing = database.begin_write().unwrap();
        let mut table = writing.open_table(SESSIONS).unwrap();
        table.insert(self.keys[0].as_bytes(), &[0][..]).unwrap();
        drop(table);
        writing.commit().unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a command prints on both outputs, which must end with this exit code.
    fn prints(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_sessile"))
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
        (out, err)
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(code, arguments).0).unwrap()
    }
}

fn open(folder: &Path) -> SessionStore<u64> {
    SessionStore::builder().manual_maintenance().open(folder.join("sessions.redb")).unwrap()
}

#[test]
fn a_damaged_record_is_told_of_by_each_verb_that_ends_with_1_for_it() {
    let store = Store::of(2).damaged();
    for arguments in [
        &["stats", "sessions.redb"][..],
        &["list", "sessions.redb"],
        &["check", "sessions.redb"],
        &["salvage", "sessions.redb", "salvaged.redb"],
        &["backup", "sessions.redb", "backup.redb"],
        &["restore", "sessions.redb", "restored.redb"],
        &["export", "sessions.redb", "a.jsonl"],
        &["copy", "sessions.redb", "copy.redb", "--create"],
    ] {
        let (out, err) = store.prints(1, arguments);
        let told = format!("{out}{err}");
        assert!(told.contains("damaged"), "{arguments:?}: {told}");
        for wrong in ["1 damaged records", "1 problems", "0 damaged"] {
            assert!(!told.contains(wrong), "{arguments:?}: {told}");
        }
    }
}

/// What a command tells whose reader has closed its output, and its exit code.
fn without_reader(store: &Store, arguments: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.args(arguments).current_dir(store.folder.path()).stdin(Stdio::null());
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let sound = Store::of(2);
    for arguments in [
        &["stats", "sessions.redb"][..],
        &["list", "sessions.redb"],
        &["list", "sessions.redb", "--json"],
        &["list", "sessions.redb", "--users"],
        &["check", "sessions.redb"],
        &["man"],
        &["completions", "bash"],
    ] {
        assert_eq!(without_reader(&sound, arguments), (Some(0), String::new()), "{arguments:?}");
    }
    let store = Store::of(2).damaged();
    let dead = "0".repeat(32);
    for arguments in [
        &["stats", "sessions.redb"][..],
        &["list", "sessions.redb"],
        &["list", "sessions.redb", "--json"],
        &["check", "sessions.redb"],
        &["check", "sessions.redb", "--json"],
        &["salvage", "sessions.redb", "salvaged.redb"],
        &["backup", "sessions.redb", "backup.redb"],
        &["restore", "sessions.redb", "restored.redb"],
        &["export", "sessions.redb", "a.jsonl"],
        &["copy", "sessions.redb", "copy.redb", "--create"],
        &["revoke", "sessions.redb", &dead, "--dry-run"],
    ] {
        let (code, err) = without_reader(&store, arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {err}");
    }
}

#[test]
fn an_archive_whose_reader_goes_away_is_incomplete() {
    // One fits into the tool's buffer, one does not.
    for store in [Store::of(2), Store::of(200)] {
        let (code, err) = without_reader(&store, &["export", "sessions.redb"]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("the archive is incomplete"), "{err}");
    }
}

#[test]
fn a_user_without_a_live_session_is_asked_about_as_any_other() {
    let store = Store::of(1).damaged();
    let only = store.keys[0].to_string();
    for whom in [&["--all"][..], &["--user", "ann"], &["--user", "bob"]] {
        let (_, err) = store.prints(2, &[&["revoke", "sessions.redb"], whom].concat());
        assert!(err.contains("--yes"), "{whom:?}: {err}");
        assert_eq!(store.json(1, &["stats", "sessions.redb", "--json"])["damaged"], 1);
    }
    store.prints(0, &["revoke", "sessions.redb", &only, "--yes"]);
    // Keys choose what ends, so there is nothing to ask about.
    store.prints(1, &["revoke", "sessions.redb", &only]);
}

#[test]
fn a_dry_run_tells_of_keys_without_a_session_as_the_run_does() {
    let store = Store::of(1);
    let (live, dead) = (store.keys[0].to_string(), "0".repeat(32));
    for (code, keys) in [(0, &[live.as_str()][..]), (1, &[&dead]), (1, &[&live, &dead])] {
        let (_, err) =
            store.prints(code, &[&["revoke", "sessions.redb", "--dry-run"], keys].concat());
        assert_eq!(err.contains("no live session"), code == 1, "{err}");
    }
}

#[test]
fn a_copy_names_the_damaged_records_that_it_leaves_out() {
    let store = Store::of(2).damaged();
    let (out, err) = store.prints(1, &["copy", "sessions.redb", "copy.redb", "--create"]);
    let whole = "1 session copied, 0 updated, 0 ended; 1 the same in both, 0 different\n";
    assert_eq!(out, whole);
    assert_eq!(err, format!("sessile: 1 damaged record left out: {}\n", store.keys[0]));
}

#[test]
fn stale_sessions_of_a_file_that_cannot_be_opened_are_told_to_be_maybe_live_ones() {
    let store = Store::of(200);
    let running = open(store.folder.path());
    for key in &store.keys[..100] {
        assert!(running.destroy_key(key).unwrap());
    }
    running.close().unwrap();
    let sound = fs::read(store.path("sessions.redb")).unwrap();
    // Which pages hold the tables is for the file to know.
    let has_stale = |page: &usize| {
        let mut bytes = sound.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(store.path("damaged.redb"), bytes).unwrap();
        let salvaged = Salvage::new().run(store.path("damaged.redb"), store.path("tried.redb"));
        let _ = fs::remove_file(store.path("tried.redb"));
        salvaged.is_ok_and(|report| report.stale > 0 && !report.opened)
    };
    assert!((1..sound.len() / PAGE).any(|page| has_stale(&page)), "no page leaves stale sessions");
    let (_, err) = store.prints(1, &["salvage", "damaged.redb", "left-out.redb"]);
    assert!(err.contains("may be live"), "{err}");
    let (_, err) = store.prints(1, &["salvage", "damaged.redb", "in.redb", "--include-stale"]);
    assert!(err.contains("may have ended"), "{err}");
}

#[test]
fn a_key_that_is_named_twice_is_one_session() {
    let store = Store::of(3);
    let keys: Vec<_> = store.keys.iter().map(ToString::to_string).collect();
    let twice = ["revoke", "sessions.redb", &keys[0], &keys[1], &keys[0]];
    let dry = store.json(0, &[&twice[..], &["--dry-run", "--json"]].concat());
    assert_eq!(dry["would_end"], 2);
    let (out, err) = store.prints(0, &[&twice[..], &["--yes"]].concat());
    assert_eq!((out.as_str(), err.as_str()), ("2 sessions ended\n", ""));
    let again = store.json(0, &["revoke", "sessions.redb", &keys[2], &keys[2], "-y", "--json"]);
    assert_eq!(again["ended"], 1);
    let (_, err) = store.prints(1, &[&twice[..], &["--yes"]].concat());
    assert!(err.contains("no live session"), "{err}");
}

#[test]
fn a_hint_is_about_what_was_refused() {
    let store = Store::of(1);
    let missing_folder = store.prints(2, &["backup", "sessions.redb", "no/backup.redb"]).1;
    assert!(missing_folder.contains("hint: check the path"), "{missing_folder}");
    let no_archive = store.prints(2, &["import", "none.jsonl", "sessions.redb"]).1;
    assert!(no_archive.contains("hint: check the path"), "{no_archive}");
    fs::write(store.path("a.jsonl"), "").unwrap();
    let existing = store.prints(2, &["export", "sessions.redb", "a.jsonl"]).1;
    assert!(existing.contains("hint: an existing file is not written over"), "{existing}");
    let no_backup = store.prints(2, &["restore", "none.redb", "sessions.redb"]).1;
    assert!(no_backup.contains("--replace"), "{no_backup}");
    let no_backup = store.prints(2, &["restore", "none.redb", "new.redb"]).1;
    assert!(no_backup.contains("check the path"), "{no_backup}");
}
