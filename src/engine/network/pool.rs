//! A few connections, kept for later calls.
//!
//! Invariant: no more connections are open than the limit, and waiting calls get one in the order
//! of their requests. A connection that failed is not reused, nor is any that was made before the
//! failure. This file knows no protocol.

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
    waiting: VecDeque<Arc<Waiter>>,
}

impl<C> State<C> {
    /// Takes out the connections that were idle for too long. They are the first ones, because the
    /// one used last is lent first.
    fn take_stale(&mut self) -> Vec<Idle<C>> {
        let is_stale = |idle: &&Idle<C>| idle.since.elapsed() >= LONGEST_IDLE;
        let stale = self.idle.iter().take_while(is_stale).count();
        self.idle.drain(..stale).collect()
    }
}

/// A call that waits for a lease, until another call hands one over.
#[derive(Debug, Default)]
struct Waiter {
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
    birth: Birth,
    /// A connection from an earlier call, to be taken out.
    pub(crate) kept: Option<C>,
}

impl<C: Pooled> Pool<C> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State { idle: Vec::new(), in_use: 0, waiting: VecDeque::new() }),
            limit,
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the right to use a connection, with the connection used last, if one is left; `None`
    /// if all were in use until the deadline.
    pub(crate) fn lease(&self, deadline: Deadline) -> Option<Lease<'_, C>> {
        let mut state = self.state.lock();
        match state.in_use < self.limit {
            true => state.in_use += 1,
            // A lease is handed over while it counts as in use, so no later call can overtake the
            // waiter.
            false => {
                let waiter = Arc::new(Waiter::default());
                state.waiting.push_back(Arc::clone(&waiter));
                while !waiter.has_it.load(Ordering::Acquire) {
                    let waited = waiter.told.wait_until(&mut state, deadline.as_instant());
                    if waited.timed_out() && !waiter.has_it.load(Ordering::Acquire) {
                        state.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
                        return None;
                    }
                }
            }
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
        Some(Lease { pool: self, birth, kept: kept.map(|idle| idle.connection) })
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
    pub(crate) fn keep(self, connection: C) {
        let idle = Idle { connection, birth: self.birth, since: Since::now() };
        let mut state = self.pool.state.lock();
        state.idle.push(idle);
        let stale = state.take_stale();
        // Dropped after the lock is released, and before the lease: no other connection is opened
        // meanwhile.
        drop(state);
        drop(stale);
    }
}

impl<C> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        match state.waiting.pop_front() {
            None => state.in_use -= 1,
            Some(waiter) => {
                waiter.has_it.store(true, Ordering::Release);
                waiter.told.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Wire(Arc<AtomicBool>);

    impl Pooled for Wire {
        fn is_quiet(&self) -> bool {
            !self.0.load(Ordering::SeqCst)
        }
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(60))
    }

    #[test]
    fn no_more_connections_than_the_limit_are_lent() {
        let pool = Pool::<Wire>::new(2);
        let (one, two) = (pool.lease(soon()).unwrap(), pool.lease(soon()).unwrap());
        assert!(pool.lease(Deadline::after(Duration::ZERO)).is_none());
        drop(one);
        assert!(pool.lease(soon()).is_some());
        drop(two);
    }

    #[test]
    fn a_waiting_caller_gets_what_another_gives_back() {
        let pool = Pool::<Wire>::new(1);
        let lease = pool.lease(soon()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.lease(soon()).unwrap().kept.is_some());
            lease.keep(Wire::default());
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn who_waits_longest_is_served_first_and_who_gave_up_is_not_served() {
        let pool = Pool::<Wire>::new(1);
        let lease = pool.lease(soon()).unwrap();
        assert!(pool.lease(Deadline::after(Duration::ZERO)).is_none());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (pool, order) = (&pool, &order);
                scope.spawn(move || {
                    let _lease = pool.lease(soon()).unwrap();
                    order.lock().push(number);
                });
                while pool.state.lock().waiting.len() <= number {
                    std::thread::yield_now();
                }
            }
            drop(lease);
        });
        assert_eq!(order.into_inner(), [0, 1, 2, 3]);
        assert!(pool.lease(soon()).is_some(), "none was lost on the way");
    }

    #[test]
    fn a_connection_that_worked_is_used_again_and_one_that_failed_is_not() {
        let pool = Pool::<Wire>::new(2);
        let lease = pool.lease(soon()).unwrap();
        assert!(lease.kept.is_none(), "there is none yet");
        lease.keep(Wire::default());
        let lease = pool.lease(soon()).unwrap();
        assert!(lease.kept.is_some());
        drop(lease);
        assert!(pool.lease(soon()).unwrap().kept.is_none(), "it was not kept");
    }

    #[test]
    fn a_renewed_pool_uses_no_older_connection() {
        let pool = Pool::<Wire>::new(3);
        let (old, lent) = (pool.lease(soon()).unwrap(), pool.lease(soon()).unwrap());
        old.keep(Wire::default());
        pool.renew();
        assert_eq!(pool.idle(), 0);
        lent.keep(Wire::default());
        assert!(pool.lease(soon()).unwrap().kept.is_none(), "lent before, given back after");
        let new = pool.lease(soon()).unwrap();
        new.keep(Wire::default());
        assert!(pool.lease(soon()).unwrap().kept.is_some());
    }

    #[test]
    fn connections_that_nobody_used_for_long_are_closed_while_another_is_used() {
        let pool = Pool::<Wire>::new(3);
        let leases = [(); 3].map(|()| pool.lease(soon()).unwrap());
        leases.into_iter().for_each(|lease| lease.keep(Wire::default()));
        for idle in &mut pool.state.lock().idle[..2] {
            idle.since = Since::ago(LONGEST_IDLE);
        }
        let lease = pool.lease(soon()).unwrap();
        assert_eq!(pool.idle(), 2, "the one used last is used again");
        lease.keep(Wire::default());
        assert_eq!(pool.idle(), 1);
        pool.close_idle();
        assert_eq!(pool.idle(), 1);
        pool.state.lock().idle[0].since = Since::ago(LONGEST_IDLE);
        pool.close_idle();
        assert_eq!(pool.idle(), 0, "nobody uses any");
    }

    #[test]
    fn a_connection_that_ended_while_it_was_idle_is_not_used() {
        let pool = Pool::<Wire>::new(1);
        let wire = Wire::default();
        pool.lease(soon()).unwrap().keep(wire.clone());
        wire.0.store(true, Ordering::SeqCst);
        std::thread::sleep(UNQUESTIONED);
        assert!(pool.lease(soon()).unwrap().kept.is_none());
        assert_eq!(pool.idle(), 0);
    }
}
