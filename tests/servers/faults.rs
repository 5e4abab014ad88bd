//! A network that fails at every byte of every operation, in each way; the stored state is compared
//! with the answer.
//!
//! The rule: `Ok` means that the operation took effect once. [`Error::OutcomeUnknown`] means that
//! it took effect or did not. Any other error means that nothing changed. And each call ends in
//! time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::engine::{
    Engine, Insert, Limits, Moment, PerUser, Record, Rekey, Replace, Timestamp, UserKey, UserLimit,
};
use sessile::testing::{EngineFixture, NetworkFault, Proxy, Way};
use sessile::{Error, SessionKey, SessionStore, Timeouts, UserId};

use crate::instances::{ends, wait_until};
use crate::places::{On, Place, address_of, behind, with_parameter};

macro_rules! tests {
    ($place:ty) => {
        mod faults {
            crate::faults::tests! { @each $place;
                a_connection_that_is_cut_at_any_byte_leaves_nothing_half_done
                an_answer_that_never_comes_ends_in_time_and_leaves_nothing_half_done
                an_answer_that_comes_late_is_not_taken_for_another
                an_insert_that_comes_late_brings_no_ended_session_back
                a_save_without_an_answer_that_another_one_followed_was_not_refused
                a_store_whose_making_was_broken_off_is_made_whole
                a_server_that_is_not_there_is_unavailable_and_used_again_once_it_is
                connections_that_ended_while_nobody_used_them_are_not_noticed
                no_more_connections_than_allowed_are_opened
                a_wrong_url_is_an_error_that_shows_no_password
            }
        }
    };
    (@each $place:ty; $($case:ident)*) => {$(
        #[test]
        fn $case() {
            crate::faults::$case::<$place>();
        }
    )*};
}
pub(crate) use tests;

const RESOLUTION: Duration = Duration::ZERO;

fn moment(now: u64) -> Moment {
    let timeouts = Timeouts::from_seconds(1_000, 10_000).unwrap();
    Moment { now: Timestamp::from_millis(now), timeouts }
}

fn key(number: u8) -> SessionKey {
    SessionKey::from_bytes([number; 16])
}

fn user(name: &str) -> UserKey {
    // A user key is only available from a record.
    sample(1, name).user().unwrap()
}

/// A record as a store writes it.
fn sample(number: u32, name: &str) -> Record {
    let engine = std::sync::Arc::new(sessile::engine::MemoryEngine::new());
    let clock = sessile::testing::ManualClock::new();
    clock.set_millis(5_000);
    let store: SessionStore<u32> = SessionStore::builder()
        .engine(engine.clone())
        .clock(clock)
        .manual_maintenance()
        .build()
        .unwrap();
    let session = store.create_for_user(UserId::from(name), number).unwrap();
    engine.load(&session.key(), Moment::BEGINNING).unwrap().unwrap()
}

/// The result of an operation, as comparable text.
type Done = sessile::Result<String>;

/// The stored state, by key: the revision, the last activity, the user, and the bytes of the
/// record.
type Contents = BTreeMap<SessionKey, (u64, u64, Option<UserKey>, Vec<u8>)>;

struct Operation {
    name: &'static str,
    act: fn(&dyn Engine) -> Done,
    /// The possible results without an error. The first is the one without a fault.
    says: &'static [&'static str],
    /// Whether the engine looks up a lost outcome, so that a lost answer is no error.
    is_looked_up: bool,
}

fn operations() -> Vec<Operation> {
    fn limits() -> Limits {
        let policy = UserLimit::EndLeastRecentlyActive;
        Limits { per_user: Some(PerUser { max: 2, policy }), ..Limits::NONE }
    }
    let looked_up = |name, act, says| Operation { name, act, says, is_looked_up: true };
    let once = |name, act, says| Operation { name, act, says, is_looked_up: false };
    vec![
        looked_up(
            "insert",
            |engine| {
                let done = engine.insert(&key(9), sample(9, "ann"), moment(6_000), Limits::NONE)?;
                Ok(if matches!(done, Insert::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "insert under a limit",
            |engine| {
                let done = engine.insert(&key(9), sample(9, "ann"), moment(6_000), limits())?;
                Ok(if matches!(done, Insert::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "extend",
            |engine| {
                let found = engine.extend(&key(1), moment(7_000), RESOLUTION)?;
                Ok(found.map_or("none".into(), |found| found.last_active().as_millis().to_string()))
            },
            &["7000"],
        ),
        looked_up(
            "replace",
            |engine| {
                let next = sample(77, "bob").renamed(&user("bob"));
                let done = engine.replace(&key(1), 1, next, moment(6_000), Limits::NONE)?;
                Ok(if matches!(done, Replace::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "rekey",
            |engine| {
                let next = sample(88, "ann").renamed(&user("ann"));
                let done = engine.rekey(&key(1), &key(8), 1, next, moment(6_000), Limits::NONE)?;
                Ok(if matches!(done, Rekey::Done(_)) { "done".into() } else { format!("{done:?}") })
            },
            &["done"],
        ),
        looked_up(
            "replace under a limit",
            |engine| {
                let next = sample(77, "bob").renamed(&user("bob"));
                let done = engine.replace(&key(1), 1, next, moment(6_000), limits())?;
                Ok(if matches!(done, Replace::Done(_)) {
                    "done".into()
                } else {
                    format!("{done:?}")
                })
            },
            &["done"],
        ),
        looked_up(
            "rekey under a limit",
            |engine| {
                let next = sample(88, "bob").renamed(&user("bob"));
                let done = engine.rekey(&key(1), &key(8), 1, next, moment(6_000), limits())?;
                Ok(if matches!(done, Rekey::Done(_)) { "done".into() } else { format!("{done:?}") })
            },
            &["done"],
        ),
        once(
            "remove",
            |engine| {
                let gone = engine.remove(&key(1), None, moment(6_000))?;
                Ok(gone.map_or("none".into(), |gone| format!("{}", gone.key)))
            },
            &["01010101010101010101010101010101"],
        ),
        once(
            "remove_user",
            |engine| Ok(engine.remove_user(&user("ann"), moment(6_000))?.len().to_string()),
            &["2"],
        ),
        once(
            "remove_others",
            |engine| {
                let ended = engine.remove_others(&key(1), moment(6_000))?;
                Ok(ended.map_or("none".into(), |ended| ended.len().to_string()))
            },
            &["1"],
        ),
        once(
            "rename_user",
            |engine| Ok(engine.rename_user(&user("ann"), &user("eve"), moment(6_000))?.to_string()),
            &["2"],
        ),
        looked_up(
            "remove_expired",
            // Removals of a step whose answer was lost are not counted.
            |engine| Ok(engine.remove_expired(moment(2_000_000), 10)?.removed.len().to_string()),
            &["3", "0"],
        ),
        once("clear", |engine| engine.clear().map(|()| "done".into()), &["done"]),
        looked_up(
            "init_meta",
            |engine| Ok(String::from_utf8(engine.init_meta("color", b"red")?).unwrap()),
            &["red"],
        ),
        looked_up(
            "load",
            |engine| {
                let found = engine.load(&key(1), moment(6_000))?;
                Ok(found.map_or("none".into(), |found| found.revision().to_string()))
            },
            &["1"],
        ),
        looked_up("count", |engine| Ok(engine.count(moment(6_000))?.to_string()), &["3"]),
        looked_up(
            "scan_user",
            |engine| {
                let mut seen = 0;
                engine.scan_user(&user("ann"), &mut |_, record| {
                    record?;
                    seen += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(seen.to_string())
            },
            &["2"],
        ),
    ]
}

/// The two connections to the store: directly, and through a failing network.
struct Bench<P: Place> {
    direct: P::Engine,
    broken: P::Engine,
    proxy: Proxy,
    _on: On<P>,
}

impl<P: Place> Bench<P> {
    fn new(timeout_ms: u64) -> Self {
        let on = On::<P>::new();
        let direct = on.open();
        let proxy = Proxy::start(address_of(&on.url));
        let url =
            with_parameter(&behind(&on.url, proxy.address()), &format!("timeout_ms={timeout_ms}"));
        let broken = in_the_end(|| P::connect(&url));
        Self { direct, broken, proxy, _on: on }
    }

    /// Stores Ann's sessions 1 and 2, and Bob's 3.
    fn prepare(&self) {
        for number in [1, 2, 3, 8, 9] {
            self.direct.remove(&key(number), None, moment(0)).unwrap();
        }
        for (number, name) in [(1, "ann"), (2, "ann"), (3, "bob")] {
            let record = sample(number, name);
            let key = key(u8::try_from(number).unwrap());
            let done = self.direct.insert(&key, record, moment(5_000), Limits::NONE).unwrap();
            assert!(matches!(done, Insert::Done(_)));
        }
    }

    /// The stored state, once it agrees with the counts: the server may still be executing a
    /// request whose connection ended.
    fn contents(&self) -> Contents {
        for _ in 0..100 {
            let contents = self.scanned();
            if self.counted() == [contents.len() as u64; 2] {
                return contents;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?} are counted, and stored is {:?}", self.counted(), self.scanned());
    }

    fn scanned(&self) -> Contents {
        let mut contents = Contents::new();
        self.direct
            .scan(None, &mut |key, record| {
                let record = record?;
                let bytes = record.clone().encode(&key);
                let active = record.last_active().as_millis();
                contents.insert(key, (record.revision(), active, record.user(), bytes));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        contents
    }

    /// The number of entries in the index, and the number of records by the server.
    fn counted(&self) -> [u64; 2] {
        let checked = self.direct.check(&moment(0).timeouts, &mut |finding| {
            assert!(matches!(finding, sessile::engine::Finding::Record(..)), "{finding:?}");
            Ok(())
        });
        [checked.unwrap().expiry_entries, self.direct.stats().unwrap().stored]
    }

    /// The bytes in each direction without a fault, and the stored state before and after.
    fn measure(&self, operation: &Operation) -> Measured {
        let mut measured = Measured::default();
        // The first run also prepares a statement.
        for _ in 0..2 {
            self.prepare();
            measured.before = self.contents();
            let said = in_the_end(|| {
                self.prepare();
                self.proxy.reset();
                let said = (operation.act)(&self.broken);
                measured.requested = self.proxy.bytes(Way::Request);
                measured.answered = self.proxy.bytes(Way::Answer);
                said
            });
            assert_eq!(said, operation.says[0], "{}", operation.name);
            assert!(measured.requested > 0 && measured.answered > 0);
            measured.after = self.contents();
        }
        measured
    }

    fn try_with(
        &self,
        operation: &Operation,
        Measured { before, after, answered, .. }: &Measured,
        (way, at, fault): (Way, u64, NetworkFault),
    ) {
        let place = format!("{} with {fault:?} of the {way:?} at {at}", operation.name);
        self.prepare();
        // So that the fault hits the operation, and not the connecting before it.
        in_the_end(|| self.broken.load_meta("color"));
        self.proxy.arm(way, at, fault);
        let said = (operation.act)(&self.broken);
        self.proxy.reset();
        let now = self.contents();
        match said {
            Ok(said) => {
                // The answer to an insert was lost and the session is not there: the store draws
                // another id. The first insert may still take effect later.
                let is_given_up = operation.name.starts_with("insert") && said == "Occupied";
                if is_given_up {
                    let was_done = way == Way::Answer && at + 1 == *answered;
                    assert!(!was_done, "{place}: it is there, and was not looked up");
                    assert!(now == *before || now == *after, "{place}: {now:?}");
                    return;
                }
                assert!(operation.says.contains(&said.as_str()), "{place}: {said}");
                // A sweep step skips sessions that another step holds locked; here that is its own
                // first try.
                let is_left = operation.name == "remove_expired" && said == "0" && now == *before;
                assert!(is_left || now == *after, "{place}: it was answered {said}: {now:?}");
            }
            Err(Error::OutcomeUnknown { .. }) => {
                // The server may still be executing, once it has begun to answer.
                let pause = if way == Way::Answer { 150 } else { 5 };
                std::thread::sleep(Duration::from_millis(pause));
                let now = self.contents();
                assert!(
                    !operation.is_looked_up || fault == NetworkFault::Swallow,
                    "{place}: unknown"
                );
                assert!(now == *before || now == *after, "{place}: half done: {now:?}");
            }
            Err(error @ Error::Unavailable { .. }) => {
                assert!(
                    fault == NetworkFault::Swallow || !operation.is_looked_up,
                    "{place}: {error}"
                );
                assert_eq!(now, *before, "{place}: {error}");
            }
            Err(error) => panic!("{place}: {error:?}"),
        }
    }
}

#[derive(Default)]
struct Measured {
    requested: u64,
    answered: u64,
    before: Contents,
    after: Contents,
}

impl Measured {
    fn ways(&self) -> [(Way, u64); 2] {
        [(Way::Request, self.requested), (Way::Answer, self.answered)]
    }
}

/// Retries a call that has little time, for loaded machines.
fn in_the_end<T>(mut call: impl FnMut() -> sessile::Result<T>) -> T {
    for _ in 0..50 {
        if let Ok(done) = call() {
            return done;
        }
    }
    call().unwrap()
}

/// Every byte if `SESSILE_TEST_EVERY_BYTE` is set; otherwise every seventh, or fewer of a long
/// request, and the first and last three. Each place takes a connection, and a machine has some
/// 28,000 ports for those that ended within a minute.
fn places(length: u64) -> impl Iterator<Item = u64> {
    const MOST: u64 = 150;
    let every_byte = std::env::var_os("SESSILE_TEST_EVERY_BYTE").is_some();
    let step = if every_byte { 1 } else { 7.max(length / MOST) };
    (0..length).filter(move |at| at % step == 0 || *at < 3 || length - at <= 3)
}

pub(crate) fn a_connection_that_is_cut_at_any_byte_leaves_nothing_half_done<P: Place>() {
    let operations = Mutex::new(operations().into_iter());
    let next = || operations.lock().unwrap().next();
    // Each on its own store; the threads wait most of the time.
    std::thread::scope(|scope| {
        for _ in 0..P::CUT_AT_ONCE {
            scope.spawn(|| {
                let bench = Bench::<P>::new(5_000);
                while let Some(operation) = next() {
                    let measured = bench.measure(&operation);
                    for (way, length) in measured.ways() {
                        for at in places(length) {
                            bench.try_with(&operation, &measured, (way, at, NetworkFault::Cut));
                        }
                    }
                }
            });
        }
    });
}

pub(crate) fn an_answer_that_never_comes_ends_in_time_and_leaves_nothing_half_done<P: Place>() {
    let bench = Arc::new(Bench::<P>::new(200));
    for operation in operations() {
        let bench = Arc::clone(&bench);
        ends(operation.name, move || {
            let measured = bench.measure(&operation);
            for (way, length) in measured.ways() {
                for at in [0, length / 2, length - 1] {
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

pub(crate) fn a_store_whose_making_was_broken_off_is_made_whole<P: Place>() {
    for at in (0..).step_by(150) {
        let on = On::<P>::new();
        let proxy = Proxy::start(address_of(&on.url));
        proxy.arm(Way::Request, at, NetworkFault::Cut);
        // The call reconnects where it can, and fails otherwise.
        let _ = P::connect(&behind(&on.url, proxy.address()));
        let is_over = !proxy.is_disarmed();
        let engine = on.open();
        let done = engine.insert(&key(1), sample(1, "ann"), moment(5_000), Limits::NONE).unwrap();
        assert!(matches!(done, Insert::Done(_)), "cut at {at}: {done:?}");
        assert_eq!(engine.stats().unwrap().stored, 1, "cut at {at}");
        if is_over {
            return;
        }
    }
}

pub(crate) fn a_server_that_is_not_there_is_unavailable_and_used_again_once_it_is<P: Place>() {
    let bench = Bench::<P>::new(500);
    bench.prepare();
    let before = bench.contents();
    bench.proxy.refuse(true);
    bench.proxy.cut_all();
    // A connection that ended is recognised; one that ends at this moment need not be.
    std::thread::sleep(Duration::from_millis(20));
    for operation in operations() {
        let said = (operation.act)(&bench.broken);
        assert!(matches!(said, Err(Error::Unavailable { .. })), "{}: {said:?}", operation.name);
    }
    assert_eq!(bench.contents(), before);
    bench.proxy.refuse(false);
    for operation in operations().iter().filter(|one| one.is_looked_up) {
        bench.prepare();
        assert_eq!((operation.act)(&bench.broken).unwrap(), operation.says[0]);
    }
}

pub(crate) fn connections_that_ended_while_nobody_used_them_are_not_noticed<P: Place>() {
    let bench = Bench::<P>::new(5_000);
    for operation in operations() {
        bench.prepare();
        bench.broken.count(moment(6_000)).unwrap();
        bench.proxy.cut_all();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(
            (operation.act)(&bench.broken).unwrap(),
            operation.says[0],
            "{}",
            operation.name
        );
    }
}

pub(crate) fn no_more_connections_than_allowed_are_opened<P: Place>() {
    let on = On::<P>::new();
    let url = with_parameter(&on.url, "connections=2");
    let url = with_parameter(&url, "timeout_ms=10000");
    let engine = P::connect(&url).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for _ in 0..10 {
                    assert!(engine.load(&key(number), moment(6_000)).unwrap().is_none());
                }
            });
        }
    });
    // A visitor that uses the engine needs a second connection; there is no third one.
    let _ = engine.insert(&key(1), sample(1, "ann"), moment(5_000), Limits::NONE).unwrap();
    engine
        .scan(None, &mut |key, _| {
            assert!(engine.load(&key, moment(6_000))?.is_some());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
}

pub(crate) fn a_wrong_url_is_an_error_that_shows_no_password<P: Place>() {
    let on = On::<P>::new();
    let (scheme, rest) = on.url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let shows = |text: String| {
        assert!(!text.contains("hidden") && !text.contains("nobody"), "{text}");
    };
    let refused = P::connect(&format!("{scheme}://nobody:hidden@{host}"));
    if let Err(error) = refused {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        shows(format!("{error} {error:?}"));
    }
    let refused = P::connect(&with_parameter(&format!("{scheme}://nobody:hidden@{host}"), "x=1"));
    let error = refused.map(drop).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error:?}");
    shows(format!("{error} {error:?}"));
    let nowhere = P::connect(&format!("{scheme}://nobody:hidden@127.0.0.1:1/0?timeout_ms=300"));
    let error = nowhere.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    shows(format!("{error} {error:?}"));
    shows(format!("{:?}", on.open()));
}
