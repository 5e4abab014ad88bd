//! Checks that a server tells live from expired as [`Record::is_expired`] does, which scripts and
//! statements restate. It covers every edge, for timeouts that are equal, short or endless, of the
//! store and of the session.

use std::sync::Arc;
use std::time::Duration;

use sessile::engine::{Engine, Insert, Limits, MemoryEngine, Moment, Record, Timestamp};
use sessile::testing::{EngineFixture, ManualClock};
use sessile::{SessionKey, SessionOptions, SessionStore, Timeouts};

use crate::places::{On, Place};

macro_rules! tests {
    ($place:ty) => {
        #[test]
        fn live_and_expired_are_told_apart_as_the_record_does() {
            crate::deadlines::live_and_expired_are_told_apart_as_the_record_does::<$place>();
        }
    };
}
pub(crate) use tests;

const CREATED: u64 = 1_767_225_600_000;
const CENTURY: u64 = 100 * 365 * 86_400_000;

/// A record with these own timeouts, last active `active` milliseconds after its creation.
fn record(own: (Option<u64>, Option<u64>), active: u64) -> Record {
    let engine = Arc::new(MemoryEngine::new());
    let clock = ManualClock::new();
    clock.set_millis(CREATED);
    let endless = Timeouts::new(Duration::from_millis(CENTURY), Duration::from_millis(CENTURY));
    let store: SessionStore<u8> = SessionStore::builder()
        .engine(engine.clone())
        .clock(clock.clone())
        .timeouts(endless.unwrap())
        .manual_maintenance()
        .build()
        .unwrap();
    let mut options = SessionOptions::new().user("ann");
    if let Some(inactivity) = own.0 {
        options = options.inactivity(Duration::from_millis(inactivity));
    }
    if let Some(absolute) = own.1 {
        options = options.absolute(Duration::from_millis(absolute));
    }
    let key = store.create_with(7, &options).unwrap().key();
    let record = engine.load(&key, Moment::BEGINNING).unwrap().unwrap();
    record.touched(Timestamp::from_millis(CREATED + active))
}

fn records() -> Vec<Record> {
    let own = [None, Some(1), Some(999), Some(10_000_000_000), Some(CENTURY)];
    let mut records = Vec::new();
    for inactivity in own {
        for absolute in own {
            // A session with contradictory timeouts is not created.
            let fits = inactivity.unwrap_or(CENTURY) <= absolute.unwrap_or(CENTURY);
            for active in [0, 1, 500, 9_999_999_999] {
                records.extend(fits.then(|| record((inactivity, absolute), active)));
            }
        }
    }
    records
}

pub(crate) fn live_and_expired_are_told_apart_as_the_record_does<P: Place>() {
    let on = On::<P>::new();
    let engine = on.open();
    let key = SessionKey::from_bytes([5; 16]);
    let millis = Duration::from_millis;
    let mut compared = 0;
    for record in records() {
        for (inactivity, absolute) in [(1, 1), (700, 800), (CENTURY, CENTURY)] {
            let timeouts = Timeouts::new(millis(inactivity), millis(absolute)).unwrap();
            let deadline = record.deadline(&timeouts).as_millis();
            for now in [deadline - 1, deadline, deadline + 1] {
                let moment = Moment { now: Timestamp::from_millis(now), timeouts };
                let record = record.clone().indexed_under(Timestamp::from_millis(0));
                let expected = !record.is_expired(moment);
                let done = engine.insert(&key, record.clone(), moment, Limits::NONE).unwrap();
                assert!(matches!(done, Insert::Done(_)));
                let place = format!("{record:?} under {timeouts:?} at {now}");
                assert_eq!(engine.count(moment).unwrap(), u64::from(expected), "{place}");
                // A touch that is not later changes nothing.
                let earlier = Moment { now: record.last_active().min(moment.now), timeouts };
                let touched = engine.extend(&key, earlier, Duration::ZERO).unwrap();
                assert_eq!(touched.is_some(), !record.is_expired(earlier), "{place}");
                let swept = engine.remove_expired(moment, 10).unwrap();
                assert_eq!(swept.removed.is_empty(), expected, "{place}");
                let ended = engine.remove(&key, None, moment).unwrap();
                assert_eq!(ended.is_some(), expected, "{place}");
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}
