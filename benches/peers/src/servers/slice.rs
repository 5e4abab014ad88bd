//! Makes calls for a length of time, from one thread or from many at once.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::servers::plain::Client;
use crate::servers::sessions::{SessionCall, Sessions, joined};
use crate::servers::tower::{TowerCall, TowerSessions};
use crate::servers::{Call, Outcome};

/// One thread's clients: the crate's, the bare one, and on a server tower-sessions'.
pub(crate) struct Worker {
    pub(crate) sessions: Sessions,
    pub(crate) plain: Box<dyn Client>,
    pub(crate) tower: Option<TowerSessions>,
}

impl Worker {
    fn call(&mut self, call: Call) -> Outcome<bool> {
        match call {
            Call::Session(call) => self.sessions.call(call),
            Call::Plain(call) => self.plain.call(call).map(|()| true),
            Call::Tower(call) => self.tower.as_mut().ok_or("it is measured on servers")?.call(call),
        }
    }

    /// The times of the calls made within a length of time, at least one.
    fn calls_for(&mut self, call: Call, length: Duration) -> Outcome<Vec<Duration>> {
        let mut times = Vec::new();
        let began = Instant::now();
        loop {
            let before = Instant::now();
            if !self.call(call)? {
                return Ok(times);
            }
            let after = Instant::now();
            times.push(after - before);
            if after - began >= length {
                return Ok(times);
            }
        }
    }
}

/// The times of a call in one slice of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) median: Duration,
    /// The 99th percentile.
    pub(crate) p99: Duration,
    pub(crate) calls_a_second: f64,
}

/// Has all workers make calls at once, for a length of time.
pub(crate) fn run(workers: &mut [Worker], call: Call, length: Duration) -> Outcome<Slice> {
    // Creates the sessions to destroy, without timing.
    match call {
        Call::Session(SessionCall::Destroy) => {
            together(workers, Call::Session(SessionCall::CreateForUser), length)?;
        }
        Call::Tower(TowerCall::Delete) => {
            together(workers, Call::Tower(TowerCall::Create), length)?;
        }
        _ => {}
    }
    let (mut times, took) = together(workers, call, length)?;
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share).div_ceil(100).saturating_sub(1)).copied();
    Ok(Slice {
        median: at(50).ok_or("no call was made")?,
        p99: at(99).ok_or("no call was made")?,
        calls_a_second: times.len() as f64 / took.as_secs_f64(),
    })
}

fn together(workers: &mut [Worker], call: Call, length: Duration) -> Outcome<(Vec<Duration>, Duration)> {
    let start = Barrier::new(workers.len() + 1);
    std::thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    worker.calls_for(call, length)
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        let ended: Vec<_> = running.into_iter().map(joined).collect();
        let took = began.elapsed();
        let times: Outcome<Vec<_>> = ended.into_iter().collect();
        Ok((times?.concat(), took))
    })
}
