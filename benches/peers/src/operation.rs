//! Times one operation on one side: prepares a batch, times its calls, then checks every result.
//!
//! Only the calls themselves are timed. Choosing ids, building contents and comparing results
//! happen before and after, in the same way on every side. A wrong result is an error and ends the
//! run.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::session::Outcome;
use crate::subject::{Answer, Subject, Task};

/// A call that is timed in a batch of equal calls.
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

    /// How many calls of one thread are prepared at a time.
    fn batch(self) -> usize {
        if self.is_short() { 4096 } else { 8 }
    }

    /// Whether the call takes a microsecond or so on the fastest sides. Such calls are timed one by
    /// one, all in the same way, so that they can be compared with each other.
    fn is_short(self) -> bool {
        matches!(self, Self::Read | Self::ReadUnknown | Self::Extend | Self::ReadAndExtend)
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
            spent += match call.is_short() {
                true => self.time_short(call, &plans, slice)?,
                false => self.time_others(call, plans)?,
            };
        }
        Ok(spent / calls as f64)
    }

    /// The nanoseconds of all these calls together. The rates of several threads are added, because
    /// each thread also compares its contents, which is not timed. Where the calls take longer than
    /// the slice, only the first are made, and stand for the rest.
    fn time_short(&self, call: Call, plans: &[Vec<Task>], slice: Duration) -> Outcome<f64> {
        let look = cost_of_a_look_at_the_clock();
        let one_thread = |plan: &[Task]| -> Outcome<Duration> {
            // The first calls of a thread allocate memory and fill caches, and are not timed: a
            // server's threads are warm.
            let (first, timed) = plan.split_at(plan.len() / 4);
            let began = Instant::now();
            for task in first.iter().take_while(|_| began.elapsed() < slice / 4) {
                self.compare(call, task, self.run(call, task)?)?;
            }
            // As on a server, each content is compared and dropped before the next call. Kept
            // contents would take the allocator off its fast path, and make all sides slower and
            // more alike.
            let (mut spent, mut made) = (Duration::ZERO, 0);
            for task in timed {
                let start = Instant::now();
                let answer = self.run(call, task)?;
                spent += start.elapsed();
                self.compare(call, task, answer)?;
                made += 1;
                if spent >= slice {
                    break;
                }
            }
            if call == Call::Extend {
                // Between the calls, these reads would fill the caches for them.
                for task in &timed[..made] {
                    self.compare(Call::Read, task, self.run(Call::Read, task)?)?;
                }
            }
            let spent = spent.saturating_sub(look * made as u32);
            Ok(spent.mul_f64(plan.len() as f64 / made as f64))
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
                self.check(call, &task, answer)?;
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
        self.check(Call::Read, &task, answer)?;
        Ok(spent)
    }
}

/// The time that an empty call would seem to take.
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
        // Waking from the barrier takes as long as many reads, so the threads that are awake wait
        // here for the rest.
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
