//! Requests that are cut, and answers that are cut, late, or never come.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::engine::{Engine, Limits, Record, Replace};
use sessile::testing::{EngineFixture, NetworkFault, Way};
use sessile::{Error, SessionStore};

use super::bench::Bench;
use super::operations::operations;
use super::{in_the_end, key, moment, sample, user};
use crate::instances::{ends, wait_until};
use crate::places::{On, Place};

/// Every byte if `SESSILE_TEST_EVERY_BYTE` is set; otherwise every seventh, or fewer of a long
/// request, and the first and last three.
fn places(length: u64, most: u64) -> impl Iterator<Item = u64> {
    let every_byte = std::env::var_os("SESSILE_TEST_EVERY_BYTE").is_some();
    let step = if every_byte { 1 } else { 7.max(length / most) };
    (0..length).filter(move |at| at % step == 0 || *at < 3 || length - at <= 3)
}

pub(crate) fn a_connection_that_is_cut_at_any_byte_leaves_nothing_half_done<P: Place>() {
    cut_everywhere::<P>(150, On::new);
}

/// Cuts the connection in each operation, at some [`places`], each time on one of these stores.
pub(super) fn cut_everywhere<P: Place>(most: u64, store: impl Fn() -> On<P> + Sync) {
    let operations = Mutex::new(operations().into_iter());
    let next = || operations.lock().unwrap().next();
    // Each on its own store; the threads wait most of the time.
    std::thread::scope(|scope| {
        for _ in 0..P::CUT_AT_ONCE {
            scope.spawn(|| {
                let bench = Bench::of(store(), 5_000);
                while let Some(operation) = next() {
                    let measured = bench.measure(&operation);
                    for (way, length) in measured.ways() {
                        for at in places(length, most) {
                            bench.try_with(&operation, &measured, (way, at, NetworkFault::Cut));
                        }
                    }
                }
            });
        }
    });
}

pub(crate) fn an_answer_that_never_comes_ends_in_time_and_leaves_nothing_half_done<P: Place>() {
    swallow_everywhere::<P>(On::new(), |length| vec![0, length / 2, length - 1]);
}

/// Lets requests and answers end in each operation, at these places of their length.
pub(super) fn swallow_everywhere<P: Place>(store: On<P>, places: fn(u64) -> Vec<u64>) {
    let bench = Arc::new(Bench::of(store, 200));
    for operation in operations() {
        let bench = Arc::clone(&bench);
        ends(operation.name, move || {
            let measured = bench.measure(&operation);
            for (way, length) in measured.ways() {
                for at in places(length) {
                    bench.try_with(&operation, &measured, (way, at, NetworkFault::Swallow));
                }
            }
        });
    }
}

pub(crate) fn an_answer_that_comes_late_is_not_taken_for_another<P: Place>() {
    let bench = Bench::<P>::new(150);
    bench.prepare();
    for at in 0..8 {
        let late = NetworkFault::Delay(Duration::from_millis(120));
        bench.proxy.arm(Way::Answer, at, late);
        for number in [1, 2, 3] {
            match bench.broken.load(&key(number), moment(6_000)) {
                Ok(found) => {
                    let expected = sample(number.into(), if number == 3 { "bob" } else { "ann" });
                    assert_eq!(found.unwrap().user(), expected.user());
                }
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

pub(crate) fn an_insert_that_comes_late_brings_no_ended_session_back<P: Place>() {
    let bench = Bench::<P>::new(2_000);
    let proxy = &bench.proxy;
    let store: SessionStore<u32> =
        SessionStore::builder().engine(bench.broken).manual_maintenance().build().unwrap();
    // The connection exists already, so the insert itself is delayed.
    in_the_end(|| store.len());
    proxy.arm(Way::Request, 0, NetworkFault::Delay(Duration::from_millis(1_500)));
    let created = store.create_for_user("ann", 7);
    assert!(proxy.is_disarmed());
    let session = match created {
        Ok(session) => session,
        // On a loaded machine.
        Err(Error::OutcomeUnknown { .. }) => return,
        Err(error) => panic!("{error:?}"),
    };
    assert!(store.destroy(session.id()).unwrap());
    // No caller has the id of the late session; a sweep removes it like any other.
    wait_until("the late insert", || bench.direct.stats().unwrap().stored == 1);
    assert!(store.read(session.id()).unwrap().is_none(), "the session came back");
}

pub(crate) fn a_save_without_an_answer_that_another_one_followed_was_not_refused<P: Place>() {
    let bench = Bench::<P>::new(2_000);
    bench.prepare();
    let (direct, broken) = (&bench.direct, &bench.broken);
    // The connection exists already.
    in_the_end(|| broken.load(&key(1), moment(6_000)));
    bench.proxy.arm(Way::Answer, 0, NetworkFault::Swallow);
    let replace = |engine: &P::Engine, expected, record: Record| {
        engine.replace(&key(1), expected, record, moment(6_000), Limits::NONE)
    };
    let revised = |number| sample(number, "ann").renamed(&user("ann"));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| replace(broken, 1, revised(77)));
        let stored = || direct.load(&key(1), moment(6_000)).unwrap().unwrap();
        wait_until("the first save", || stored().revision() == 2);
        let second = replace(direct, 2, revised(78).renamed(&user("ann"))).unwrap();
        assert!(matches!(second, Replace::Done(_)), "{second:?}");
        // `Conflict` would make a caller change the session again.
        let first = first.join().unwrap();
        assert!(matches!(first, Err(Error::OutcomeUnknown { .. })), "{first:?}");
        assert_eq!(stored().revision(), 3);
    });
}
