//! Calls on all sessions: counting, visiting, clearing, and the statistics of a store.

use crate::engine::contract::Engine as _;
use crate::engine::outcome::Listing;
use crate::session::attributes::Attributes;
use crate::store::SessionStore;
use crate::testing::EngineFixture;
use crate::testing::conformance::kit::*;

fn shows_all<C: Sample, F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<C>();
    assert_eq!((store.len().unwrap(), visited(&store)), (0, vec![]));
    assert!(store.is_empty().unwrap());
    let mut expected: Vec<_> = (0..10)
        .map(|number| {
            let session = match number % 2 {
                0 => created(&store, number),
                _ => created_for(&store, "ann", number),
            };
            (session.key(), number)
        })
        .collect();
    expected.sort_unstable();
    assert_eq!(visited(&store), expected);
    assert_eq!((store.len().unwrap(), store.is_empty().unwrap()), (10, false));
    store
        .for_each(|info, content| {
            let owner = (content.number() % 2 == 1).then(|| "ann".into());
            assert_eq!(info.user(), owner.as_ref());
            assert_eq!(info.expires_at(), info.created_at() + INACTIVITY);
        })
        .unwrap();
}

pub fn for_each_shows_every_session_with_its_content<F: EngineFixture>() {
    shows_all::<Cart, F>();
    shows_all::<Attributes, F>();
}

pub fn for_each_shows_one_moment_whatever_its_closure_does<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let listing = setup.fixture.open().listing();
    let store = setup.store::<u64>();
    let sessions: Vec<_> = (0..20).map(|number| created(&store, number)).collect();
    let mut shown = Vec::new();
    store
        .for_each(|info, number| {
            if shown.is_empty() {
                for session in &sessions[..10] {
                    assert!(store.destroy(session.id()).unwrap());
                }
                for session in &sessions[10..] {
                    store.modify(session.id(), |session| *session.content_mut() = 99).unwrap();
                }
                created(&store, 100);
            }
            shown.push((info.key(), number));
        })
        .unwrap();
    let mut expected: Vec<_> =
        sessions.iter().map(|session| (session.key(), *session.content())).collect();
    expected.sort_unstable();
    shown.sort_unstable();
    match listing {
        Listing::Snapshot => assert_eq!(shown, expected),
        Listing::Walk => {
            assert!(shown.is_sorted_by(|(one, _), (next, _)| one < next), "none is shown twice");
            for session in &sessions[10..] {
                let found = shown.iter().find(|(key, _)| *key == session.key());
                assert!(found.is_some_and(|(_, number)| [*session.content(), 99].contains(number)));
            }
        }
    }
    assert_eq!(store.len().unwrap(), 11);
}

pub fn clear_ends_every_session_and_the_store_goes_on<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Attributes>();
    let one = created_for(&store, "ann", 1);
    let two = created(&store, 2);
    setup.clock.advance(MS);
    assert!(store.extend_lifetime(one.id()).unwrap());
    store.clear().unwrap();
    assert_eq!(store.len().unwrap(), 0);
    assert_eq!(store.stats().unwrap().pending_touches, 0);
    for session in [&one, &two] {
        assert_absent(&store, session);
    }
    store.clear().expect("an empty store may be cleared");
    let three = created_for(&store, "ann", 3);
    assert_eq!(visited(&store), [(three.key(), 3)]);
    assert_eq!(keys_listed(&store, "ann"), [three.key()]);
    setup.clock.advance(INACTIVITY);
    assert_eq!(store.clean_up_expired().unwrap(), 1, "what was cleared is not swept again");
}

pub fn the_store_tells_its_timeouts_and_numbers<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    assert_eq!(
        (store.timeouts().inactivity(), store.timeouts().absolute()),
        (INACTIVITY, ABSOLUTE)
    );
    created(&store, 1);
    let expiring = created(&store, 2);
    setup.clock.advance(INACTIVITY - MS);
    created(&store, 3);
    setup.clock.advance(MS);
    let stats = store.stats().unwrap();
    assert_eq!((stats.sessions, stats.swept, stats.damaged_records), (1, 0, 0));
    assert_eq!(store.clean_up_expired().unwrap(), 2);
    let stats = store.stats().unwrap();
    assert_eq!((stats.sessions, stats.swept), (1, 2));
    assert!(stats.maintenance_failures == 0 && stats.last_maintenance_failure.is_none());
    assert_absent(&store, &expiring);
}

pub fn every_handle_of_a_store_is_the_same_store<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<u64>();
    let other: SessionStore<u64> = store.clone();
    let session = created(&store, 1);
    drop(store);
    assert!(other.read(session.id()).unwrap().is_some(), "one handle that goes closes nothing");
    assert!(other.destroy(session.id()).unwrap());
}

pub fn a_check_of_a_sound_store_counts_everything_and_finds_nothing<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<Attributes>();
    assert_eq!(store.check().unwrap(), crate::store::check::CheckReport::default());
    created(&store, 1);
    let expiring = created_for(&store, "ann", 2);
    let extended = created_for(&store, "ann", 3);
    setup.clock.advance(INACTIVITY - MS);
    assert!(store.extend_lifetime(extended.id()).unwrap());
    created_for(&store, 7, 4);
    store.flush().unwrap();
    setup.clock.advance(MS);
    let report = store.check().unwrap();
    assert!(report.is_sound() && report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.sessions, report.expired), (2, 2));
    assert_eq!((report.expiry_entries, report.user_entries), (4, 3));
    assert_absent(&store, &expiring);
    store.clean_up_expired().unwrap();
    let report = store.check().unwrap();
    assert_eq!((report.sessions, report.expired), (2, 0));
    assert_eq!((report.expiry_entries, report.user_entries, report.problem_count), (2, 2, 0));
}

pub fn a_check_reports_content_that_does_not_fit<F: EngineFixture>() {
    let setup = Setup::<F>::new();
    let store = setup.store::<String>();
    let text = store.create("four".into()).unwrap();
    store.close().unwrap();
    let store = setup.store::<u64>();
    created(&store, 1);
    let report = store.check().unwrap();
    assert_eq!((report.problem_count, report.sessions), (1, 2));
    let [crate::engine::check::Problem::UnreadableContent { key, .. }] = &report.problems[..]
    else {
        panic!("{:?}", report.problems);
    };
    assert_eq!(*key, text.key());
    assert_eq!(report.problems[0].key(), text.key());
    let line = report.problems[0].to_string();
    assert!(line.contains(&text.key().to_string()) && line.contains("content"), "{line}");
}
