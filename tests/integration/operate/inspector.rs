//! The handle without a content type: it shows everything and changes nothing on its own.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile::engine::{Engine, Moment, Sweep, Timestamp};
use sessile::testing::ManualClock;
use sessile::{
    Attributes, Clock, Error, Inspector, MemoryEngine, SessionOptions, SessionStore, Timeouts,
};

use super::{folder, keys, store_at};

fn days(inactivity: i64, absolute: i64) -> Timeouts {
    Timeouts::from_seconds(inactivity * 86_400, absolute * 86_400).unwrap()
}

#[test]
fn a_look_creates_nothing_sweeps_nothing_and_leaves_the_timeouts_on_record() {
    let (folder, path) = folder();
    let mistyped = folder.path().join("sesions.redb");
    assert!(matches!(Inspector::open(&mistyped), Err(Error::Io { .. })));
    assert!(!mistyped.exists());
    fs::write(&mistyped, "").unwrap();
    assert!(matches!(Inspector::open(&mistyped), Err(Error::NotASessionStore { .. })));
    assert!(matches!(
        SessionStore::<u32>::builder().open_existing(&mistyped),
        Err(Error::NotASessionStore { .. })
    ));
    assert_eq!(fs::read(&mistyped).unwrap(), b"");

    let clock = ManualClock::new();
    let builder = SessionStore::<u32>::builder().manual_maintenance().clock(clock.clone());
    let store = builder.timeouts(days(10, 30)).content_name("x").open(&path).unwrap();
    let live = store.create_for_user("ann", 1).unwrap();
    store.create_with(2, &SessionOptions::new().inactivity(Duration::from_secs(1))).unwrap();
    store.close().unwrap();
    clock.advance(Duration::from_secs(9 * 86_400));

    // More sessions than the default timeouts of a tool would let live.
    let inspector = Inspector::open(&path).unwrap().with_clock(clock.clone());
    assert_eq!(inspector.timeouts_on_record(), Some(days(10, 30)));
    let overview = inspector.overview().unwrap();
    assert_eq!((overview.sessions, overview.expired, overview.with_user), (1, 1, 1));
    assert_eq!((overview.users, overview.damaged), (1, 0));
    assert_eq!(overview.content_name.as_deref(), Some("x"));
    assert_eq!(overview.time_left.buckets().map(|(_, count)| count).sum::<u64>(), 1);
    assert_eq!(keys(&inspector).len(), 2, "expired ones are shown");
    let session = inspector.session(&live.key()).unwrap().unwrap();
    assert_eq!(session.expires_at(), live.expires_at());
    assert!(!session.is_expired());
    inspector.close().unwrap();

    let inspector = Inspector::open(&path).unwrap().with_clock(clock.clone());
    assert_eq!(keys(&inspector).len(), 2);
    assert_eq!(inspector.timeouts_on_record(), Some(days(10, 30)));
    // A requested sweep uses the stored timeouts.
    assert_eq!(inspector.sweep(&mut |_| ControlFlow::Continue(())).unwrap(), 1);
    assert!(inspector.check().unwrap().is_sound());
    assert_eq!(keys(&inspector), [live.key()]);
    // It uses other timeouts on request.
    let inspector = inspector.with_timeouts(days(5, 30));
    assert_eq!(inspector.sweep(&mut |_| ControlFlow::Continue(())).unwrap(), 1);
    assert_eq!(keys(&inspector), []);
}

#[test]
fn sessions_are_shown_with_all_but_the_token_and_ended_by_their_keys() {
    let (_folder, path) = folder();
    let store: SessionStore = SessionStore::builder().manual_maintenance().open(&path).unwrap();
    let mut content = Attributes::new();
    content.set("cart", ["tea"]).unwrap();
    let options = SessionOptions::new().user("ann").csrf_token();
    let first = store.create_with(content.clone(), &options).unwrap();
    let others: Vec<_> =
        (0..3).map(|_| store.create_for_user("ann", Attributes::new()).unwrap().key()).collect();
    let bob = store.create_for_user(7, Attributes::new()).unwrap().key();
    let nobody = store.create(Attributes::new()).unwrap().key();
    store.close().unwrap();

    let inspector = Inspector::open(&path).unwrap();
    let session = inspector.session(&first.key()).unwrap().unwrap();
    assert_eq!(session.user(), Some("ann".into()));
    assert_eq!(session.attributes(), Some(content));
    assert!(session.has_csrf_token());
    let token = format!("{:?}", first.csrf_token().unwrap().encode());
    assert!(!format!("{session:?}").contains(token.trim_matches('"')));
    let mut users = Vec::new();
    inspector
        .users(&mut |user, sessions| {
            users.push((user, sessions));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    users.sort();
    assert_eq!(users, [(7.into(), 1), ("ann".into(), 4)]);

    assert!(inspector.revoke(&others[0]).unwrap());
    assert!(!inspector.revoke(&others[0]).unwrap());
    assert_eq!(inspector.revoke_others(&first.key()).unwrap(), Some(2));
    assert_eq!(inspector.revoke_others(&others[1]).unwrap(), None);
    assert_eq!(inspector.revoke_user("ann").unwrap(), 1);
    let mut left = keys(&inspector);
    left.sort();
    let mut expected = vec![bob, nobody];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(inspector.revoke_all().unwrap(), 2);
    assert_eq!(keys(&inspector), []);
}

#[test]
fn content_that_is_no_attributes_is_not_taken_for_any() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    let key = store.create("a text".into()).unwrap().key();
    store.close().unwrap();
    let inspector = Inspector::open(&path).unwrap();
    assert_eq!(inspector.session(&key).unwrap().unwrap().attributes(), None);
}

/// An engine whose server has its own time, and whose sweeps may fail half way.
#[derive(Debug)]
struct OnServer {
    inner: Arc<MemoryEngine>,
    clock: ManualClock,
    fails: AtomicBool,
}

impl OnServer {
    fn new() -> Arc<Self> {
        let (inner, clock) = (Arc::default(), ManualClock::new());
        Arc::new(Self { inner, clock, fails: AtomicBool::new(false) })
    }
}

impl Engine for OnServer {
    fn server_time(&self) -> sessile::Result<Option<Timestamp>> {
        Timestamp::from_system_time(self.clock.now()).map(Some)
    }

    fn remove_expired(&self, moment: Moment, limit: usize) -> sessile::Result<Sweep> {
        let sweep = self.inner.remove_expired(moment, limit)?;
        match self.fails.load(Ordering::SeqCst) {
            true => Err(Error::Closed),
            false => Ok(sweep),
        }
    }

    sessile::forward_engine!(inner, but server_time, remove_expired);
}

#[test]
fn a_server_is_looked_into_by_its_own_clock() {
    let engine = OnServer::new();
    let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine)).manual_maintenance();
    let store = builder.timeouts(days(10, 30)).build().unwrap();
    let session = store.create_for_user("ann", 1).unwrap();
    // The server's clock is behind, so by this machine's clock the session has expired long ago.
    let inspector = Inspector::on(Arc::clone(&engine)).unwrap();
    assert_eq!(inspector.now().unwrap(), engine.clock.now());
    assert_eq!(inspector.overview().unwrap().sessions, 1);
    assert!(!inspector.session(&session.key()).unwrap().unwrap().is_expired());
    assert_eq!(inspector.sweep(&mut |_| ControlFlow::Continue(())).unwrap(), 0);
    assert!(store.read(session.id()).unwrap().is_some());
    // The inspector uses that clock, and a clock set by the caller takes precedence.
    engine.clock.advance(Duration::from_secs(11 * 86_400));
    assert!(inspector.session(&session.key()).unwrap().unwrap().is_expired());
    let inspector = inspector.with_clock(ManualClock::new());
    assert!(!inspector.session(&session.key()).unwrap().unwrap().is_expired());
}

#[test]
fn a_sweep_by_longer_timeouts_leaves_the_index_as_those_on_record_need_it() {
    // It ends in its first pass, or later, when the longer timeouts are on record.
    let (first, later) = (Some(days(1, 2)), Some(days(5, 30)));
    for (fails, ends) in [(false, None), (false, first), (false, later), (true, None)] {
        let engine = OnServer::new();
        let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
        let store = builder.manual_maintenance().timeouts(days(1, 2)).build().unwrap();
        (0..2_000).for_each(|number| drop(store.create(number).unwrap()));
        engine.clock.advance(Duration::from_secs(90_000));
        let inspector = Inspector::on(Arc::clone(&engine)).unwrap().with_timeouts(days(5, 30));
        engine.fails.store(fails, Ordering::SeqCst);
        let on_record = || Inspector::on(Arc::clone(&engine)).unwrap().timeouts_on_record();
        let swept = inspector.sweep(&mut |_| match ends.is_some() && on_record() == ends {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        engine.fails.store(false, Ordering::SeqCst);
        assert_eq!(swept.ok(), if fails { None } else { Some(0) });
        assert!(store.check().unwrap().is_sound(), "{fails} {ends:?}");
        assert_eq!(store.clean_up_expired().unwrap(), 2_000, "by its own timeouts");
    }
}

#[test]
fn a_sweep_by_shorter_timeouts_can_be_ended_in_its_first_pass() {
    let (clock, engine) = (ManualClock::new(), Arc::new(MemoryEngine::new()));
    let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
    let builder = builder.manual_maintenance().clock(clock.clone());
    let store = builder.timeouts(days(10, 20)).build().unwrap();
    (0..3_000).for_each(|number| drop(store.create(number).unwrap()));
    clock.advance(Duration::from_secs(2 * 86_400));
    let inspector = Inspector::on(Arc::clone(&engine)).unwrap().with_clock(clock);
    let inspector = inspector.with_timeouts(days(1, 1));
    let mut told = Vec::new();
    let swept = inspector.sweep(&mut |swept| {
        told.push(swept);
        ControlFlow::Break(())
    });
    assert_eq!((swept.unwrap(), told), (0, vec![0]));
    assert!(store.check().unwrap().is_sound());
    assert_eq!((store.clean_up_expired().unwrap(), store.len().unwrap()), (0, 3_000));
    assert_eq!(inspector.sweep(&mut |_| ControlFlow::Continue(())).unwrap(), 3_000);
}

#[test]
fn a_sweep_by_longer_timeouts_that_is_killed_leaves_no_entry_late_once_the_store_is_opened() {
    let (clock, engine) = (ManualClock::new(), Arc::new(MemoryEngine::new()));
    let open = || {
        let builder = SessionStore::<u32>::builder().engine(Arc::clone(&engine));
        let builder = builder.manual_maintenance().clock(clock.clone());
        builder.timeouts(days(1, 2)).build().unwrap()
    };
    let store = open();
    (0..2_000).for_each(|number| drop(store.create(number).unwrap()));
    drop(store);
    clock.advance(Duration::from_secs(90_000));
    // The engine outlives its store.
    let inspector = Inspector::on(Arc::clone(&engine)).unwrap().with_clock(clock.clone());
    let inspector = inspector.with_timeouts(days(5, 30));
    let on_record = || Inspector::on(Arc::clone(&engine)).unwrap().timeouts_on_record();
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = inspector.sweep(&mut |_| match on_record() == Some(days(1, 2)) {
            true => ControlFlow::Continue(()),
            false => panic!("killed"),
        });
    }));
    assert!(killed.is_err());
    assert_eq!(on_record(), Some(days(5, 30)));
    assert!(Inspector::on(Arc::clone(&engine)).unwrap().check().unwrap().is_sound());
    let store = open();
    assert!(store.check().unwrap().is_sound());
    assert_eq!(store.len().unwrap(), 0, "all have expired");
}
