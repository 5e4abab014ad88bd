//! Several hosts on one store: each is an engine with its own connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sessile::testing::{EngineFixture, ManualClock};
use sessile::{Error, Inspector, Session, SessionOptions, SessionStore, Timeouts, UserLimit};

use crate::places::{On, Place, patient};

macro_rules! tests {
    ($place:ty) => {
        crate::each! { hosts, $place;
            a_logout_on_one_host_is_seen_by_the_next_call_on_the_other
            a_touch_on_one_host_is_seen_on_the_other_and_spares_the_session_from_its_sweep
            a_touch_within_the_touch_interval_is_not_written
            hosts_that_sweep_at_once_share_the_work_and_count_each_session_once
            no_number_of_hosts_gets_a_user_past_their_limit
            no_number_of_hosts_gets_past_the_limit_of_the_store
            the_number_of_sessions_is_right_at_every_moment_of_many_changes
            a_server_keeps_nothing_of_a_user_whose_sessions_have_ended
            hosts_that_open_a_new_store_at_once_all_open_it
            hosts_with_other_timeouts_go_by_their_own
            a_host_with_shorter_timeouts_sweeps_nothing_that_lives_by_longer_ones
            what_a_newer_version_keeps_is_refused
            who_only_looks_for_a_store_makes_none_and_finds_one
            hosts_tell_the_same_time_and_make_sessions_by_it
        }
    };
}
pub(crate) use tests;

pub(crate) struct Hosts<P: Place> {
    on: On<P>,
    clock: ManualClock,
}

impl<P: Place> Hosts<P> {
    pub(crate) fn new() -> Self {
        Self { on: On::new(), clock: ManualClock::new() }
    }

    fn builder(&self) -> sessile::Builder<u64> {
        SessionStore::builder()
            .engine(self.on.open())
            .clock(self.clock.clone())
            .timeouts(Timeouts::from_seconds(60, 600).unwrap())
            .manual_maintenance()
    }

    pub(crate) fn host(&self) -> SessionStore<u64> {
        self.builder().build().unwrap()
    }
}

pub(crate) fn a_logout_on_one_host_is_seen_by_the_next_call_on_the_other<P: Place>() {
    let hosts = Hosts::<P>::new();
    let (one, two) = (hosts.host(), hosts.host());
    let mut session = one.create_for_user("ann", 1).unwrap();
    let id = session.id().clone();
    assert_eq!(*two.read_and_extend(&id).unwrap().unwrap().content(), 1);
    assert!(two.destroy(&id).unwrap());
    assert!(one.read(&id).unwrap().is_none());
    assert!(!one.extend_lifetime(&id).unwrap());
    assert!(matches!(one.update(&mut session), Err(Error::Gone { .. })));
    assert!(two.read(&id).unwrap().is_none(), "the update brought nothing back");
}

pub(crate) fn a_touch_on_one_host_is_seen_on_the_other_and_spares_the_session_from_its_sweep<
    P: Place,
>() {
    let hosts = Hosts::<P>::new();
    let (one, two) = (hosts.host(), hosts.host());
    let id = one.create(1).unwrap().id().clone();
    hosts.clock.advance(Duration::from_secs(59));
    assert!(one.extend_lifetime(&id).unwrap());
    hosts.clock.advance(Duration::from_secs(2));
    assert_eq!(two.clean_up_expired().unwrap(), 0);
    let seen = two.read(&id).unwrap().unwrap();
    assert_eq!(seen.last_active(), seen.created_at() + Duration::from_secs(59));
}

pub(crate) fn the_number_of_sessions_is_right_at_every_moment_of_many_changes<P: Place>() {
    const HOSTS: usize = 4;
    let hosts = Hosts::<P>::new();
    let looking = hosts.host();
    looking.create(0).unwrap();
    let changing = AtomicU64::new(HOSTS as u64);
    thread::scope(|scope| {
        for _ in 0..HOSTS {
            scope.spawn(|| {
                let host = hosts.host();
                for number in 0..P::MANY_CHANGES / HOSTS {
                    let session = host.create(number as u64).unwrap();
                    assert!(host.destroy(session.id()).unwrap());
                }
                changing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while changing.load(Ordering::Relaxed) > 0 {
            let there = looking.len().unwrap();
            assert!((1..=1 + HOSTS as u64).contains(&there), "{there}");
        }
    });
    assert_eq!(looking.len().unwrap(), 1);
}

pub(crate) fn a_touch_within_the_touch_interval_is_not_written<P: Place>() {
    let hosts = Hosts::<P>::new();
    let store = hosts.builder().touch_interval(Duration::from_secs(5)).build().unwrap();
    let since = |session: &Session<u64>| {
        let read = hosts.host().read(session.id()).unwrap().unwrap();
        read.last_active().duration_since(session.created_at()).unwrap().as_secs()
    };
    let session = store.create(1).unwrap();
    for (advance, expected) in [(4, 0), (1, 5), (4, 5), (2, 11)] {
        hosts.clock.advance(Duration::from_secs(advance));
        assert!(store.extend_lifetime(session.id()).unwrap());
        assert_eq!(since(&session), expected);
    }
    // A tenth of the session's own timeout is two seconds.
    let own = SessionOptions::new().inactivity(Duration::from_secs(20));
    let session = store.create_with(2, &own).unwrap();
    for (advance, expected) in [(1, 0), (1, 2), (1, 2), (1, 4)] {
        hosts.clock.advance(Duration::from_secs(advance));
        assert!(store.extend_lifetime(session.id()).unwrap());
        assert_eq!(since(&session), expected);
    }
    // Another host gives the session a shorter timeout, of which this host does not know.
    let other = hosts.host();
    let mut changed = other.read(session.id()).unwrap().unwrap();
    changed.set_timeouts(Duration::from_secs(10), Duration::from_secs(60)).unwrap();
    other.update(&mut changed).unwrap();
    hosts.clock.advance(Duration::from_secs(1));
    assert!(store.extend_lifetime(session.id()).unwrap());
    assert_eq!(since(&session), 5);
    assert!(hosts.host().destroy(session.id()).unwrap());
    assert!(!store.extend_lifetime(session.id()).unwrap(), "ended on another host a moment ago");
}

pub(crate) fn hosts_that_sweep_at_once_share_the_work_and_count_each_session_once<P: Place>() {
    const SESSIONS: u64 = 600;
    let hosts = Hosts::<P>::new();
    let store = hosts.host();
    for number in 0..SESSIONS {
        store.create_for_user(number % 7, number).unwrap();
    }
    hosts.clock.advance(Duration::from_secs(60));
    let kept = store.create(0).unwrap();
    let swept = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let host = hosts.host();
                swept.fetch_add(host.clean_up_expired().unwrap(), Ordering::Relaxed);
            });
        }
    });
    // A sweep may skip sessions that another sweep holds locked; one more finds them.
    let rest = store.clean_up_expired().unwrap();
    assert_eq!(swept.load(Ordering::Relaxed) + rest, SESSIONS);
    assert!(store.read(kept.id()).unwrap().is_some());
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.sessions, report.expired, report.user_entries), (1, 0, 0));
}

pub(crate) fn no_number_of_hosts_gets_a_user_past_their_limit<P: Place>() {
    let hosts = Hosts::<P>::new();
    let open = || {
        let builder = hosts.builder();
        builder.max_sessions_per_user(3, UserLimit::EndLeastRecentlyActive).build().unwrap()
    };
    let stores: Vec<_> = (0..3).map(|_| open()).collect();
    thread::scope(|scope| {
        for store in &stores {
            for _ in 0..3 {
                scope.spawn(|| {
                    for number in 0..8 {
                        store.create_for_user("ann", number).unwrap();
                        assert!(store.sessions_of("ann").unwrap().len() <= 3);
                    }
                });
            }
        }
    });
    assert_eq!(stores[0].sessions_of("ann").unwrap().len(), 3);
    assert_eq!(stores[0].len().unwrap(), 3);
}

pub(crate) fn no_number_of_hosts_gets_past_the_limit_of_the_store<P: Place>() {
    // Far from the limit, engines may count differently than near it.
    const LIMIT: u64 = 1_020;
    const BEFORE: u64 = 995;
    let hosts = Hosts::<P>::new();
    let stores: Vec<_> =
        (0..3).map(|_| hosts.builder().max_sessions(LIMIT).build().unwrap()).collect();
    for number in 0..BEFORE {
        stores[0].create(number).unwrap();
    }
    let made = AtomicU64::new(BEFORE);
    thread::scope(|scope| {
        for store in &stores {
            for _ in 0..3 {
                scope.spawn(|| {
                    for number in 0..8 {
                        match store.create(number) {
                            Ok(_) => drop(made.fetch_add(1, Ordering::Relaxed)),
                            Err(Error::Full { max: LIMIT }) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
            }
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), LIMIT);
    assert_eq!(stores[0].len().unwrap(), LIMIT);
}

pub(crate) fn a_server_keeps_nothing_of_a_user_whose_sessions_have_ended<P: Place>() {
    const NAME: &str = "someone rare";
    let hosts = Hosts::<P>::new();
    let store = hosts
        .builder()
        .max_sessions_per_user(1, UserLimit::EndLeastRecentlyActive)
        .build()
        .unwrap();
    // A client shows bytes as they are, or in hexadecimal digits of either case.
    let hex: String = NAME.bytes().map(|byte| format!("{byte:02x}")).collect();
    let names_in = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        text.matches(NAME).count() + text.matches(&hex).count()
    };
    let mut session = store.create_for_user(NAME, 1).unwrap();
    assert_ne!(names_in(hosts.on.stored_bytes()), 0);
    session.set_user("ann");
    store.update(&mut session).unwrap();
    session.set_user(NAME);
    store.update(&mut session).unwrap();
    store.destroy_all_of(NAME).unwrap();
    assert_eq!(names_in(hosts.on.stored_bytes()), 0);
}

pub(crate) fn hosts_that_open_a_new_store_at_once_all_open_it<P: Place>() {
    let hosts = Hosts::<P>::new();
    thread::scope(|scope| {
        let opening: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| hosts.builder().content_name("cart").build().unwrap()))
            .collect();
        for store in opening {
            store.join().unwrap().create(1).unwrap();
        }
    });
    assert_eq!(hosts.builder().content_name("cart").build().unwrap().len().unwrap(), 6);
    let other = hosts.builder().content_name("other").build();
    assert!(matches!(other, Err(Error::ContentMismatch { .. })));
}

pub(crate) fn hosts_with_other_timeouts_go_by_their_own<P: Place>() {
    let hosts = Hosts::<P>::new();
    let long = hosts.host();
    let id = long.create(1).unwrap().id().clone();
    let short = hosts.builder().timeouts(Timeouts::from_seconds(10, 600).unwrap()).build().unwrap();
    hosts.clock.advance(Duration::from_secs(10));
    assert!(short.read(&id).unwrap().is_none());
    assert!(long.read_and_extend(&id).unwrap().is_some(), "a deploy is under way");
    assert!(short.read(&id).unwrap().is_some(), "a touch is seen by all");
    let again = hosts.host();
    hosts.clock.advance(Duration::from_secs(60));
    assert_eq!(again.len().unwrap(), 0);
    assert_eq!(again.clean_up_expired().unwrap(), 1);
}

pub(crate) fn a_host_with_shorter_timeouts_sweeps_nothing_that_lives_by_longer_ones<P: Place>() {
    let hosts = Hosts::<P>::new();
    let short = hosts.builder().timeouts(Timeouts::from_seconds(10, 600).unwrap()).build().unwrap();
    let long = hosts.host();
    let session = long.create(1).unwrap();
    hosts.clock.advance(Duration::from_secs(20));
    assert!(short.read(session.id()).unwrap().is_none());
    assert_eq!(short.clean_up_expired().unwrap(), 0, "a deploy is under way");
    assert!(short.check().unwrap().is_sound() && long.check().unwrap().is_sound());
    assert!(long.read_and_extend(session.id()).unwrap().is_some());
    hosts.clock.advance(Duration::from_secs(60));
    assert_eq!(short.clean_up_expired().unwrap(), 1);
}

pub(crate) fn what_a_newer_version_keeps_is_refused<P: Place>() {
    use sessile::Engine as _;

    let on = On::<P>::new();
    let engine = on.open();
    engine.store_meta("format", b"2").unwrap();
    let refused = P::connect(&patient(&on.url));
    assert!(
        matches!(refused, Err(Error::UnsupportedFormat { found: 2, supported: 1, .. })),
        "{refused:?}"
    );
    engine.store_meta("format", b"1").unwrap();
    P::connect(&patient(&on.url)).unwrap();
}

pub(crate) fn who_only_looks_for_a_store_makes_none_and_finds_one<P: Place>() {
    let on = On::<P>::new();
    let look = || P::connect_existing(&patient(&on.url)).unwrap();
    let open = || {
        let builder = SessionStore::<u64>::builder().manual_maintenance();
        builder.connect_existing(&patient(&on.url))
    };
    let before = P::names(&on.url);
    assert!(look().is_none());
    assert!(matches!(open(), Err(Error::InvalidSetting { name: "url", .. })));
    assert_eq!(P::names(&on.url), before);
    let builder = SessionStore::<u64>::builder().engine(on.open()).manual_maintenance();
    builder.build().unwrap().create(1).unwrap();
    assert_ne!(P::names(&on.url), before);
    let inspector = Inspector::on(look().unwrap()).unwrap();
    assert_eq!(inspector.overview().unwrap().sessions, 1);
    assert_eq!(open().unwrap().len().unwrap(), 1);
}

pub(crate) fn hosts_tell_the_same_time_and_make_sessions_by_it<P: Place>() {
    use sessile::Engine as _;

    let on = On::<P>::new();
    let (one, two) = (on.open(), on.open());
    let (first, second) =
        (one.server_time().unwrap().unwrap(), two.server_time().unwrap().unwrap());
    assert!(first.as_millis().abs_diff(second.as_millis()) < 5_000, "{first:?} {second:?}");
    let store: SessionStore<u64> =
        SessionStore::builder().engine(one).manual_maintenance().build().unwrap();
    let session = store.create(1).unwrap();
    let created = session.created_at().duration_since(std::time::UNIX_EPOCH).unwrap();
    let created = u64::try_from(created.as_millis()).unwrap();
    assert!(created >= first.as_millis(), "it was made at the time that was told");
}
