//! A process that was forked from the one that opened a store: every call is refused there before
//! any lock is taken, for a lock may be held by a thread that the child does not have.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fork::Fork;
use sessile::{Error, MemoryEngine, SessionId, SessionStore};

use crate::child;

/// Set in a child process of this test binary, which forks: a fork of a process with other tests in
/// it would inherit their locks, too.
const PLAYS: &str = "SESSILE_TEST_FORK";
const SAYS: &str = "forks: ";
/// The exit code of a forked process in which everything was as it has to be.
const AS_EXPECTED: i32 = 77;

type Store = SessionStore<String>;

fn store_in(folder: &Path) -> Store {
    Store::builder().touch_interval(Duration::from_millis(1)).open(folder.join("s.redb")).unwrap()
}

/// Whether the call was refused as it has to be.
fn is_forked<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Forked { opened_by }) if opened_by != std::process::id())
}

/// The number of the first call that was not refused.
fn wrong_in_child(store: &Store, id: &SessionId, absent: &SessionId) -> Option<usize> {
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
    ];
    answers.iter().position(|refused| !refused)
}

/// Waits for a forked process, and ends it if it hangs.
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

/// Forks again and again while threads are at work.
fn fork_while_busy(store: Store, forks: usize) {
    let session = store.create_for_user("ann", "content".into()).unwrap();
    let (id, absent) = (session.id().clone(), SessionId::generate().unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let new = store.create_for_user("bob", "x".repeat(300)).unwrap();
                    store.extend_lifetime(&id).unwrap();
                    store.sessions_of("ann").unwrap();
                    store.destroy(new.id()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                store.read_and_extend(&id).unwrap();
                store.len().unwrap();
            }
        });
        let mut codes = Vec::new();
        for _ in 0..forks {
            match fork::fork().unwrap() {
                Fork::Child => {
                    let wrong = wrong_in_child(&store, &id, &absent);
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
    assert!(store.read(&id).unwrap().is_some());
    assert!(store.check().unwrap().is_sound());
    store.close().unwrap();
}

/// Runs a test's own part in a process of its own.
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
        // With a maintenance thread, and without.
        for builder in [Store::builder(), Store::builder().manual_maintenance()] {
            let path = folder.path().join(codes.len().to_string());
            // No flush may come in between.
            let store = builder.touch_interval(Duration::from_secs(3_600)).open(&path).unwrap();
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
            store.close().unwrap();
            Store::open(&path).unwrap();
        }
        println!("{SAYS}{codes:?}");
        assert_eq!(codes, [Some(AS_EXPECTED); 2]);
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

#[test]
fn a_visitor_that_forks_is_shown_nothing_more_in_the_child() {
    let test = "forked::a_visitor_that_forks_is_shown_nothing_more_in_the_child";
    in_own_process(test, || {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("s.redb")).unwrap();
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
    });
}
