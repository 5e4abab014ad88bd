//! Group commit: the first thread leads. It takes waiting operations until none is left, commits
//! once, and wakes the other threads.
//!
//! Invariant: every submitted operation is answered exactly once, even if the leading thread
//! panics. No operation runs twice, and no thread waits for others to join. The queue must not know
//! tables: the caller commits a group.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::caught::caught;
use crate::error::{Error, Result};
use crate::sync::{Condvar, Mutex};

/// The most operations in one commit: enough to make each operation's share of the sync negligible,
/// few enough for a commit to take milliseconds.
pub(in crate::engine::redb) const MAX_GROUP: usize = 512;
/// The most bytes of records in one commit.
const MAX_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// An operation that can wait in the queue.
pub(in crate::engine::redb) trait Queued: Send + std::fmt::Debug {
    /// The answer to the operation.
    type Outcome: Send + std::fmt::Debug;

    /// The approximate number of bytes that the operation writes.
    fn weight(&self) -> usize;

    /// Whether the operation needs a group of its own.
    fn stands_alone(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(in crate::engine::redb) struct CommitQueue<O: Queued> {
    state: Mutex<State<O>>,
}

#[derive(Debug)]
struct State<O: Queued> {
    waiting: VecDeque<Arc<Ticket<O>>>,
    /// Whether a thread leads, or has been told to lead.
    led: bool,
}

/// One waiting thread.
#[derive(Debug)]
struct Ticket<O: Queued> {
    stands_alone: bool,
    place: Mutex<Place<O>>,
    changed: Condvar,
}

#[derive(Debug)]
enum Place<O: Queued> {
    /// Waits for a leader to take the operation.
    Waiting(O),
    /// A leader has taken the operation.
    Taken,
    /// Told to lead, starting with its own operation.
    Leading(O),
    Answered(Result<O::Outcome>),
    /// The thread has taken its answer.
    Done,
}

impl<O: Queued> CommitQueue<O> {
    pub(in crate::engine::redb) const fn new() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), led: false }) }
    }

    /// Has the operation carried out, by this thread or another, and returns its outcome.
    ///
    /// `commit` gets a group. It returns an outcome for each operation, in order, or one error for
    /// every operation it took. One thread at a time calls it.
    pub(in crate::engine::redb) fn submit(
        &self,
        operation: O,
        commit: impl FnOnce(&mut Group<'_, O>) -> Outcomes<O>,
    ) -> Result<O::Outcome> {
        let own = match self.join(operation) {
            Turn::Lead(operation) => operation,
            Turn::Answered(outcome) => return outcome,
        };
        let mut group = Group::new(self, own);
        let outcomes = caught(|| commit(&mut group));
        let tickets = group.tickets;
        // A panic is an unknown outcome for everybody in the group.
        let (outcomes, error) = match outcomes.unwrap_or_else(|| Err(panicked())) {
            Ok(outcomes) => (outcomes, panicked()),
            Err(error) => (Vec::new(), error),
        };
        let mut outcomes = outcomes.into_iter();
        let mut next = || outcomes.next().unwrap_or_else(|| Err(error.clone()));
        let own = next();
        for ticket in tickets {
            ticket.answer(next());
        }
        self.hand_over();
        own
    }

    /// Leads if no thread does, and waits otherwise.
    fn join(&self, operation: O) -> Turn<O> {
        let mut state = self.state.lock();
        if !state.led {
            state.led = true;
            return Turn::Lead(operation);
        }
        let ticket = Arc::new(Ticket {
            stands_alone: operation.stands_alone(),
            place: Mutex::new(Place::Waiting(operation)),
            changed: Condvar::new(),
        });
        state.waiting.push_back(Arc::clone(&ticket));
        drop(state);
        ticket.wait()
    }

    /// Whether a thread commits or waits now.
    pub(in crate::engine::redb) fn is_busy(&self) -> bool {
        self.state.lock().led
    }

    /// How many threads wait for a leader.
    #[cfg(test)]
    pub(in crate::engine::redb) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    fn hand_over(&self) {
        let mut state = self.state.lock();
        match state.waiting.pop_front() {
            Some(next) => next.appoint(),
            None => state.led = false,
        }
    }
}

/// The outcomes of a group.
pub(in crate::engine::redb) type Outcomes<O> = Result<Vec<Result<<O as Queued>::Outcome>>>;

/// The leader's own operation, then each operation that waits when the leader asks for the next. So
/// an operation that arrives meanwhile joins the same commit.
#[derive(Debug)]
pub(in crate::engine::redb) struct Group<'q, O: Queued> {
    queue: &'q CommitQueue<O>,
    own: Option<O>,
    stands_alone: bool,
    tickets: Vec<Arc<Ticket<O>>>,
    bytes: usize,
}

impl<'q, O: Queued> Group<'q, O> {
    fn new(queue: &'q CommitQueue<O>, own: O) -> Self {
        let (bytes, stands_alone) = (own.weight(), own.stands_alone());
        Self { queue, bytes, own: Some(own), stands_alone, tickets: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.stands_alone || self.tickets.len() + 1 >= MAX_GROUP || self.bytes >= MAX_GROUP_BYTES
    }

    /// The next waiting operation, if it may join this group.
    fn next_ticket(&self) -> Option<Arc<Ticket<O>>> {
        let mut state = self.queue.state.lock();
        match state.waiting.front() {
            Some(ticket) if !ticket.stands_alone => state.waiting.pop_front(),
            _ => None,
        }
    }
}

impl<O: Queued> Iterator for Group<'_, O> {
    type Item = O;

    fn next(&mut self) -> Option<O> {
        if let Some(own) = self.own.take() {
            return Some(own);
        }
        while !self.is_full() {
            let ticket = self.next_ticket()?;
            if let Some(operation) = ticket.take() {
                self.bytes = self.bytes.saturating_add(operation.weight());
                self.tickets.push(ticket);
                return Some(operation);
            }
        }
        None
    }
}

enum Turn<O: Queued> {
    Answered(Result<O::Outcome>),
    Lead(O),
}

impl<O: Queued> Ticket<O> {
    fn wait(&self) -> Turn<O> {
        let mut place = self.place.lock();
        loop {
            match std::mem::replace(&mut *place, Place::Done) {
                Place::Answered(outcome) => return Turn::Answered(outcome),
                Place::Leading(operation) => return Turn::Lead(operation),
                unchanged => *place = unchanged,
            }
            self.changed.wait(&mut place);
        }
    }

    fn take(&self) -> Option<O> {
        let mut place = self.place.lock();
        match std::mem::replace(&mut *place, Place::Taken) {
            Place::Waiting(operation) => Some(operation),
            other => {
                *place = other;
                None
            }
        }
    }

    fn answer(&self, outcome: Result<O::Outcome>) {
        *self.place.lock() = Place::Answered(outcome);
        self.changed.notify_one();
    }

    fn appoint(&self) {
        let mut place = self.place.lock();
        if let Place::Waiting(operation) = std::mem::replace(&mut *place, Place::Taken) {
            *place = Place::Leading(operation);
        }
        self.changed.notify_one();
    }
}

fn panicked() -> Error {
    let cause = std::io::Error::other("the thread that led the commit panicked");
    Error::OutcomeUnknown { source: Arc::new(Error::engine(cause)) }
}

#[cfg(test)]
mod tests;
