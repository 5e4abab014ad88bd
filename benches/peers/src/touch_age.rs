//! Line q: the greatest age of a touch that is in memory alone. Meanwhile sessions are touched at a
//! given rate, two threads create and destroy, and a sweep deletes expired sessions.
//!
//! All settings are defaults except the sweep's interval, which is short so that a sweep is always
//! under way. The store promises a touch on the disk after `touch_interval`, one second, and a
//! commit. The line reports the greatest age seen, not a percentile. How long a create takes
//! meanwhile is printed beside it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sessile::{SessionId, SessionOptions, SessionStore, Timeouts};

use crate::lines::{Mode, Scale};
use crate::race::Spread;
use crate::session::{ABSOLUTE, Content, INACTIVITY, Outcome};

pub const RATES: [u64; 3] = [1_000, 10_000, 100_000];

/// The time between two measurements of the oldest touch's age.
const LOOK: Duration = Duration::from_millis(20);
/// The turns a second of the touching thread, which waits after each turn to keep its rate.
const TURNS_A_SECOND: u64 = 100;
/// Threads that write while sessions are touched.
const WRITERS: u64 = 2;
/// Threads that create the sessions, so that they share commits.
const CREATORS: u64 = 64;

pub fn run(scale: &Scale, directory: &Path, rate: u64) -> Outcome<Spread> {
    std::fs::create_dir_all(directory)?;
    let (live, expired) = match scale.mode {
        Mode::Quick => (10_000, 5_000),
        Mode::Usual | Mode::Full => (100_000, 50_000),
    };
    let slice = Duration::from_secs(if scale.mode == Mode::Quick { 3 } else { 10 });
    let timeouts = Timeouts::new(Duration::from_millis(INACTIVITY), Duration::from_millis(ABSOLUTE))?;
    let builder = SessionStore::<Content>::builder().timeouts(timeouts);
    let store = builder.sweep_interval(Duration::from_millis(500)).open(directory.join("touched.redb"))?;
    let ids = created(&store, live, &SessionOptions::new())?;
    let (mut oldest, creates) = (Vec::new(), Mutex::new(Vec::new()));
    for _ in 0..scale.rounds {
        created(&store, expired, &SessionOptions::new().inactivity(Duration::from_millis(1)))?;
        store.flush()?;
        oldest.push(oldest_touch(&store, &ids, rate, slice, &creates)?);
    }
    let stats = store.stats()?;
    eprintln!(
        "  {rate} touches a second: {} later than promised, by {:?} at the most; {} swept; {}",
        stats.late_touches,
        stats.touches_late_by,
        stats.swept,
        in_words(creates.into_inner().unwrap_or_else(PoisonError::into_inner))
    );
    store.close()?;
    std::fs::remove_dir_all(directory)?;
    Ok(Spread::of(&oldest))
}

fn created(store: &SessionStore<Content>, count: u64, options: &SessionOptions) -> Outcome<Vec<SessionId>> {
    let create = |index| Outcome::Ok(store.create_with(Content::of(index, 0), options)?.id().clone());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CREATORS)
            .map(|first| {
                let share = (first..count).step_by(CREATORS as usize);
                scope.spawn(move || share.map(create).collect::<Outcome<Vec<_>>>())
            })
            .collect();
        let mut ids = Vec::new();
        for thread in threads {
            ids.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(ids)
    })
}

/// What the creates took that ran meanwhile.
fn in_words(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    format!("a create took {:?}, 1 of 100 more than {:?}", at(50), at(99))
}

/// The greatest age of a touch in memory alone, in nanoseconds; and what each create took.
fn oldest_touch(
    store: &SessionStore<Content>,
    ids: &[SessionId],
    rate: u64,
    slice: Duration,
    creates: &Mutex<Vec<Duration>>,
) -> Outcome<f64> {
    let (end, failed) = (Instant::now() + slice, AtomicBool::new(false));
    let mut oldest = Duration::ZERO;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let failed = &failed;
            scope.spawn(move || {
                let mut took = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    let created = store.create(Content::of(writer, 0));
                    took.push(began.elapsed());
                    let ended = created.and_then(|session| store.destroy(session.id()));
                    failed.fetch_or(ended.is_err(), Ordering::Relaxed);
                }
                creates.lock().unwrap_or_else(PoisonError::into_inner).append(&mut took);
            });
        }
        scope.spawn(|| {
            let (began, mut ids) = (Instant::now(), ids.iter().cycle());
            for turn in 1.. {
                for id in ids.by_ref().take((rate / TURNS_A_SECOND) as usize) {
                    failed.fetch_or(!matches!(store.extend_lifetime(id), Ok(true)), Ordering::Relaxed);
                }
                let due = began + Duration::from_secs(turn) / TURNS_A_SECOND as u32;
                if Instant::now() >= end {
                    break;
                }
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        while Instant::now() < end {
            thread::sleep(LOOK);
            let seen = store.stats()?.oldest_pending_touch.unwrap_or_default();
            oldest = oldest.max(seen);
        }
        Outcome::Ok(())
    })?;
    match failed.into_inner() {
        true => Err("a touch or a write failed while touches were watched".into()),
        false => Ok(oldest.as_nanos() as f64),
    }
}
