//! Clocks that go back, jump ahead, or show impossible times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::timeouts::InvalidTimeouts;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::testing::conformance::kit::*;
use crate::testing::{EngineFixture, ManualClock};
use crate::time::clock::Clock;
use crate::time::timeouts::Timeouts;

pub fn a_clock_that_goes_back_extends_nothing<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created_for(&store, "ann", 1);
    let deadline = session.expires_at();
    setup.clock.go_back(Duration::from_secs(3_600));

    assert!(store.extend_lifetime(session.id()).unwrap());
    assert_eq!(store.read_and_extend(session.id()).unwrap().unwrap().expires_at(), deadline);
    store.update(&mut session).unwrap();
    let modified = store.modify(session.id(), |_| ()).unwrap().unwrap();
    assert_eq!(modified.expires_at(), deadline);
    let mut session = modified;
    store.regenerate_id(&mut session).unwrap();
    store.flush().unwrap();
    assert_eq!(stored(&store, session.id()).expires_at(), deadline);
    assert_eq!(listed(&store, "ann")[0].expires_at(), deadline);

    setup.clock.advance(Duration::from_secs(3_600) + INACTIVITY);
    assert_absent(&store, &session);
}

pub fn last_active_never_decreases_and_created_at_never_changes<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    let created_at = session.created_at();
    setup.clock.advance(INACTIVITY / 2);
    assert!(store.extend_lifetime(session.id()).unwrap());
    let last_active = stored(&store, session.id()).last_active();
    setup.clock.go_back(2 * INACTIVITY);
    let check = |session: &mut crate::session::Session<u64>| {
        *session = stored(&store, session.id());
        assert_eq!((session.created_at(), session.last_active()), (created_at, last_active));
    };
    check(&mut session);
    assert!(store.extend_lifetime(session.id()).unwrap());
    check(&mut session);
    store.update(&mut session).unwrap();
    check(&mut session);
    store.regenerate_id(&mut session).unwrap();
    check(&mut session);
    assert!(store.modify(session.id(), |session| *session.content_mut() += 1).unwrap().is_some());
    store.flush().unwrap();
    check(&mut session);
}

pub fn a_stale_handle_does_not_move_time_back<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut stale = created(&store, 1);
    setup.clock.advance(INACTIVITY / 2);
    assert!(store.extend_lifetime(stale.id()).unwrap());
    let extended = stored(&store, stale.id());
    setup.clock.go_back(INACTIVITY / 4);
    store.update(&mut stale).expect("a touch is no conflict");
    assert_eq!(stored(&store, stale.id()).last_active(), extended.last_active());
    assert_eq!(stale.last_active(), extended.last_active());
}

pub fn what_was_swept_under_a_fast_clock_stays_gone<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    setup.clock.advance(INACTIVITY);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    setup.clock.go_back(INACTIVITY);
    assert_absent(&store, &session);
    assert_eq!(store.len().unwrap(), 0);
}

pub fn a_session_from_the_future_lives_by_its_own_times<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    setup.clock.advance(ABSOLUTE);
    let session = created(&store, 1);
    setup.clock.go_back(ABSOLUTE);
    assert_eq!(stored(&store, session.id()).expires_at(), session.expires_at());
    setup.clock.advance(ABSOLUTE + INACTIVITY - MS);
    assert!(store.read(session.id()).unwrap().is_some());
    setup.clock.advance(MS);
    assert_absent(&store, &session);
}

/// Shows the other clock's time, or a time before 1970.
#[derive(Clone, Debug)]
struct Unset {
    clock: ManualClock,
    unset: Arc<AtomicBool>,
}

impl Clock for Unset {
    fn now(&self) -> SystemTime {
        match self.unset.load(Ordering::SeqCst) {
            true => UNIX_EPOCH - MS,
            false => self.clock.now(),
        }
    }
}

pub fn before_1970_every_method_fails_and_nothing_changes<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let clock = Unset { clock: setup.clock.clone(), unset: Arc::default() };
    let store = setup.builder::<u64>().clock(clock.clone()).build().unwrap();
    let session = created_for(&store, "ann", 1);
    let mut copy = session.clone();
    let (id, key) = (session.id(), session.key());

    fn refused<T>(result: Result<T>) -> bool {
        matches!(result, Err(Error::ClockOutOfRange))
    }
    clock.unset.store(true, Ordering::SeqCst);
    let answers = [
        refused(store.create(2)),
        refused(store.create_with(2, &options().csrf_token())),
        refused(store.create_for_user("ann", 2)),
        refused(store.read(id)),
        refused(store.read_and_extend(id)),
        refused(store.update(&mut copy)),
        refused(store.modify(id, |_| ())),
        refused(store.extend_lifetime(id)),
        refused(store.regenerate_id(&mut copy)),
        refused(store.destroy(id)),
        refused(store.clear()),
        refused(store.clean_up_expired()),
        refused(store.sessions_of("ann")),
        refused(store.destroy_all_of("ann")),
        refused(store.destroy_others(&session)),
        refused(store.destroy_key(&key)),
        refused(store.for_each(|_, _| -> () { panic!("nothing to show") })),
        refused(store.len()),
        refused(store.is_empty()),
        refused(store.stats()),
    ];
    assert_eq!(answers, [true; 20]);
    clock.unset.store(false, Ordering::SeqCst);
    assert_eq!(visited(&store), [(key, 1)]);
    assert_eq!(stored(&store, id).expires_at(), session.expires_at());
}

pub fn a_deadline_past_the_end_of_time_is_refused_at_creation<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let is_past_the_end = |created: Result<Session<u64>>| {
        let reason = created.unwrap_err();
        matches!(reason, Error::InvalidTimeouts(InvalidTimeouts::PastTheEndOfTime { .. }))
    };
    let longest = u64::MAX - setup.clock.millis();
    let until = |millis| options().absolute(Duration::from_millis(millis));
    assert!(is_past_the_end(store.create_with(1, &until(longest + 1))));
    assert_eq!(store.len().unwrap(), 0);
    let eternal = store.create_with(1, &until(longest)).unwrap();
    assert!(store.destroy(eternal.id()).unwrap());

    // The clock of Windows ends in the year 30828.
    if UNIX_EPOCH.checked_add(Duration::from_millis(u64::MAX)).is_none() {
        return;
    }
    let absolute = u64::try_from(ABSOLUTE.as_millis()).unwrap();
    setup.clock.set_millis(u64::MAX - absolute + 1);
    assert!(is_past_the_end(store.create(1)));
    let refused = store.create_with(1, &until(u64::MAX));
    assert!(matches!(refused, Err(Error::InvalidTimeouts(_))));
    assert_eq!(store.len().unwrap(), 0);

    setup.clock.set_millis(u64::MAX - absolute);
    let last = store.create_with(2, &options().inactivity(ABSOLUTE)).unwrap();
    setup.clock.set_millis(u64::MAX - 1);
    assert!(store.extend_lifetime(last.id()).unwrap());
    store.flush().unwrap();
    assert!(store.read(last.id()).unwrap().is_some());
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    setup.clock.set_millis(u64::MAX);
    assert_eq!(store.len().unwrap(), 0);
    assert_absent(&store, &last);
}

pub fn timeouts_without_end_do_not_wrap_around<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let now = setup.clock.millis();
    let longest = Duration::from_millis(u64::MAX - now);
    let store = setup.store_with(Timeouts::new(longest, longest).unwrap());
    let mut session = created_for(&store, "ann", 1);
    setup.clock.advance(ABSOLUTE);
    assert!(store.extend_lifetime(session.id()).unwrap());
    store.flush().unwrap();
    store.update(&mut session).unwrap();
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert_eq!((store.len().unwrap(), listed(&store, "ann").len()), (1, 1));
    assert!(store.create(2).is_err(), "a minute later the same lifetime is too long");
}
