//! Many sessions at once: the cost of a mass expiry for the file and for concurrent writers.
//!
//! `SESSILE_EXPIRING=100000` uses more sessions than the 30,000 of `cargo test`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sessile::testing::ManualClock;
use sessile::{Durability, SessionStore, Timeouts};

use crate::child;

#[test]
fn when_many_sessions_expire_at_once_writers_get_through_and_the_file_stays_small() {
    const THREADS: u64 = 10;
    /// The sessions of one sweep step.
    const STEP: u64 = 1_000;
    let sessions = child::number("SESSILE_EXPIRING", 30_000).next_multiple_of(THREADS * STEP);
    let hour = Duration::from_secs(3_600);
    let (folder, clock) = (child::fast_folder(), ManualClock::new());
    let store = SessionStore::<u64>::builder()
        .clock(clock.clone())
        .timeouts(Timeouts::new(hour, 1_000 * hour).unwrap())
        .durability(Durability::Deferred { interval: hour })
        .manual_maintenance()
        .open(folder.path().join("sessions.redb"))
        .unwrap();
    let expire = |sessions: u64| {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..sessions / THREADS {
                        store.create_for_user(thread, number).unwrap();
                    }
                });
            }
        });
        store.flush().unwrap();
        clock.advance(hour);
    };
    expire(sessions);
    let lasting = store.create(0).unwrap();
    store.flush().unwrap();
    let before = store.stats().unwrap();
    assert_eq!(before.sessions, 1);

    let over = AtomicBool::new(false);
    let (swept, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !over.load(Ordering::SeqCst) {
                store.modify(lasting.id(), |session| *session.content_mut() += 1).unwrap();
                // A write that ended when the sweep was over may have waited for the whole sweep.
                written += u64::from(!over.load(Ordering::SeqCst));
            }
            written
        });
        let swept = store.clean_up_expired();
        over.store(true, Ordering::SeqCst);
        (swept.unwrap(), writer.join().unwrap())
    });
    assert_eq!(swept, sessions);
    let steps = sessions / STEP;
    assert!(written >= steps / 4, "{written} writes got through during {steps} steps");
    let after = store.stats().unwrap();
    let (was, is) = (before.file_bytes.unwrap(), after.file_bytes.unwrap());
    assert!(is < 2 * was, "{was} bytes before and {is} after");
    assert_eq!(after.sessions, 1);

    // A sweep that no write shares a commit with.
    expire(4 * STEP);
    let before = store.stats().unwrap();
    assert_eq!(store.clean_up_expired().unwrap(), 4 * STEP + 1);
    let commits = store.stats().unwrap().commits - before.commits;
    assert!(commits >= 4, "a step took more than it should: {commits} commits");
}
