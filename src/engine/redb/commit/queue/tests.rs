//! Which thread commits, and what follows when a leader fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::caught::tests::PanicsAgain;

#[derive(Debug)]
struct Number(usize);

impl Queued for Number {
    type Outcome = usize;

    fn weight(&self) -> usize {
        1
    }
}

fn double(group: &mut Group<'_, Number>) -> Outcomes<Number> {
    Ok(group.map(|Number(number)| Ok(number * 2)).collect())
}

#[test]
fn every_operation_gets_its_own_answer() {
    let queue = CommitQueue::new();
    let most = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (queue, most) = (&queue, &most);
            scope.spawn(move || {
                for round in 0..500 {
                    let number = thread * 1_000 + round;
                    let outcome = queue.submit(Number(number), |group| {
                        thread::yield_now();
                        let outcomes = double(group)?;
                        most.fetch_max(outcomes.len(), Ordering::Relaxed);
                        Ok(outcomes)
                    });
                    assert_eq!(outcome.unwrap(), number * 2);
                }
            });
        }
    });
    assert!(most.into_inner() > 1, "no commit was ever shared");
    assert!(!queue.state.lock().led);
}

#[test]
fn a_leader_that_panics_answers_its_batch_and_hands_over() {
    let queue = CommitQueue::new();
    let unknown = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (queue, unknown) = (&queue, &unknown);
            scope.spawn(move || {
                for round in 0..200 {
                    let number = thread * 1_000 + round;
                    let outcome = queue.submit(Number(number), |group| {
                        thread::yield_now();
                        let outcomes = double(group);
                        if number % 7 == 0 {
                            std::panic::resume_unwind(Box::new("on purpose"));
                        }
                        outcomes
                    });
                    match outcome {
                        Ok(outcome) => assert_eq!(outcome, number * 2),
                        Err(Error::OutcomeUnknown { .. }) => {
                            unknown.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert!(unknown.into_inner() > 0, "no leader panicked");
    assert_eq!(queue.submit(Number(1), double).unwrap(), 2);
}

#[test]
fn a_leader_whose_panic_panics_again_when_it_is_dropped_hands_over() {
    let queue = CommitQueue::new();
    let outcome = queue.submit(Number(1), |_| std::panic::resume_unwind(Box::new(PanicsAgain)));
    assert!(matches!(outcome, Err(Error::OutcomeUnknown { .. })));
    assert_eq!(queue.submit(Number(1), double).unwrap(), 2);
}

#[test]
fn a_batch_stays_within_its_limit() {
    let queue = CommitQueue::new();
    for number in 0..MAX_GROUP + 10 {
        queue.state.lock().waiting.push_back(Arc::new(Ticket {
            stands_alone: false,
            place: Mutex::new(Place::Waiting(Number(number))),
            changed: Condvar::new(),
        }));
    }
    let mut group = Group::new(&queue, Number(0));
    assert_eq!((group.by_ref().count(), group.tickets.len()), (MAX_GROUP, MAX_GROUP - 1));
    assert_eq!(queue.state.lock().waiting.len(), 11);
}

/// An operation that writes one mebibyte.
#[derive(Debug)]
struct Large;

impl Queued for Large {
    type Outcome = ();

    fn weight(&self) -> usize {
        1024 * 1024
    }
}

#[test]
fn a_batch_ends_with_the_operation_that_fills_four_mebibytes() {
    let queue = CommitQueue::new();
    for _ in 0..10 {
        queue.state.lock().waiting.push_back(Arc::new(Ticket {
            stands_alone: false,
            place: Mutex::new(Place::Waiting(Large)),
            changed: Condvar::new(),
        }));
    }
    assert_eq!(Group::new(&queue, Large).count(), 4);
    assert_eq!(queue.state.lock().waiting.len(), 7);
}

#[test]
fn what_comes_while_a_batch_is_carried_out_is_in_it() {
    let queue = CommitQueue::new();
    thread::scope(|scope| {
        let outcome = queue.submit(Number(1), |group| {
            let own = group.next().map(|Number(number)| Ok(number * 2));
            scope.spawn(|| {
                let led = |_: &mut Group<'_, _>| panic!("it was to be taken along");
                assert_eq!(queue.submit(Number(2), led).unwrap(), 4);
            });
            while queue.waiting() == 0 {
                thread::yield_now();
            }
            Ok(own.into_iter().chain(double(group)?).collect())
        });
        assert_eq!(outcome.unwrap(), 2);
    });
}

#[test]
fn an_error_of_the_batch_is_the_answer_to_all_that_it_took_and_to_nobody_else() {
    let queue = CommitQueue::new();
    thread::scope(|scope| {
        let outcome = queue.submit(Number(1), |group| {
            assert!(group.next().is_some());
            for (taken, number) in [2, 3, 4].into_iter().enumerate() {
                let queue = &queue;
                scope.spawn(move || {
                    let outcome = queue.submit(Number(number), double);
                    match number {
                        4 => assert_eq!(outcome.unwrap(), 8),
                        _ => assert!(matches!(outcome, Err(Error::Closed))),
                    }
                });
                while queue.waiting() <= taken {
                    thread::yield_now();
                }
            }
            assert_eq!(group.take(2).count(), 2);
            Err(Error::Closed)
        });
        assert!(matches!(outcome, Err(Error::Closed)));
    });
}

#[test]
fn the_queue_is_busy_from_the_moment_somebody_leads_until_nobody_waits() {
    let queue = CommitQueue::new();
    assert!(!queue.is_busy());
    let outcome = queue.submit(Number(1), |group| {
        assert!(queue.is_busy());
        double(group)
    });
    assert_eq!(outcome.unwrap(), 2);
    assert!(!queue.is_busy());
}

/// An operation that needs a group of its own if its number is odd.
#[derive(Debug)]
struct OddAlone(usize);

impl Queued for OddAlone {
    type Outcome = ();

    fn weight(&self) -> usize {
        1
    }

    fn stands_alone(&self) -> bool {
        self.0 % 2 == 1
    }
}

#[test]
fn what_stands_alone_is_a_group_of_its_own_and_ends_the_one_before_it() {
    let queue = CommitQueue::new();
    for number in [2, 4, 5, 6] {
        let operation = OddAlone(number);
        queue.state.lock().waiting.push_back(Arc::new(Ticket {
            stands_alone: operation.stands_alone(),
            place: Mutex::new(Place::Waiting(operation)),
            changed: Condvar::new(),
        }));
    }
    let numbers = |group: Group<'_, OddAlone>| group.map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(numbers(Group::new(&queue, OddAlone(1))), [1]);
    assert_eq!(numbers(Group::new(&queue, OddAlone(0))), [0, 2, 4]);
    assert_eq!(queue.state.lock().waiting.len(), 2);
}
