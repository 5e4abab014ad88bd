//! Times one operation on one side: prepares a batch, runs it against the clock, then checks every answer.
//!
//! Only the calls themselves are timed. Choosing ids, building contents and comparing what came back happen before
//! and after, on every side alike. A wrong answer is an error and ends the run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::contender::{Contender, Kind};
use crate::session::{self, Content, Id, Outcome, Random};

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

    /// How many calls one thread makes between two looks at the clock: many where a call takes less than the look.
    fn batch(self) -> usize {
        match self {
            Self::Read | Self::ReadUnknown => 2048,
            _ => 8,
        }
    }
}

/// One opened side with the sessions it holds.
pub struct Subject {
    pub kind: Kind,
    pub store: Box<dyn Contender>,
    pub live: Vec<Id>,
    /// How often a session of the population was updated, where it was.
    revisions: Mutex<HashMap<u64, u64>>,
    /// The sessions beyond the population, which may be destroyed again, with the number of each one's content.
    created: Mutex<Vec<(Id, u64)>>,
    next: AtomicU64,
    random: Mutex<Random>,
}

/// One call that is about to be made.
struct Task {
    id: Id,
    index: u64,
    content: Content,
}

/// What a call answered.
enum Answer {
    Content(Option<Content>),
    Done(bool),
    Created(Id),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subject {
    /// Takes a side that has just been opened and gives it its population.
    pub fn new(kind: Kind, store: Box<dyn Contender>, sessions: u64) -> Outcome<Self> {
        let live = store.populate(0, sessions, 0)?.live;
        if live.len() as u64 != sessions {
            return Err(format!("{} did not take its population", kind.name()).into());
        }
        Ok(Self {
            kind,
            store,
            live,
            revisions: Mutex::default(),
            created: Mutex::default(),
            next: AtomicU64::new(sessions),
            random: Mutex::new(Random::new(sessions)),
        })
    }

    /// Numbers that no session of this side has had yet.
    pub fn take_numbers(&self, count: u64) -> u64 {
        self.next.fetch_add(count, Ordering::Relaxed)
    }

    pub fn random_number(&self, below: u64) -> u64 {
        locked(&self.random).next() % below
    }

    fn expected(&self, index: u64) -> Content {
        Content::of(index, locked(&self.revisions).get(&index).copied().unwrap_or(0))
    }

    fn prepare(&self, call: Call) -> Outcome<Task> {
        Ok(match call {
            Call::ReadUnknown => Task { id: session::draw_id()?, index: 0, content: Content::of(0, 0) },
            Call::Create => {
                let index = self.take_numbers(1);
                Task { id: Id::default(), index, content: Content::of(index, 0) }
            }
            Call::Destroy => {
                let spare = locked(&self.created).pop();
                let (id, index) = match spare {
                    Some(spare) => spare,
                    None => {
                        let index = self.take_numbers(1);
                        (self.store.create(&Content::of(index, 0))?, index)
                    }
                };
                Task { id, index, content: Content::of(0, 0) }
            }
            Call::Read | Call::Extend | Call::ReadAndExtend | Call::Update => {
                let index = self.random_number(self.live.len() as u64);
                let content = match call {
                    Call::Update => {
                        let revision = locked(&self.revisions).get(&index).copied().unwrap_or(0) + 1;
                        Content::of(index, revision)
                    }
                    _ => Content::of(0, 0),
                };
                Task { id: self.live[index as usize], index, content }
            }
        })
    }

    fn check(&self, call: Call, task: Task, answer: Answer) -> Outcome<()> {
        let right = match (call, answer) {
            (Call::Read | Call::ReadAndExtend, Answer::Content(content)) => {
                content.as_ref() == Some(&self.expected(task.index))
            }
            (Call::ReadUnknown, Answer::Content(content)) => content.is_none(),
            (Call::Extend, Answer::Done(done)) => {
                done && self.store.read(&task.id)?.as_ref() == Some(&self.expected(task.index))
            }
            (Call::Create, Answer::Created(id)) => {
                locked(&self.created).push((id, task.index));
                self.store.read(&id)?.as_ref() == Some(&task.content)
            }
            (Call::Update, Answer::Done(done)) => {
                // The same session may be chosen twice in a batch; both times it gets the same content.
                locked(&self.revisions).insert(task.index, task.content.revision & 0xffff);
                done && self.store.read(&task.id)?.as_ref() == Some(&task.content)
            }
            (Call::Destroy, Answer::Done(done)) => done && self.store.read(&task.id)?.is_none(),
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("{} gave a wrong answer to {call:?}", self.kind.name()).into()) }
    }

    fn run(&self, call: Call, task: &Task) -> Outcome<Answer> {
        Ok(match call {
            Call::Read | Call::ReadUnknown => Answer::Content(self.store.read(&task.id)?),
            Call::ReadAndExtend => Answer::Content(self.store.read_and_extend(&task.id)?),
            Call::Extend => Answer::Done(self.store.extend(&task.id)?),
            Call::Create => Answer::Created(self.store.create(&task.content)?),
            Call::Update => Answer::Done(self.store.update(&task.id, &task.content)?),
            Call::Destroy => Answer::Done(self.store.destroy(&task.id)?),
        })
    }

    /// The nanoseconds of wall time per call, with `threads` callers at once, over about `slice` of timed work.
    pub fn time(&self, call: Call, threads: usize, slice: Duration) -> Outcome<f64> {
        let (mut spent, mut calls) = (Duration::ZERO, 0u64);
        while spent < slice {
            let plans = (0..threads)
                .map(|_| (0..call.batch()).map(|_| self.prepare(call)).collect())
                .collect::<Outcome<Vec<Vec<Task>>>>()?;
            calls += (threads * call.batch()) as u64;
            let (wall, answers) = if threads == 1 { self.alone(call, &plans)? } else { self.together(call, &plans)? };
            spent += wall;
            for (task, answer) in plans.into_iter().flatten().zip(answers) {
                self.check(call, task, answer)?;
            }
        }
        Ok(spent.as_nanos() as f64 / calls as f64)
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

    fn alone(&self, call: Call, plans: &[Vec<Task>]) -> Outcome<(Duration, Vec<Answer>)> {
        let mut answers = Vec::with_capacity(call.batch());
        let start = Instant::now();
        for task in plans.iter().flatten() {
            answers.push(self.run(call, task)?);
        }
        Ok((start.elapsed(), answers))
    }

    /// One thread for each plan, timed from the first start to the last end.
    fn together(&self, call: Call, plans: &[Vec<Task>]) -> Outcome<(Duration, Vec<Answer>)> {
        let barrier = Barrier::new(plans.len());
        let ready = AtomicUsize::new(0);
        let one_thread = |plan: &[Task]| -> (Instant, Instant, Outcome<Vec<Answer>>) {
            let mut answers = Vec::with_capacity(plan.len());
            barrier.wait();
            // Waking from the barrier takes as long as many reads do; those who are awake wait for the rest here.
            ready.fetch_add(1, Ordering::AcqRel);
            while ready.load(Ordering::Acquire) < plans.len() {
                std::thread::yield_now();
            }
            let start = Instant::now();
            let mut failed = None;
            for task in plan {
                match self.run(call, task) {
                    Ok(answer) => answers.push(answer),
                    Err(failure) => {
                        failed = Some(failure);
                        break;
                    }
                }
            }
            (start, Instant::now(), failed.map_or(Ok(answers), Err))
        };
        let mut ended = Vec::with_capacity(plans.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = plans.iter().map(|plan| scope.spawn(|| one_thread(plan))).collect();
            for thread in threads {
                ended.push(thread.join().map_err(|_| "a caller panicked")?);
            }
            Outcome::Ok(())
        })?;
        let first = ended.iter().map(|(start, ..)| *start).min().ok_or("no thread ran")?;
        let last = ended.iter().map(|(_, end, _)| *end).max().ok_or("no thread ran")?;
        let mut answers = Vec::new();
        for (_, _, given) in ended {
            answers.extend(given?);
        }
        Ok((last - first, answers))
    }
}
