//! When a session ends: the exact millisecond of the deadline, what moves it, and what does not.

use std::time::Duration;

use crate::error::timeouts::InvalidTimeouts;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::session::attributes::Attributes;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;
use crate::time::timeouts::Timeouts;

/// One session per method, so that no method affects the session of another.
fn one_for_each_method<C: Sample>(store: &SessionStore<C>) -> Vec<Session<C>> {
    (0..12).map(|number| created_for(store, number, number)).collect()
}

fn every_method_finds<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let mut sessions = one_for_each_method(&store);
    setup.clock.advance(INACTIVITY - MS);

    assert_eq!(store.len().unwrap(), 12);
    assert!(!store.is_empty().unwrap());
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert_eq!(visited(&store).len(), 12);
    assert!(store.read(sessions[0].id()).unwrap().is_some());
    assert!(store.read_and_extend(sessions[1].id()).unwrap().is_some());
    assert!(store.extend_lifetime(sessions[2].id()).unwrap());
    store.update(&mut sessions[3]).unwrap();
    assert!(store.modify(sessions[4].id(), |_| ()).unwrap().is_some());
    store.regenerate_id(&mut sessions[5]).unwrap();
    assert_eq!(keys_listed(&store, 6), [sessions[6].key()]);
    assert_eq!(store.destroy_others(&sessions[7]).unwrap(), 0);
    assert!(store.destroy(sessions[8].id()).unwrap());
    assert!(store.destroy_key(&sessions[9].key()).unwrap());
    assert_eq!(store.destroy_all_of(10).unwrap(), 1);
    assert_eq!(store.len().unwrap(), 9);
}

pub fn every_method_finds_a_session_in_its_last_millisecond<F: EngineFixture>() {
    every_method_finds::<Cart, F>();
    every_method_finds::<Attributes, F>();
}

fn no_method_finds<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    let mut sessions = one_for_each_method(&store);
    setup.clock.advance(INACTIVITY);

    assert_eq!(store.len().unwrap(), 0);
    assert!(store.is_empty().unwrap());
    assert_eq!(visited(&store), []);
    assert!(store.read(sessions[0].id()).unwrap().is_none());
    assert!(store.read_and_extend(sessions[1].id()).unwrap().is_none());
    assert!(!store.extend_lifetime(sessions[2].id()).unwrap());
    assert_gone(store.update(&mut sessions[3]), "update");
    assert!(store.modify(sessions[4].id(), |_| ()).unwrap().is_none());
    assert_gone(store.regenerate_id(&mut sessions[5]), "regenerate_id");
    assert_eq!(listed(&store, 6), []);
    assert_gone(store.destroy_others(&sessions[7]), "destroy_others");
    assert!(!store.destroy(sessions[8].id()).unwrap());
    assert!(!store.destroy_key(&sessions[9].key()).unwrap());
    assert_eq!(store.destroy_all_of(10).unwrap(), 0);
    assert_eq!(store.clean_up_expired().unwrap(), 9, "three were removed by name before");
    assert_eq!(store.len().unwrap(), 0);
}

pub fn no_method_finds_a_session_at_its_deadline<F: EngineFixture>() {
    no_method_finds::<Cart, F>();
    no_method_finds::<Attributes, F>();
}

pub fn an_expired_session_is_absent_before_and_after_it_is_swept<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let swept = created_for(&store, "ann", 1);
    setup.clock.advance(INACTIVITY);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    assert_absent(&store, &swept);
    let unswept = created_for(&store, "ann", 2);
    setup.clock.advance(INACTIVITY);
    assert_absent(&store, &unswept);
}

pub fn extending_an_expired_session_does_not_revive_it<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    setup.clock.advance(INACTIVITY);
    assert!(!store.extend_lifetime(session.id()).unwrap());
    assert!(store.read_and_extend(session.id()).unwrap().is_none());
    store.flush().unwrap();
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    assert_absent(&store, &session);
}

pub fn extending_gives_a_full_inactivity_timeout_from_now<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created(&store, 1);
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.extend_lifetime(session.id()).unwrap());
    let read = stored(&store, session.id());
    assert_eq!(read.last_active(), session.created_at() + INACTIVITY - MS);
    assert_eq!(read.expires_at(), read.last_active() + INACTIVITY);
    assert_eq!(read.created_at(), session.created_at());
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.read(session.id()).unwrap().is_some());
    setup.clock.advance(MS);
    assert_absent(&store, &session);
}

pub fn an_extension_holds_whether_flushed_or_not<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let flushed = created_for(&store, "ann", 1);
    let pending = created_for(&store, "ann", 2);
    setup.clock.advance(INACTIVITY / 2);
    assert!(store.extend_lifetime(flushed.id()).unwrap());
    store.flush().unwrap();
    assert!(store.extend_lifetime(pending.id()).unwrap());
    setup.clock.advance(INACTIVITY / 2);
    assert_eq!(store.clean_up_expired().unwrap(), 0, "both live on");
    for session in [&flushed, &pending] {
        let deadline = session.created_at() + INACTIVITY / 2 + INACTIVITY;
        assert_eq!(stored(&store, session.id()).expires_at(), deadline);
        let shown = listed(&store, "ann").into_iter().find(|info| info.key() == session.key());
        assert_eq!(shown.unwrap().expires_at(), deadline);
    }
    assert_eq!(store.len().unwrap(), 2);
    assert_eq!(visited(&store).len(), 2);
}

pub fn reading_and_listing_do_not_extend<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let session = created_for(&store, "ann", 1);
    setup.clock.advance(INACTIVITY - MS);
    assert_eq!(stored(&store, session.id()).last_active(), session.created_at());
    assert_eq!(listed(&store, "ann").len(), 1);
    assert_eq!(visited(&store).len(), 1);
    setup.clock.advance(MS);
    assert_absent(&store, &session);
}

pub fn reading_with_extension_shows_the_extended_life<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Cart>();
    let session = created(&store, 7);
    setup.clock.advance(INACTIVITY / 2);
    let read = store.read_and_extend(session.id()).unwrap().unwrap();
    assert_eq!(read.last_active(), session.created_at() + INACTIVITY / 2);
    assert_eq!(read.expires_at(), read.last_active() + INACTIVITY);
    assert_eq!(read.content().number(), 7);
    assert_eq!(stored(&store, session.id()).expires_at(), read.expires_at());
}

pub fn saving_extends<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut updated = created(&store, 1);
    let modified = created(&store, 2);
    let mut regenerated = created(&store, 3);
    setup.clock.advance(INACTIVITY - MS);
    store.update(&mut updated).unwrap();
    let modified = store.modify(modified.id(), |_| ()).unwrap().unwrap();
    store.regenerate_id(&mut regenerated).unwrap();
    for session in [updated, modified, regenerated] {
        let deadline = session.created_at() + INACTIVITY - MS + INACTIVITY;
        assert_eq!(session.expires_at(), deadline);
        assert_eq!(stored(&store, session.id()).expires_at(), deadline);
    }
}

pub fn extending_stops_at_the_absolute_deadline<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created(&store, 1);
    let end = session.created_at() + ABSOLUTE;
    for _ in 0..6 {
        setup.clock.advance(INACTIVITY - MS);
        assert!(store.extend_lifetime(session.id()).unwrap());
        store.update(&mut session).unwrap();
        assert!(session.expires_at() <= end);
    }
    assert_eq!(session.expires_at(), end);
    setup.clock.advance(6 * MS - MS);
    assert_eq!(store.read_and_extend(session.id()).unwrap().unwrap().expires_at(), end);
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(session.expires_at(), end, "a new id does not prolong it either");
    setup.clock.advance(MS);
    assert_absent(&store, &session);
    assert_eq!(store.len().unwrap(), 0);
}

pub fn a_timeout_below_a_millisecond_is_refused_and_one_millisecond_is_lived<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store_with(Timeouts::new(MS, MS).unwrap());
    let mut session = created_for(&store, "ann", 1);
    for short in [Duration::ZERO, MS - Duration::from_nanos(1)] {
        let inactivity = store.create_with(2, &options().inactivity(short));
        let absolute = store.create_with(2, &options().absolute(short));
        let set = [session.set_timeouts(short, ABSOLUTE), session.set_timeouts(short, short)];
        for refused in [inactivity.map(drop), absolute.map(drop)].into_iter().chain(set) {
            let too_short = matches!(
                refused,
                Err(Error::InvalidTimeouts(InvalidTimeouts::Zero { timeout })) if timeout == short
            );
            assert!(too_short, "{refused:?}");
        }
    }
    assert_eq!(store.len().unwrap(), 1);
    assert!(store.read(session.id()).unwrap().is_some());
    setup.clock.advance(MS);
    assert_absent(&store, &session);
}

pub fn own_timeouts_override_the_stores_one_by_one<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let second = Duration::from_secs(1);
    let short = store.create_with(1, &options().inactivity(second)).unwrap();
    let long = store.create_with(2, &options().inactivity(ABSOLUTE)).unwrap();
    let brief = store.create_with(3, &options().inactivity(second).absolute(2 * second)).unwrap();
    let month = 30 * 24 * 3_600 * second;
    let remembered = store.create_with(4, &options().inactivity(month).absolute(month)).unwrap();
    for (session, lives) in [(&short, second), (&long, ABSOLUTE), (&remembered, month)] {
        assert_eq!(session.expires_at(), session.created_at() + lives);
        assert_eq!(stored(&store, session.id()).expires_at(), session.expires_at());
    }
    for moved in [second - MS, second / 2] {
        setup.clock.advance(moved);
        assert!(store.extend_lifetime(short.id()).unwrap());
        assert!(store.extend_lifetime(brief.id()).unwrap());
    }
    setup.clock.advance(second / 2);
    assert_eq!(store.len().unwrap(), 4);
    setup.clock.advance(MS);
    assert_absent(&store, &brief);
    setup.clock.advance(second / 2 - 2 * MS);
    assert_eq!(store.len().unwrap(), 3);
    setup.clock.advance(MS);
    assert_absent(&store, &short);
    assert_eq!(store.len().unwrap(), 2);
    setup.clock.advance(ABSOLUTE);
    assert_absent(&store, &long);
    assert_eq!(keys_of_all(&store), [remembered.key()]);
}

fn keys_of_all(store: &SessionStore<u64>) -> Vec<crate::key::SessionKey> {
    visited(store).into_iter().map(|(key, _)| key).collect()
}

pub fn own_timeouts_survive_every_change<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let own = options().inactivity(2 * INACTIVITY).absolute(3 * INACTIVITY);
    let mut session = store.create_with(1, &own).unwrap();
    setup.clock.advance(MS);
    store.update(&mut session).unwrap();
    assert_eq!(session.expires_at(), session.last_active() + 2 * INACTIVITY);
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(stored(&store, session.id()).expires_at(), session.last_active() + 2 * INACTIVITY);
    setup.clock.advance(2 * INACTIVITY - MS);
    assert!(store.extend_lifetime(session.id()).unwrap());
    let read = stored(&store, session.id());
    assert_eq!(read.expires_at(), session.created_at() + 3 * INACTIVITY);
}

pub fn own_timeouts_are_checked_as_the_stores_are<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    for contradictory in [
        options().inactivity(ABSOLUTE + MS),
        options().absolute(INACTIVITY - MS),
        options().inactivity(2 * MS).absolute(MS),
    ] {
        let refused = store.create_with(1, &contradictory);
        assert!(matches!(
            refused,
            Err(Error::InvalidTimeouts(InvalidTimeouts::InactivityExceedsAbsolute { .. }))
        ));
    }
    let endless = store.create_with(1, &options().absolute(Duration::MAX));
    assert!(matches!(
        endless,
        Err(Error::InvalidTimeouts(InvalidTimeouts::PastTheEndOfTime { .. }))
    ));
    assert_eq!(store.stats().unwrap().sessions, 0);
}

pub fn own_timeouts_can_be_changed_and_taken_away<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let month = 30 * 24 * 60 * ABSOLUTE;
    let mut longer = created_for(&store, "ann", 1);
    let mut shorter = created_for(&store, "ann", 2);
    let mut back = store.create_with(3, &options().inactivity(month).absolute(month)).unwrap();
    let mut unsaved = created_for(&store, "ann", 4);

    unsaved.set_timeouts(month, month).unwrap();
    longer.set_timeouts(month, month).unwrap();
    assert!(longer.is_modified());
    store.regenerate_id(&mut longer).unwrap();
    shorter.set_timeouts(MS, 2 * MS).unwrap();
    store.update(&mut shorter).unwrap();
    back.clear_timeouts();
    store.update(&mut back).unwrap();
    let lives = [(&longer, month), (&shorter, MS), (&back, INACTIVITY), (&unsaved, INACTIVITY)];
    for (session, life) in lives {
        assert_eq!(session.expires_at(), session.created_at() + life);
        assert_eq!(stored(&store, session.id()).expires_at(), session.expires_at());
    }

    setup.clock.advance(MS);
    assert_eq!(store.clean_up_expired().unwrap(), 1, "the index follows to an earlier deadline");
    assert_absent(&store, &shorter);
    setup.clock.advance(INACTIVITY - MS);
    assert_eq!(store.clean_up_expired().unwrap(), 2);
    assert_absent(&store, &back);
    assert_absent(&store, &unsaved);
    setup.clock.advance(month - INACTIVITY - MS);
    assert_eq!(store.clean_up_expired().unwrap(), 0, "and to a later one");
    assert_eq!(stored(&store, longer.id()).user(), Some(&"ann".into()));
    setup.clock.advance(MS);
    assert_eq!(store.clean_up_expired().unwrap(), 1);
    assert_absent(&store, &longer);
}

pub fn own_timeouts_that_are_set_later_are_checked_too<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let mut session = created_for(&store, "ann", 1);
    let refused = session.set_timeouts(2 * MS, MS);
    assert!(matches!(
        refused,
        Err(Error::InvalidTimeouts(InvalidTimeouts::InactivityExceedsAbsolute { .. }))
    ));
    let endless = Duration::from_millis(u64::MAX);
    let refused = session.set_timeouts(MS, endless);
    assert!(matches!(
        refused,
        Err(Error::InvalidTimeouts(InvalidTimeouts::PastTheEndOfTime { .. }))
    ));
    assert!(!session.is_modified());
    store.update(&mut session).unwrap();
    assert_eq!(session.expires_at(), session.last_active() + INACTIVITY);
}

pub fn timeouts_that_are_over_already_are_refused_and_nothing_is_written<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let month = 30 * 24 * 60 * ABSOLUTE;
    let long = options().inactivity(month).absolute(month);
    let mut session = store.create_with(1, &long).unwrap();
    let id = session.id().clone();
    let mut stale = stored(&store, &id);
    setup.clock.advance(ABSOLUTE);
    let is_over = |refused: Result<()>, over: Duration| {
        let says_so = matches!(
            refused,
            Err(Error::InvalidTimeouts(InvalidTimeouts::AlreadyOver { timeout })) if timeout == over
        );
        assert!(says_so, "{refused:?}");
        let kept = stored(&store, &id);
        assert_eq!((kept.content(), kept.expires_at()), (&1, kept.last_active() + month));
    };
    *session.content_mut() = 2;
    session.set_timeouts(MS, ABSOLUTE).unwrap();
    is_over(store.update(&mut session), ABSOLUTE);
    is_over(store.regenerate_id(&mut session), ABSOLUTE);
    assert_eq!(session.id(), &id);
    session.clear_timeouts();
    is_over(store.update(&mut session), ABSOLUTE);
    let shortened = store.modify(&id, |session| session.set_timeouts(MS, 2 * MS));
    is_over(shortened.map(drop), 2 * MS);
    assert_eq!(store.stats().unwrap().sessions, 1);

    // One that lasts a millisecond more is a life.
    session.set_timeouts(MS, ABSOLUTE + MS).unwrap();
    store.update(&mut session).unwrap();
    assert_eq!(stored(&store, &id).content(), &2);
    // Another save, or the end of the session, comes before its timeouts.
    stale.set_timeouts(MS, MS).unwrap();
    assert_conflict(store.update(&mut stale));
    setup.clock.advance(MS);
    assert_gone(store.update(&mut session), "update");
    assert_gone(store.regenerate_id(&mut stale), "regenerate_id");
}
