//! A few connections, kept for later calls.
//!
//! Invariant: no more connections are open than the limit, and waiting calls get one in the order
//! of their requests. If listings hold all of them, calls share one more: whoever looks at a
//! listing may make calls. A connection that failed is not reused, nor is any that was made before
//! the failure. This file knows no protocol.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::network::deadline::{Deadline, Since};

/// A connection that was idle for this long is closed: servers and firewalls drop idle connections
/// silently.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// A connection of this age is not reused, so that a pool follows a change of its servers.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// A connection that was idle for longer than this is checked before use.
const UNQUESTIONED: Duration = Duration::from_millis(5);

/// The pool's requirement on a connection.
pub(crate) trait Pooled {
    /// Whether the connection is still open, as far as this side can tell without a round trip.
    fn is_quiet(&self) -> bool;
}

/// The connections of one kind.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    state: Mutex<State<C>>,
    limit: usize,
    /// How often all connections were declared stale.
    generation: AtomicU64,
}

#[derive(Debug)]
struct State<C> {
    idle: Vec<Idle<C>>,
    in_use: usize,
    /// How many of those in use are held by listings.
    held: usize,
    /// How many of those in use have no connection: a waiter has not taken it up yet, or it was
    /// just given back.
    empty: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

impl<C> State<C> {
    /// The most connections that may be open for this use.
    fn most(&self, limit: usize, term: Term) -> usize {
        match term {
            Term::Call => limit.max(self.held + 1),
            Term::Listing => limit,
        }
    }

    /// Takes a lease, if one is left.
    fn take(&mut self, limit: usize, term: Term) -> bool {
        let is_left = self.in_use < self.most(limit, term);
        self.in_use += usize::from(is_left);
        self.held += usize::from(is_left && term == Term::Listing);
        is_left
    }

    /// Gives the leases that are left to those who have waited longest.
    fn serve(&mut self, limit: usize) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|waiter| {
            let has_it = self.take(limit, waiter.term);
            if has_it {
                self.empty += 1;
                waiter.has_it.store(true, Ordering::Release);
                waiter.told.notify_one();
            }
            !has_it
        });
        self.waiting = waiting;
    }

    /// Takes out the connections that were idle for too long. They are the first ones, because the
    /// one used last is lent first.
    fn take_stale(&mut self) -> Vec<Idle<C>> {
        let is_stale = |idle: &&Idle<C>| idle.since.elapsed() >= LONGEST_IDLE;
        let stale = self.idle.iter().take_while(is_stale).count();
        self.idle.drain(..stale).collect()
    }
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// One call, which ends by itself.
    Call,
    /// A listing, during which calls may be made.
    Listing,
}

/// Someone who waits for a lease, until another one hands it over.
#[derive(Debug)]
struct Waiter {
    term: Term,
    has_it: AtomicBool,
    told: Condvar,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    birth: Birth,
    since: Since,
}

/// When a connection was made.
#[derive(Clone, Copy, Debug)]
struct Birth {
    generation: u64,
    at: Since,
}

/// The right to use one connection; dropping it returns the right.
#[derive(Debug)]
pub(crate) struct Lease<'a, C> {
    pool: &'a Pool<C>,
    term: Term,
    birth: Birth,
    /// Whether the connection was given back.
    is_back: bool,
    /// A connection from an earlier call, to be taken out.
    pub(crate) kept: Option<C>,
}

impl<C: Pooled> Pool<C> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                idle: Vec::new(),
                in_use: 0,
                held: 0,
                empty: 0,
                waiting: VecDeque::new(),
            }),
            limit,
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the right to use a connection, with the connection used last, if one is left; `None`
    /// if all were in use until the deadline.
    pub(crate) fn lease(&self, term: Term, deadline: Deadline) -> Option<Lease<'_, C>> {
        let mut state = self.state.lock();
        if state.take(self.limit, term) {
            // With one more listing, a call that waits may have one more connection.
            state.serve(self.limit);
        } else {
            // A lease is handed over under the lock, so no later call can overtake the waiter.
            let (has_it, told) = (AtomicBool::new(false), Condvar::new());
            let waiter = Arc::new(Waiter { term, has_it, told });
            state.waiting.push_back(Arc::clone(&waiter));
            while !waiter.has_it.load(Ordering::Acquire) {
                let waited = waiter.told.wait_until(&mut state, deadline.as_instant());
                if waited.timed_out() && !waiter.has_it.load(Ordering::Acquire) {
                    state.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
                    return None;
                }
            }
            state.empty -= 1;
        }
        let mut kept = None;
        let mut stale = Vec::new();
        while let Some(idle) = state.idle.pop() {
            match self.is_usable(&idle) {
                true => {
                    kept = Some(idle);
                    break;
                }
                // Dropped after the lock is released: closing a connection can take time.
                false => stale.push(idle.connection),
            }
        }
        drop(state);
        drop(stale);
        let generation = self.generation.load(Ordering::Acquire);
        let birth = kept.as_ref().map_or(Birth { generation, at: Since::now() }, |idle| idle.birth);
        let kept = kept.map(|idle| idle.connection);
        Some(Lease { pool: self, term, birth, is_back: false, kept })
    }

    fn is_usable(&self, idle: &Idle<C>) -> bool {
        let idle_for = idle.since.elapsed();
        idle.birth.generation == self.generation.load(Ordering::Acquire)
            && idle_for < LONGEST_IDLE
            && idle.birth.at.elapsed() < LONGEST_LIFE
            && (idle_for < UNQUESTIONED || idle.connection.is_quiet())
    }

    /// Closes the connections that nobody has used for long.
    pub(crate) fn close_idle(&self) {
        let stale = self.state.lock().take_stale();
        drop(stale);
    }

    /// Discards every connection made before now: the server changed, or was unreachable.
    pub(crate) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let idle = std::mem::take(&mut self.state.lock().idle);
        drop(idle);
    }

    /// The number of connections that are open and idle.
    #[cfg(test)]
    fn idle(&self) -> usize {
        self.state.lock().idle.len()
    }
}

impl<C: Pooled> Lease<'_, C> {
    /// Keeps a working connection for the next call.
    pub(crate) fn keep(mut self, connection: C) {
        let idle = Idle { connection, birth: self.birth, since: Since::now() };
        let mut state = self.pool.state.lock();
        state.idle.push(idle);
        state.empty += 1;
        self.is_back = true;
        let mut stale = state.take_stale();
        // The connection beyond the limit goes with the listing that it was for.
        let held = state.held - usize::from(self.term == Term::Listing);
        let most = self.pool.limit.max(held + 1);
        let open = state.idle.len() + state.in_use - state.empty;
        let surplus = open.saturating_sub(most).min(state.idle.len());
        stale.extend(state.idle.drain(..surplus));
        // Dropped after the lock is released, and before the lease: no other connection is opened
        // meanwhile.
        drop(state);
        drop(stale);
    }
}

impl<C> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.in_use -= 1;
        state.empty -= usize::from(self.is_back);
        state.held -= usize::from(self.term == Term::Listing);
        state.serve(self.pool.limit);
    }
}

#[cfg(test)]
mod tests;
