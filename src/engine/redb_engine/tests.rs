//! What needs a look behind the engine: a process that was forked, and what closing leaves.

use super::*;
use crate::record::Parts;
use crate::timeouts::OwnTimeouts;

fn record() -> Record {
    let parts = Parts {
        user: None,
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision: 1,
        created_at: Timestamp::from_millis(1),
        last_active: Timestamp::from_millis(1),
        content_version: 0,
        content: &[],
    };
    Record::new(&parts, &Timeouts::default()).unwrap()
}

#[test]
fn a_forked_process_changes_nothing_and_leaves_file_and_lock_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let mut engine = RedbEngine::open(&path).unwrap();
    let key = SessionKey::from_bytes([1; 16]);
    assert_eq!(engine.insert(&key, record(), Limits::NONE).unwrap(), Insert::Done);
    assert!(engine.touch(&key, Timestamp::from_millis(2)).unwrap());
    engine.writer.pretend_forked();

    let before = std::fs::read(&path).unwrap();
    assert!(matches!(engine.remove(&key), Err(Error::Forked { .. })));
    assert!(engine.load(&key).unwrap().is_some());
    assert!(matches!(engine.close(), Err(Error::Forked { .. })));
    drop(engine);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(matches!(RedbEngine::open(&path), Err(Error::AlreadyOpen { .. })));
}

#[test]
fn what_is_cached_is_closed_with_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path().join("sessions.redb")).unwrap();
    let key = SessionKey::from_bytes([1; 16]);
    assert_eq!(engine.insert(&key, record(), Limits::NONE).unwrap(), Insert::Done);
    assert!(engine.load(&key).unwrap().is_some());
    engine.close().unwrap();
    assert!(matches!(engine.load(&key), Err(Error::Closed)));
    assert!(matches!(engine.touch(&key, Timestamp::from_millis(2)), Err(Error::Closed)));
    assert!(matches!(engine.for_each(&mut |_, _| Ok(())), Err(Error::Closed)));
}
