//! Who gets a connection, and when connections are closed.

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
    let (one, two) =
        (pool.lease(Term::Call, soon()).unwrap(), pool.lease(Term::Call, soon()).unwrap());
    assert!(pool.lease(Term::Call, Deadline::after(Duration::ZERO)).is_none());
    drop(one);
    assert!(pool.lease(Term::Call, soon()).is_some());
    drop(two);
}

#[test]
fn calls_share_one_more_connection_while_listings_hold_all() {
    let pool = Pool::<Wire>::new(1);
    let gone = Deadline::after(Duration::ZERO);
    let listing = pool.lease(Term::Listing, soon()).unwrap();
    assert!(pool.lease(Term::Listing, gone).is_none());
    let call = pool.lease(Term::Call, gone).unwrap();
    assert!(pool.lease(Term::Call, gone).is_none());
    call.keep(Wire::default());
    let call = pool.lease(Term::Call, gone).unwrap();
    assert!(call.kept.is_some(), "the calls of a listing use one connection");
    call.keep(Wire::default());
    assert_eq!(pool.idle(), 1);
    listing.keep(Wire::default());
    assert_eq!(pool.idle(), 1, "and it goes with the listing");
    let _call = pool.lease(Term::Call, gone).unwrap();
    assert!(pool.lease(Term::Call, gone).is_none());
}

#[test]
fn no_connection_is_closed_while_more_callers_than_connections_take_turns() {
    let (pool, opened) = (Pool::<Wire>::new(4), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut lease = pool.lease(Term::Call, soon()).unwrap();
                    let wire = lease.kept.take().unwrap_or_else(|| {
                        opened.fetch_add(1, Ordering::SeqCst);
                        Wire::default()
                    });
                    lease.keep(wire);
                }
            });
        }
    });
    assert!(opened.load(Ordering::SeqCst) <= 4, "{opened:?} were opened");
}

#[test]
fn a_call_that_waits_is_served_once_a_listing_holds_the_last_connection() {
    let pool = &Pool::<Wire>::new(1);
    let first = pool.lease(Term::Call, soon()).unwrap();
    std::thread::scope(|scope| {
        let wait = |term, others| {
            let waiting = scope.spawn(move || pool.lease(term, soon()).unwrap());
            while pool.state.lock().waiting.len() <= others {
                std::thread::yield_now();
            }
            waiting
        };
        let (listing, call) = (wait(Term::Listing, 0), wait(Term::Call, 1));
        drop(first);
        let _both = (listing.join().unwrap(), call.join().unwrap());
    });
}

#[test]
fn a_waiting_caller_gets_what_another_gives_back() {
    let pool = Pool::<Wire>::new(1);
    let lease = pool.lease(Term::Call, soon()).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.lease(Term::Call, soon()).unwrap().kept.is_some());
        lease.keep(Wire::default());
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn who_waits_longest_is_served_first_and_who_gave_up_is_not_served() {
    let pool = Pool::<Wire>::new(1);
    let lease = pool.lease(Term::Call, soon()).unwrap();
    assert!(pool.lease(Term::Call, Deadline::after(Duration::ZERO)).is_none());
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (pool, order) = (&pool, &order);
            scope.spawn(move || {
                let _lease = pool.lease(Term::Call, soon()).unwrap();
                order.lock().push(number);
            });
            while pool.state.lock().waiting.len() <= number {
                std::thread::yield_now();
            }
        }
        drop(lease);
    });
    assert_eq!(order.into_inner(), [0, 1, 2, 3]);
    assert!(pool.lease(Term::Call, soon()).is_some(), "none was lost on the way");
}

#[test]
fn a_connection_that_worked_is_used_again_and_one_that_failed_is_not() {
    let pool = Pool::<Wire>::new(2);
    let lease = pool.lease(Term::Call, soon()).unwrap();
    assert!(lease.kept.is_none(), "there is none yet");
    lease.keep(Wire::default());
    let lease = pool.lease(Term::Call, soon()).unwrap();
    assert!(lease.kept.is_some());
    drop(lease);
    assert!(pool.lease(Term::Call, soon()).unwrap().kept.is_none(), "it was not kept");
}

#[test]
fn a_renewed_pool_uses_no_older_connection() {
    let pool = Pool::<Wire>::new(3);
    let (old, lent) =
        (pool.lease(Term::Call, soon()).unwrap(), pool.lease(Term::Call, soon()).unwrap());
    old.keep(Wire::default());
    pool.renew();
    assert_eq!(pool.idle(), 0);
    lent.keep(Wire::default());
    assert!(
        pool.lease(Term::Call, soon()).unwrap().kept.is_none(),
        "lent before, given back after"
    );
    let new = pool.lease(Term::Call, soon()).unwrap();
    new.keep(Wire::default());
    assert!(pool.lease(Term::Call, soon()).unwrap().kept.is_some());
}

#[test]
fn connections_that_nobody_used_for_long_are_closed_while_another_is_used() {
    let pool = Pool::<Wire>::new(3);
    let leases = [(); 3].map(|()| pool.lease(Term::Call, soon()).unwrap());
    leases.into_iter().for_each(|lease| lease.keep(Wire::default()));
    for idle in &mut pool.state.lock().idle[..2] {
        idle.since = Since::ago(LONGEST_IDLE);
    }
    let lease = pool.lease(Term::Call, soon()).unwrap();
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
    pool.lease(Term::Call, soon()).unwrap().keep(wire.clone());
    wire.0.store(true, Ordering::SeqCst);
    std::thread::sleep(UNQUESTIONED);
    assert!(pool.lease(Term::Call, soon()).unwrap().kept.is_none());
    assert_eq!(pool.idle(), 0);
}
