//! A store behind a network that fails on demand, and the comparison of its state with an answer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use sessile::engine::{Engine, Insert, Limits, UserKey};
use sessile::testing::{EngineFixture, NetworkFault, Proxy, Way};
use sessile::{Error, SessionKey};

use super::operations::Operation;
use super::{in_the_end, key, moment, sample};
use crate::places::{On, Place, address_of, behind, with_parameter};

/// The stored state, by key: the revision, the last activity, the user, and the bytes of the
/// record.
type Contents = BTreeMap<SessionKey, (u64, u64, Option<UserKey>, Vec<u8>)>;

/// The two connections to the store: directly, and through a failing network.
pub(super) struct Bench<P: Place> {
    pub(super) direct: P::Engine,
    pub(super) broken: P::Engine,
    pub(super) proxy: Proxy,
    _on: On<P>,
}

impl<P: Place> Bench<P> {
    pub(super) fn new(timeout_ms: u64) -> Self {
        Self::of(On::new(), timeout_ms)
    }

    pub(super) fn of(on: On<P>, timeout_ms: u64) -> Self {
        let direct = on.open();
        let proxy = Proxy::start(address_of(&on.url));
        let url =
            with_parameter(&behind(&on.url, proxy.address()), &format!("timeout_ms={timeout_ms}"));
        let broken = in_the_end(|| P::connect(&url));
        Self { direct, broken, proxy, _on: on }
    }

    /// Stores Ann's sessions 1 and 2, and Bob's 3.
    pub(super) fn prepare(&self) {
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
    pub(super) fn contents(&self) -> Contents {
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
    pub(super) fn measure(&self, operation: &Operation) -> Measured {
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

    pub(super) fn try_with(
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
                let is_given_up = operation.name.starts_with("insert") && said == "Lost";
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
pub(super) struct Measured {
    requested: u64,
    answered: u64,
    before: Contents,
    after: Contents,
}

impl Measured {
    pub(super) fn ways(&self) -> [(Way, u64); 2] {
        [(Way::Request, self.requested), (Way::Answer, self.answered)]
    }
}
