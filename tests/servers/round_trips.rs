//! The round trips of each call of a store, as counted by a proxy between engine and server.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use sessile::engine::{Engine, Moment, Visit};
use sessile::testing::{EngineFixture, ManualClock, Proxy, Way};
use sessile::{Session, SessionStore, UserLimit};

use crate::places::{On, Place, address_of, behind, patient};

macro_rules! tests {
    ($place:ty) => {
        #[test]
        fn a_call_of_the_store_is_one_round_trip() {
            crate::round_trips::a_call_of_the_store_is_one_round_trip::<$place>();
        }

        #[test]
        fn a_listing_asks_for_few_bytes_at_a_time_however_long_sessions_are() {
            crate::round_trips::a_listing_asks_for_few_bytes_at_a_time::<$place>();
        }

        #[test]
        fn a_listing_of_few_sessions_is_one_round_trip_and_so_of_one_moment() {
            crate::round_trips::a_listing_of_few_sessions_is_one_round_trip::<$place>();
        }

        #[test]
        fn a_login_under_a_limit_is_two_round_trips_at_the_most() {
            crate::round_trips::a_login_under_a_limit_is_few_round_trips::<$place>();
        }
    };
}
pub(crate) use tests;

struct Counted {
    proxy: Proxy,
}

impl Counted {
    /// The number of round trips of an action, and its result.
    fn of<T>(&self, action: impl FnOnce() -> T) -> (u64, T) {
        self.proxy.reset();
        let done = action();
        (self.proxy.round_trips(), done)
    }
}

/// A store behind a proxy. `None` for a cluster, which tells clients the addresses of its nodes.
fn behind_proxy<P: Place>(on: &On<P>) -> Option<(Counted, P::Engine)> {
    let address = address_of(&on.url);
    let is_cluster = P::VARIABLE.contains("CLUSTER");
    (!is_cluster).then(|| {
        let proxy = Proxy::start(address);
        let engine = P::connect(&patient(&behind(&on.url, proxy.address()))).unwrap();
        (Counted { proxy }, engine)
    })
}

pub(crate) fn a_call_of_the_store_is_one_round_trip<P: Place>() {
    let on = On::<P>::new();
    let Some((counted, engine)) = behind_proxy(&on) else { return };
    let clock = ManualClock::new();
    let store: SessionStore<u64> = SessionStore::builder()
        .engine(engine)
        .clock(clock.clone())
        .manual_maintenance()
        .build()
        .unwrap();
    let mut sessions: Vec<Session<u64>> =
        (0..6).map(|number| store.create_for_user("ann", number).unwrap()).collect();
    let mut session = sessions.remove(0);
    let mut found = Vec::new();
    // The first run prepares statements and loads scripts, which also costs no extra round trip.
    for _ in 0..2 {
        clock.advance(Duration::from_secs(2));
        let id = session.id().clone();
        let ended = sessions.pop().unwrap();
        found = vec![
            ("create", counted.of(|| store.create_for_user("bob", 1).unwrap()).0),
            ("read", counted.of(|| store.read(&id).unwrap().unwrap()).0),
            ("read_and_extend", counted.of(|| store.read_and_extend(&id).unwrap().unwrap()).0),
            ("extend_lifetime", counted.of(|| assert!(store.extend_lifetime(&id).unwrap())).0),
            ("update", counted.of(|| store.update(&mut session).unwrap()).0),
            ("regenerate_id", counted.of(|| store.regenerate_id(&mut session).unwrap()).0),
            ("sessions_of", counted.of(|| store.sessions_of("bob").unwrap()).0),
            ("destroy", counted.of(|| assert!(store.destroy(ended.id()).unwrap())).0),
            ("destroy_others", counted.of(|| store.destroy_others(&session).unwrap()).0),
            ("destroy_all_of", counted.of(|| store.destroy_all_of("bob").unwrap()).0),
            ("len", counted.of(|| store.len().unwrap()).0),
            ("clean_up_expired", counted.of(|| store.clean_up_expired().unwrap()).0),
        ];
        sessions = (0..3).map(|number| store.create_for_user("ann", number).unwrap()).collect();
    }
    let expected = |name: &str| match name {
        "destroy_others" => P::OTHERS,
        // The timeouts on record, and the step.
        "clean_up_expired" => 2,
        _ => 1,
    };
    let more: Vec<_> = found.iter().filter(|(name, trips)| *trips != expected(name)).collect();
    assert!(more.is_empty(), "{more:?}");
    let (trips, modified) =
        counted.of(|| store.modify(session.id(), |one| *one.content_mut() += 1));
    assert!(modified.unwrap().is_some());
    assert_eq!(trips, 2, "modify reads and saves");
}

pub(crate) fn a_login_under_a_limit_is_few_round_trips<P: Place>() {
    let on = On::<P>::new();
    let Some((counted, engine)) = behind_proxy(&on) else { return };
    let store: SessionStore<u64> = SessionStore::builder()
        .engine(engine)
        .max_sessions_per_user(2, UserLimit::EndLeastRecentlyActive)
        .manual_maintenance()
        .build()
        .unwrap();
    for number in 0..4 {
        let (trips, _) = counted.of(|| store.create_for_user("ann", number).unwrap());
        assert!(trips <= 2, "{trips}");
    }
    assert_eq!(store.sessions_of("ann").unwrap().len(), 2);
}

/// Also by an engine that has seen no session yet, and does not know their lengths.
pub(crate) fn a_listing_of_few_sessions_is_one_round_trip<P: Place>() {
    let on = On::<P>::new();
    let Some((counted, engine)) = behind_proxy(&on) else { return };
    let store: SessionStore<Vec<u8>> =
        SessionStore::builder().engine(engine).manual_maintenance().build().unwrap();
    for _ in 0..10 {
        store.create_for_user("ann", vec![7; 60_000]).unwrap();
    }
    let (trips, listed) = counted.of(|| store.sessions_of("ann").unwrap());
    assert_eq!((trips, listed.len()), (1, 10));
}

pub(crate) fn a_listing_asks_for_few_bytes_at_a_time<P: Place>() {
    const LONG: usize = 1 << 20;
    const FEW: u64 = 6 << 20;
    let on = On::<P>::new();
    let Some((counted, engine)) = behind_proxy(&on) else { return };
    let engine = Arc::new(engine);
    let store: SessionStore<Vec<u8>> = SessionStore::builder()
        .engine(Arc::clone(&engine))
        .max_content_len(2 * LONG)
        .manual_maintenance()
        .build()
        .unwrap();
    let mut made = BTreeSet::new();
    for number in 0..40 {
        // Short ones between them, so that many are requested at once.
        let length = if number % 3 == 0 { LONG } else { 10 };
        made.insert(store.create_for_user("ann", vec![7; length]).unwrap().key());
    }
    let user = engine.load(made.first().unwrap(), Moment::BEGINNING).unwrap().unwrap().user();
    let look = |listing: &dyn Fn(&mut Visit<'_>) -> sessile::Result<()>| {
        counted.proxy.reset();
        let (mut seen, mut before, mut most) = (Vec::new(), 0, 0);
        let shown = listing(&mut |key, record| {
            record?;
            seen.push(key);
            let now = counted.proxy.bytes(Way::Answer);
            most = most.max(now - before);
            before = now;
            Ok(ControlFlow::Continue(()))
        });
        shown.unwrap();
        let shown: Vec<_> = seen.iter().map(|key| made.iter().position(|one| one == key)).collect();
        assert!(seen.iter().eq(&made), "each is shown once, in order: {shown:?}");
        assert!(most < FEW, "{most} bytes came at once");
    };
    look(&|visit| engine.scan(None, visit));
    look(&|visit| engine.scan_user(&user.clone().unwrap(), visit));
}
