//! Calls for a length of time, from one thread or from many at once.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use sessile::SessionStore;

use crate::plain::Client;
use crate::sessions::{Content, Population, SessionCall, Sessions};
use crate::{Call, Outcome};

/// One thread's clients, the crate's and the bare one.
pub(crate) struct Worker {
    sessions: Sessions,
    plain: Box<dyn Client>,
}

impl Worker {
    pub(crate) fn new(
        store: &SessionStore<Content>,
        population: &Arc<Population>,
        plain: Box<dyn Client>,
    ) -> Outcome<Self> {
        Ok(Self { sessions: Sessions::new(store, population)?, plain })
    }

    pub(crate) fn end(&mut self) -> Outcome<()> {
        self.sessions.end()
    }

    fn call(&mut self, call: Call) -> Outcome<bool> {
        match call {
            Call::Session(call) => self.sessions.call(call),
            Call::Plain(call) => self.plain.call(call).map(|()| true),
        }
    }

    /// The times of the calls that fit into a length of time, one at least.
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

/// What a slice of time has shown of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) median: Duration,
    /// Of a hundred calls, 99 took no longer.
    pub(crate) p99: Duration,
    pub(crate) calls_a_second: f64,
}

/// Has each worker make calls for a length of time, all at once.
pub(crate) fn run(workers: &mut [Worker], call: Call, length: Duration) -> Outcome<Slice> {
    if call == Call::Session(SessionCall::Destroy) {
        // Sessions to destroy, of which the time is not taken.
        together(workers, Call::Session(SessionCall::CreateForUser), length)?;
    }
    let (mut times, took) = together(workers, call, length)?;
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len() * share).div_ceil(100).saturating_sub(1)).copied();
    Ok(Slice {
        median: at(50).ok_or("no call was made")?,
        p99: at(99).ok_or("no call was made")?,
        calls_a_second: times.len() as f64 / took.as_secs_f64(),
    })
}

fn together(
    workers: &mut [Worker],
    call: Call,
    length: Duration,
) -> Outcome<(Vec<Duration>, Duration)> {
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
        let ended: Vec<_> = running.into_iter().map(|one| one.join().unwrap()).collect();
        let took = began.elapsed();
        let times: Outcome<Vec<_>> = ended.into_iter().collect();
        Ok((times?.concat(), took))
    })
}
