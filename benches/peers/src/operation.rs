//! Times one operation on one side: prepares a batch, runs it against the clock, then checks every
//! answer.
//!
//! Only the calls themselves are timed. Choosing ids, building contents and comparing what came
//! back happen before and after, on every side alike. A wrong answer is an error and ends the run.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::session::Outcome;
use crate::subject::{Answer, Subject, Task};

/// What can be timed as a batch of equal calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read,
    ReadUnknown,
    Extend,
    ReadAndExtend,
    Create,
    Update,
    Destroy,
}

impl Call {
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::ReadUnknown,
        Self::Extend,
        Self::ReadAndExtend,
        Self::Create,
        Self::Update,
        Self::Destroy,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadUnknown => "read of an unknown id",
            Self::Extend => "extend",
            Self::ReadAndExtend => "read_and_extend",
            Self::Create => "create",
            Self::Update => "update",
            Self::Destroy => "destroy",
        }
    }

    /// How many calls one thread makes before new ones are prepared.
    fn batch(self) -> usize {
        if self.is_read() { 4096 } else { 8 }
    }

    fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::ReadUnknown)
    }
}

impl Subject {
    /// The nanoseconds of wall time per call, with `threads` callers at once, over about `slice` of
    /// timed work.
    pub fn time(&self, call: Call, threads: usize, slice: Duration) -> Outcome<f64> {
        let (mut spent, mut calls) = (0.0, 0);
        while spent < slice.as_nanos() as f64 {
            let plans = (0..threads)
                .map(|_| (0..call.batch()).map(|_| self.prepare(call)).collect())
                .collect::<Outcome<Vec<Vec<Task>>>>()?;
            calls += threads * call.batch();
            spent +=
                if call.is_read() { self.time_reads(call, &plans)? } else { self.time_others(call, plans)? };
        }
        Ok(spent / calls as f64)
    }

    /// The nanoseconds that all these reads took together. Several threads' rates are added up,
    /// because each thread also compares what it has read, which is not timed.
    fn time_reads(&self, call: Call, plans: &[Vec<Task>]) -> Outcome<f64> {
        let look = cost_of_a_look_at_the_clock();
        let one_thread = |plan: &[Task]| -> Outcome<Duration> {
            // A thread that has only just begun pays for its memory and its place in the caches; a
            // server's threads have long done so. Its first reads are not timed.
            let (first, timed) = plan.split_at(plan.len() / 4);
            for task in first {
                if self.store.read(&task.id)? != task.content {
                    return Err(self.wrong(call));
                }
            }
            // One content at a time, compared and dropped before the next read, as a server would
            // use it: contents that wait would take the allocator off its fast path and make all
            // sides slower and more alike.
            let mut spent = Duration::ZERO;
            for task in timed {
                let start = Instant::now();
                let answer = self.store.read(&task.id)?;
                spent += start.elapsed();
                if answer != task.content {
                    return Err(self.wrong(call));
                }
            }
            let spent = spent.saturating_sub(look * timed.len() as u32);
            Ok(spent.mul_f64(plan.len() as f64 / timed.len() as f64))
        };
        let spent = at_once(plans, one_thread)?;
        let nanoseconds_per_thread = spent.into_iter().map(|spent| Ok(spent?.as_nanos() as f64));
        let rates =
            nanoseconds_per_thread.map(|spent: Outcome<f64>| Ok(1.0 / spent?)).sum::<Outcome<f64>>()?;
        Ok(plans.len() as f64 / rates)
    }

    /// The nanoseconds from the first start to the last end of these calls.
    fn time_others(&self, call: Call, plans: Vec<Vec<Task>>) -> Outcome<f64> {
        let one_thread = |plan: &[Task]| {
            let start = Instant::now();
            let answers = plan.iter().map(|task| self.run(call, task)).collect::<Outcome<Vec<Answer>>>();
            (start, Instant::now(), answers)
        };
        let ended = at_once(&plans, one_thread)?;
        let first = ended.iter().map(|(start, ..)| *start).min().ok_or("no thread ran")?;
        let last = ended.iter().map(|(_, end, _)| *end).max().ok_or("no thread ran")?;
        for (plan, (_, _, answers)) in plans.into_iter().zip(ended) {
            for (task, answer) in plan.into_iter().zip(answers?) {
                self.check(call, task, answer)?;
            }
        }
        Ok((last - first).as_nanos() as f64)
    }

    /// The nanoseconds of one read of a random session.
    pub fn time_one_read(&self) -> Outcome<u64> {
        let task = self.prepare(Call::Read)?;
        let start = Instant::now();
        let answer = self.run(Call::Read, &task)?;
        let spent = start.elapsed().as_nanos() as u64;
        self.check(Call::Read, task, answer)?;
        Ok(spent)
    }
}

/// What a timed call would seem to take if it did nothing.
fn cost_of_a_look_at_the_clock() -> Duration {
    (0..1000).map(|_| Instant::now().elapsed()).min().unwrap_or_default()
}

/// Runs `work` on each plan in a thread of its own, all starting at once; a single plan runs in
/// this thread.
fn at_once<T: Send>(plans: &[Vec<Task>], work: impl Fn(&[Task]) -> T + Sync) -> Outcome<Vec<T>> {
    if let [plan] = plans {
        return Ok(vec![work(plan)]);
    }
    let barrier = Barrier::new(plans.len());
    let ready = AtomicUsize::new(0);
    let when_all_are_ready = |plan: &[Task]| {
        barrier.wait();
        // Waking from the barrier takes as long as many reads do; those who are awake wait for the
        // rest here.
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < plans.len() {
            std::thread::yield_now();
        }
        work(plan)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = plans.iter().map(|plan| scope.spawn(|| when_all_are_ready(plan))).collect();
        threads.into_iter().map(|thread| Ok(thread.join().map_err(|_| "a caller panicked")?)).collect()
    })
}
