//! Measurements other than a batch of equal calls: a mix of writes, a sweep, and the slowest calls
//! during other work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::operation::Call;
use crate::session::{Content, Id, Outcome};
use crate::subject::Subject;

/// Everything that a round of the race can measure on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Nanoseconds per call.
    Each(Call),
    /// Nanoseconds per write, over equal numbers of creates, extends, updates and destroys.
    Writes,
    /// Nanoseconds per deleted session, for a sweep of this many expired sessions.
    Sweep(u64),
    /// The 99th percentile of a durable create without other work.
    CreateTail,
    /// The 99th percentile of a durable create while this many expired sessions are swept.
    CreateTailDuringSweep(u64),
    /// The 99th percentile of a read without other work.
    ReadTail,
    /// The 99th percentile of a read while this many threads write.
    ReadTailDuringWrites(usize),
}

/// How long one measurement of a round lasts.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub read: Duration,
    pub write: Duration,
    pub tail: Duration,
    /// The least number of latencies for a 99th percentile.
    pub tail_creates: usize,
    /// The most sweeps that may run to reach that number of latencies during a sweep.
    pub tail_sweeps: usize,
}

impl Measure {
    /// Whether a measurement takes too long to run once as a warm-up.
    pub fn is_long(self) -> bool {
        !matches!(self, Self::Each(_) | Self::Writes)
    }

    pub fn run(self, subject: &Subject, threads: usize, pace: Pace) -> Outcome<f64> {
        match self {
            Self::Each(call @ (Call::Read | Call::ReadUnknown)) => subject.time(call, threads, pace.read),
            Self::Each(call) => subject.time(call, threads, pace.write),
            Self::Writes => {
                let calls = [Call::Create, Call::Extend, Call::Update, Call::Destroy];
                let each: Vec<f64> = calls
                    .iter()
                    .map(|call| subject.time(*call, threads, pace.write / 3))
                    .collect::<Outcome<_>>()?;
                Ok(each.iter().sum::<f64>() / each.len() as f64)
            }
            Self::Sweep(expired) => sweep(subject, expired),
            Self::CreateTail => create_tail(subject, pace),
            Self::CreateTailDuringSweep(expired) => create_tail_during_sweep(subject, expired, pace),
            Self::ReadTail => Ok(percentile_99(reads(subject, pace.tail)?)),
            Self::ReadTailDuringWrites(writers) => read_tail_during_writes(subject, writers, pace),
        }
    }
}

fn percentile_99(mut latencies: Vec<u64>) -> f64 {
    latencies.sort_unstable();
    let place = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
    latencies.get(place).copied().unwrap_or_default() as f64
}

fn add_expired(subject: &Subject, expired: u64) -> Outcome<Vec<Id>> {
    Ok(subject.store.populate(subject.take_numbers(expired), 0, expired)?.expired)
}

fn check_swept(subject: &Subject, deleted: u64, expired: &[Id]) -> Outcome<()> {
    if deleted != expired.len() as u64 {
        let name = subject.kind.name();
        return Err(format!(
            "{name} reports that it deleted {deleted} of {} expired sessions",
            expired.len()
        )
        .into());
    }
    for id in expired.iter().step_by(97) {
        if subject.store.read(id)?.is_some() {
            return Err(format!("{} still has a session that it swept", subject.kind.name()).into());
        }
    }
    Ok(())
}

fn sweep(subject: &Subject, expired: u64) -> Outcome<f64> {
    let ids = add_expired(subject, expired)?;
    let start = Instant::now();
    let deleted = subject.store.delete_expired()?;
    let spent = start.elapsed();
    check_swept(subject, deleted, &ids)?;
    Ok(spent.as_nanos() as f64 / expired as f64)
}

/// Makes one durable create and records the session, which is read back after all timing.
fn one_create(subject: &Subject, made: &mut Vec<(Id, Content)>) -> Outcome<u64> {
    let content = Content::of(subject.take_numbers(1), 0);
    let start = Instant::now();
    let id = subject.store.create(&content)?;
    let spent = start.elapsed().as_nanos() as u64;
    made.push((id, content));
    Ok(spent)
}

fn check_made(subject: &Subject, made: Vec<(Id, Content)>) -> Outcome<()> {
    for (id, content) in made {
        if subject.store.read(&id)? != Some(content) {
            return Err(format!("{} lost a session that it had created", subject.kind.name()).into());
        }
    }
    Ok(())
}

fn create_tail(subject: &Subject, pace: Pace) -> Outcome<f64> {
    let mut made = Vec::new();
    let latencies =
        (0..pace.tail_creates).map(|_| one_create(subject, &mut made)).collect::<Outcome<Vec<u64>>>()?;
    check_made(subject, made)?;
    Ok(percentile_99(latencies))
}

fn create_tail_during_sweep(subject: &Subject, expired: u64, pace: Pace) -> Outcome<f64> {
    let (mut latencies, mut made) = (Vec::new(), Vec::new());
    // During a sweep in one step few creates finish, so the store may need several sweeps.
    for _ in 0..pace.tail_sweeps {
        if latencies.len() >= pace.tail_creates {
            break;
        }
        let ids = add_expired(subject, expired)?;
        let swept = AtomicBool::new(false);
        let deleted = std::thread::scope(|scope| {
            let sweeper = scope.spawn(|| {
                let deleted = subject.store.delete_expired();
                swept.store(true, Ordering::Release);
                deleted
            });
            while !swept.load(Ordering::Acquire) {
                latencies.push(one_create(subject, &mut made)?);
            }
            sweeper.join().map_err(|_| "the sweep panicked")?
        })?;
        check_swept(subject, deleted, &ids)?;
    }
    check_made(subject, made)?;
    Ok(percentile_99(latencies))
}

/// The latency of each read of a random session, for this long. The contents are compared between
/// the reads.
fn reads(subject: &Subject, slice: Duration) -> Outcome<Vec<u64>> {
    let mut latencies = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < slice {
        latencies.push(subject.time_one_read()?);
    }
    Ok(latencies)
}

fn read_tail_during_writes(subject: &Subject, writers: usize, pace: Pace) -> Outcome<f64> {
    let stop = AtomicBool::new(false);
    let write_until_stopped = || -> Outcome<()> {
        let mut made = Vec::new();
        while !stop.load(Ordering::Acquire) {
            one_create(subject, &mut made)?;
        }
        check_made(subject, made)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(write_until_stopped)).collect();
        let latencies = reads(subject, pace.tail);
        stop.store(true, Ordering::Release);
        for thread in threads {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(percentile_99(latencies?))
    })
}
