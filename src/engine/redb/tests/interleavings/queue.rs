//! The commit queue alone.

use std::sync::{Arc, Mutex as StdMutex};

use shuttle::thread;

use crate::engine::redb::commit::queue::{CommitQueue, Queued};
use crate::engine::redb::tests::interleavings::explore;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicBool, Ordering};

const EXECUTIONS: u64 = 8_000;

#[derive(Debug)]
struct Number(usize);

impl Queued for Number {
    type Outcome = usize;

    fn weight(&self) -> usize {
        1
    }
}

/// A queue, and the numbers that its leaders carried out.
struct Scene {
    queue: CommitQueue<Number>,
    committing: AtomicBool,
    /// Never held where shuttle can switch threads.
    carried_out: StdMutex<Vec<usize>>,
}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: CommitQueue::new(),
            committing: AtomicBool::new(false),
            carried_out: StdMutex::default(),
        })
    }

    /// Doubles every number, one group at a time; panics if `panics` is set.
    fn submit(&self, number: usize, panics: bool) -> Result<usize> {
        self.queue.submit(Number(number), |group| {
            assert!(!self.committing.swap(true, Ordering::SeqCst), "two threads lead");
            let numbers: Vec<usize> = group.map(|Number(number)| number).collect();
            self.carried_out.lock().unwrap().extend(&numbers);
            assert!(self.committing.swap(false, Ordering::SeqCst), "two threads lead");
            if panics {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            Ok(numbers.into_iter().map(|number| Ok(number * 2)).collect())
        })
    }

    /// Asserts that nothing is left over, and that every number was carried out once.
    fn assert_finished(&self, mut submitted: Vec<usize>) {
        assert_eq!(self.submit(1_000, false).unwrap(), 2_000, "somebody leads still");
        submitted.push(1_000);
        let mut carried_out = self.carried_out.lock().unwrap().clone();
        carried_out.sort_unstable();
        assert_eq!(carried_out, submitted);
    }
}

#[test]
fn every_operation_is_carried_out_and_answered_exactly_once() {
    explore(EXECUTIONS, || {
        let scene = Scene::new();
        let submitters: Vec<_> = (0..3)
            .map(|thread| {
                let scene = Arc::clone(&scene);
                thread::spawn(move || {
                    for number in [thread * 2, thread * 2 + 1] {
                        assert_eq!(scene.submit(number, false).unwrap(), number * 2);
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|thread| thread.join().unwrap());
        scene.assert_finished((0..6).collect());
    });
}

#[test]
fn a_leader_that_panics_answers_its_batch_and_the_next_one_leads() {
    explore(EXECUTIONS, || {
        let scene = Scene::new();
        let submitters: Vec<_> = (0..4)
            .map(|number| {
                let scene = Arc::clone(&scene);
                thread::spawn(move || match scene.submit(number, number % 2 == 0) {
                    Ok(outcome) => assert_eq!(outcome, number * 2),
                    Err(Error::OutcomeUnknown { .. }) => {}
                    Err(other) => panic!("{other}"),
                })
            })
            .collect();
        submitters.into_iter().for_each(|thread| thread.join().unwrap());
        scene.assert_finished((0..4).collect());
    });
}
