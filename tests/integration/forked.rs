//! A process forked from the one that opened a store. Every call is refused there before any lock
//! is taken, because a thread that the child does not have may hold the lock.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fork::Fork;
use sessile::admin::{AdminSocket, LeaveOut, RunningStore};
use sessile::{Error, MemoryEngine, Session, SessionId, SessionOptions, SessionStore};

use crate::child;

/// Set in a child process of this test binary, which forks. A fork of a process that runs other
/// tests would inherit their locks, too.
const PLAYS: &str = "SESSILE_TEST_FORK";
const SAYS: &str = "forks: ";
/// The exit code of a forked process in which every call was refused correctly.
const AS_EXPECTED: i32 = 77;

type Store = SessionStore<String>;

fn store_in(folder: &Path) -> Store {
    Store::builder().touch_interval(Duration::from_millis(1)).open(folder.join("s.redb")).unwrap()
}

/// Whether the call was refused with the right error.
fn is_forked<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Forked { opened_by }) if opened_by != std::process::id())
}

/// The number of the first call that was not refused. The calls are those of a store that return a
/// `Result`.
fn wrong_in_child(store: &Store, session: &Session<String>, absent: &SessionId) -> Option<usize> {
    let (id, key, options) = (session.id(), session.key(), SessionOptions::new());
    let nowhere = Path::new("/nowhere/forked");
    let answers = [
        is_forked(store.read(id)),
        is_forked(store.read(absent)),
        is_forked(store.read_and_extend(id)),
        is_forked(store.extend_lifetime(id)),
        is_forked(store.create(String::new())),
        is_forked(store.create_for_user("ann", String::new())),
        is_forked(store.modify(id, |session| session.content_mut().push('x'))),
        is_forked(store.destroy(id)),
        is_forked(store.destroy_key(&id.key())),
        is_forked(store.destroy_all_of("ann")),
        is_forked(store.sessions_of("ann")),
        is_forked(store.for_each(|_, _| ())),
        is_forked(store.len()),
        is_forked(store.is_empty()),
        is_forked(store.stats()),
        is_forked(store.check()),
        is_forked(store.clean_up_expired()),
        is_forked(store.clear()),
        is_forked(store.flush()),
        is_forked(store.clone().close()),
        is_forked(store.create_with(String::new(), &options)),
        matches!(
            store
                .create_or_give_back(String::new(), &options)
                .map_err(|refused| refused.into_parts()),
            Err((Error::Forked { .. }, _))
        ),
        is_forked(store.update(&mut session.clone())),
        is_forked(store.regenerate_id(&mut session.clone())),
        is_forked(store.destroy_others(session)),
        is_forked(store.destroy_of("ann", &key)),
        is_forked(store.read_key(&key)),
        is_forked(store.modify_key(&key, |session| session.content_mut().push('x'))),
        is_forked(store.modify_by_key(&key, |session| session.content_mut().push('x'))),
        is_forked(store.update_others(session, |other| other.content_mut().push('x'))),
        is_forked(store.sessions_of_with("ann")),
        is_forked(store.list(None, 10)),
        is_forked(store.users(None, 10)),
        is_forked(store.rename_user("ann", "eve")),
        is_forked(store.adopt_shorter_timeouts()),
        is_forked(store.backup(nowhere)),
        is_forked(store.backup_with(nowhere, &LeaveOut::nothing(), &mut |_| {
            std::ops::ControlFlow::Continue(())
        })),
        is_forked(store.serve_admin(AdminSocket::at(nowhere))),
    ];
    answers.iter().position(|refused| !refused)
}

/// Waits for a forked process, and kills it if it hangs.
fn exit_code(child: i32) -> Option<i32> {
    // A minute, in steps.
    for _ in 0..60_000 {
        match fork::waitpid_nohang(child).unwrap() {
            Some(status) => return Some((status >> 8) & 0xff),
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
    let _ = std::process::Command::new("kill").args(["-9", &child.to_string()]).status();
    let _ = fork::waitpid(child);
    None
}

/// Forks repeatedly while threads are at work.
fn fork_while_busy(store: Store, forks: usize) {
    let session = store.create_for_user("ann", "content".into()).unwrap();
    let (id, absent) = (session.id(), SessionId::generate().unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let new = store.create_for_user("bob", "x".repeat(300)).unwrap();
                    store.extend_lifetime(id).unwrap();
                    store.sessions_of("ann").unwrap();
                    store.destroy(new.id()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                store.read_and_extend(id).unwrap();
                store.len().unwrap();
            }
        });
        let mut codes = Vec::new();
        for _ in 0..forks {
            match fork::fork().unwrap() {
                Fork::Child => {
                    let wrong = wrong_in_child(&store, &session, &absent);
                    let code = wrong.map_or(AS_EXPECTED, |call| i32::try_from(call).unwrap());
                    std::process::exit(code);
                }
                Fork::Parent(child) => codes.push(exit_code(child)),
            }
        }
        over.store(true, Ordering::Relaxed);
        println!("{SAYS}{codes:?}");
        assert!(codes.iter().all(|code| *code == Some(AS_EXPECTED)), "{codes:?}");
    });
    assert!(store.read(id).unwrap().is_some());
    assert!(store.check().unwrap().is_sound());
    store.close().unwrap();
}

/// Runs a test's part in its own process.
fn in_own_process(test: &str, part: impl FnOnce()) {
    if std::env::var_os(PLAYS).is_some() {
        return part();
    }
    let output = child::running(test).env(PLAYS, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(SAYS), "it did not run: {text}");
}

#[test]
fn every_call_in_a_forked_process_is_refused_whatever_locks_were_held() {
    let test = "forked::every_call_in_a_forked_process_is_refused_whatever_locks_were_held";
    in_own_process(test, || {
        let folder = tempfile::tempdir().unwrap();
        fork_while_busy(store_in(folder.path()), 60);
        fork_while_busy(Store::builder().engine(MemoryEngine::new()).build().unwrap(), 60);
    });
}

#[test]
fn a_forked_process_drops_its_handles_and_leaves_the_file_and_its_lock_alone() {
    let test = "forked::a_forked_process_drops_its_handles_and_leaves_the_file_and_its_lock_alone";
    in_own_process(test, || {
        let folder = tempfile::tempdir().unwrap();
        let mut codes = Vec::new();
        // With a maintenance thread, and without; with an open door for the tool, and without.
        for (manual, door) in [(false, false), (true, false), (false, true), (true, true)] {
            let path = folder.path().join(codes.len().to_string());
            let builder =
                if manual { Store::builder().manual_maintenance() } else { Store::builder() };
            // So that no flush happens in between.
            let store = builder.touch_interval(Duration::from_secs(3_600)).open(&path).unwrap();
            if door {
                store.serve_admin(AdminSocket::beside_file()).unwrap();
            }
            let session = store.create("content".into()).unwrap();
            store.extend_lifetime(session.id()).unwrap();
            match fork::fork().unwrap() {
                Fork::Child => {
                    let before = std::fs::read(&path).unwrap();
                    // The last handle.
                    drop(store);
                    let unchanged = std::fs::read(&path).unwrap() == before;
                    let locked = matches!(Store::open(&path), Err(Error::AlreadyOpen { .. }));
                    std::process::exit(if unchanged && locked { AS_EXPECTED } else { 1 });
                }
                Fork::Parent(child) => codes.push(exit_code(child)),
            }
            assert!(store.read(session.id()).unwrap().is_some());
            store.create("more".into()).unwrap();
            if door {
                let tool = sessile::Inspector::on(RunningStore::beside(&path).unwrap()).unwrap();
                assert!(tool.session(&session.key()).unwrap().is_some(), "the door is open");
            }
            store.close().unwrap();
            Store::open(&path).unwrap();
        }
        println!("{SAYS}{codes:?}");
        assert_eq!(codes, [Some(AS_EXPECTED); 4]);
    });
}

#[test]
fn a_child_may_open_the_file_once_the_other_process_has_closed_it() {
    let test = "forked::a_child_may_open_the_file_once_the_other_process_has_closed_it";
    in_own_process(test, || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        let store = Store::open(&path).unwrap();
        let id = store.create("content".into()).unwrap().id().clone();
        let child = match fork::fork().unwrap() {
            Fork::Child => {
                let own = loop {
                    match Store::open(&path) {
                        Ok(own) => break own,
                        Err(Error::AlreadyOpen { .. }) => thread::sleep(Duration::from_millis(5)),
                        Err(_) => std::process::exit(2),
                    }
                };
                let there = own.read(&id).unwrap().is_some();
                let refused = is_forked(store.read(&id));
                own.close().unwrap();
                std::process::exit(if there && refused { AS_EXPECTED } else { 1 });
            }
            Fork::Parent(child) => child,
        };
        store.close().unwrap();
        let code = exit_code(child);
        println!("{SAYS}{code:?}");
        assert_eq!(code, Some(AS_EXPECTED));
    });
}

/// The fifth visit of a listing forks: the parent is shown all sessions, and the child none after
/// it.
fn fork_in_a_visitor(store: &Store) {
    for _ in 0..10 {
        store.create("content".into()).unwrap();
    }
    let (mut visited, mut child) = (0, None);
    let answer = store.for_each(|_, _| {
        visited += 1;
        if visited == 5 {
            child = match fork::fork().unwrap() {
                Fork::Child => Some(0),
                Fork::Parent(child) => Some(child),
            };
        }
    });
    if child == Some(0) {
        let refused = is_forked(answer) && visited == 5;
        std::process::exit(if refused { AS_EXPECTED } else { 1 });
    }
    let code = exit_code(child.unwrap());
    println!("{SAYS}{code:?}");
    assert_eq!((code, answer.unwrap()), (Some(AS_EXPECTED), 10));
}

#[test]
fn a_visitor_that_forks_is_shown_nothing_more_in_the_child() {
    let test = "forked::a_visitor_that_forks_is_shown_nothing_more_in_the_child";
    in_own_process(test, || {
        let folder = tempfile::tempdir().unwrap();
        fork_in_a_visitor(&Store::open(folder.path().join("s.redb")).unwrap());
        fork_in_a_visitor(&Store::builder().engine(MemoryEngine::new()).build().unwrap());
    });
}
