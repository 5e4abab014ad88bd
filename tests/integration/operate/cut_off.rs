//! Backups whose process is killed in the middle: nothing half-written has their name, and the next
//! backup to that place removes what they left. Programs that end before their client has its answer.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sessile::admin::{AdminSocket, LeaveOut, RunningStore};
use sessile::{Error, Event, Inspector, SessionStore};

use super::{folder, keys, names, store_at};
use crate::child;

/// Names the store's file in the environment of a child process.
const FILE: &str = "SESSILE_TEST_CUT_OFF_FILE";
const IN_THE_MIDDLE: &str = "cut off: in the middle";
/// More than the sessions between two reports of progress.
const SESSIONS: usize = 600;

fn backup_beside(file: &Path) -> PathBuf {
    file.with_file_name("backup.redb")
}

/// Fills a new store.
fn filled(file: &Path) -> SessionStore<String> {
    let store = store_at(file);
    for number in 0..SESSIONS {
        store.create_for_user(number as u64 % 3, "x".repeat(100)).unwrap();
    }
    store
}

/// In a child: says that the backup is under way, and waits for its end.
fn say_and_wait(progress: sessile::admin::Progress) -> ControlFlow<()> {
    if progress.done == 0 {
        return ControlFlow::Continue(());
    }
    assert!(progress.done < SESSIONS as u64);
    println!("{IN_THE_MIDDLE}");
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

/// Runs a test as a child, and kills it once it is in the middle of its backup.
fn kill_in_the_middle(test: &str, file: &Path) {
    let mut child = child::running(test).env(FILE, file).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(IN_THE_MIDDLE) {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "the child ended too early");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said.read_to_string(&mut line).unwrap();
}

/// What the killed process left: at most a draft, and nothing with the backup's name.
fn assert_nothing_half_written(file: &Path) {
    assert!(!backup_beside(file).exists());
    let drafts = names(file).into_iter().filter(|name| name.starts_with(".sessile-")).count();
    assert_eq!(drafts, 1, "it was under way: {:?}", names(file));
}

fn assert_whole(backup: &Path) {
    let inspector = Inspector::open(backup).unwrap();
    assert!(inspector.check().unwrap().is_sound());
    assert_eq!(keys(&inspector).len(), SESSIONS);
}

#[test]
fn the_next_backup_removes_what_a_program_left_that_was_killed_during_its_own() {
    if let Some(file) = std::env::var_os(FILE) {
        let store = filled(Path::new(&file));
        let backup = backup_beside(Path::new(&file));
        store.backup_with(backup, &LeaveOut::nothing(), &mut say_and_wait).unwrap();
    }
    let (_folder, file) = folder();
    kill_in_the_middle(
        "operate::cut_off::the_next_backup_removes_what_a_program_left_that_was_killed_during_its_own",
        &file,
    );
    assert_nothing_half_written(&file);
    let store = store_at(&file);
    assert_eq!(store.len().unwrap(), SESSIONS as u64, "every session was acknowledged");
    store.backup(backup_beside(&file)).unwrap();
    assert_eq!(names(&file), ["backup.redb", "sessions.redb"]);
    assert_whole(&backup_beside(&file));
}

#[test]
fn a_client_of_the_door_that_is_killed_during_its_backup_leaves_nothing_that_the_next_one_keeps() {
    let through = |file: &Path| Inspector::on(RunningStore::beside(file).unwrap()).unwrap();
    if let Some(file) = std::env::var_os(FILE) {
        let file = Path::new(&file);
        let leave_out = LeaveOut::nothing();
        through(file).backup_with(backup_beside(file), &leave_out, &mut say_and_wait).unwrap();
    }
    let (_folder, file) = folder();
    let store = filled(&file);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    kill_in_the_middle(
        "operate::cut_off::a_client_of_the_door_that_is_killed_during_its_backup_leaves_nothing_that_the_next_one_keeps",
        &file,
    );
    assert_nothing_half_written(&file);
    // The program goes on, and the next client takes the same place.
    let mut go_on = super::go_on;
    let report =
        through(&file).backup_with(backup_beside(&file), &LeaveOut::nothing(), &mut go_on).unwrap();
    assert_eq!(report.sessions, SESSIONS as u64);
    assert_eq!(names(&file), ["backup.redb", "sessions.redb", "sessions.redb.admin"]);
    assert_whole(&backup_beside(&file));
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_change_whose_program_ends_before_the_answer_may_have_been_made() {
    let (_folder, file) = folder();
    let slot: Arc<Mutex<Option<SessionStore<String>>>> = Arc::default();
    let last_handle = Arc::clone(&slot);
    // The program ends once the change is made, and before its thread answers.
    let observer = move |event: &Event| {
        if matches!(event, Event::Ended { .. }) {
            drop(last_handle.lock().unwrap().take());
        }
    };
    let builder = || SessionStore::<String>::builder().manual_maintenance();
    let store = builder().observer(observer).open(&file).unwrap();
    let key = store.create("x".into()).unwrap().key();
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    *slot.lock().unwrap() = Some(store);

    let inspector = Inspector::on(RunningStore::beside(&file).unwrap()).unwrap();
    let unanswered = inspector.revoke(&key).unwrap_err();
    assert!(matches!(unanswered, Error::OutcomeUnknown { .. }), "{unanswered:?}");
    // This one reaches nobody.
    let unsent = inspector.revoke(&key).unwrap_err();
    assert!(matches!(unsent, Error::Io { .. }), "{unsent:?}");
    let causes: Vec<_> = unsent.causes().map(ToString::to_string).collect();
    assert!(causes.concat().contains("closed the store since"), "{causes:?}");
    let store = builder().open_timeout(Duration::from_secs(60)).open(&file).unwrap();
    assert!(store.is_empty().unwrap());
}
