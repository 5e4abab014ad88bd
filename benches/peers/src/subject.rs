//! One side in the race: its store, the sessions it should have, and the expected result of each
//! call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::contender::{Contender, Kind};
use crate::operation::Call;
use crate::session::{Content, Failure, Id, Outcome, Random};

/// One open side with its expected sessions.
pub struct Subject {
    pub kind: Kind,
    pub store: Box<dyn Contender>,
    pub live: Vec<Id>,
    /// How often each updated session of the population was updated.
    revisions: Mutex<HashMap<u64, u64>>,
    /// The sessions created since, with the numbers of their contents; they may be destroyed.
    created: Mutex<Vec<(Id, u64)>>,
    next: AtomicU64,
    random: Mutex<Random>,
}

/// A prepared call.
pub struct Task {
    pub id: Id,
    pub index: u64,
    /// The session's content after the call, or nothing if the call destroys it.
    pub content: Option<Content>,
}

/// The result of a call.
pub enum Answer {
    Content(Option<Content>),
    Done(bool),
    Created(Id),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subject {
    /// Takes a side that was just opened, and populates it.
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

    /// Reserves numbers that no session of this side has had yet.
    pub fn take_numbers(&self, count: u64) -> u64 {
        self.next.fetch_add(count, Ordering::Relaxed)
    }

    pub fn prepare(&self, call: Call) -> Outcome<Task> {
        Ok(match call {
            Call::ReadUnknown => Task { id: self.store.draw_unknown()?, index: 0, content: None },
            Call::Create => {
                let index = self.take_numbers(1);
                Task { id: Id::default(), index, content: Some(Content::of(index, 0)) }
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
                Task { id, index, content: None }
            }
            Call::Read | Call::Extend | Call::ReadAndExtend | Call::Update => {
                let index = locked(&self.random).next() % self.live.len() as u64;
                let revision = locked(&self.revisions).get(&index).copied().unwrap_or(0);
                let content = Content::of(index, revision + u64::from(call == Call::Update));
                Task { id: self.live[index as usize].clone(), index, content: Some(content) }
            }
        })
    }

    /// Compares the answer of a call that changes no content, without a read.
    pub fn compare(&self, call: Call, task: &Task, answer: Answer) -> Outcome<()> {
        let right = match answer {
            Answer::Content(content) => content == task.content,
            Answer::Done(done) => done,
            Answer::Created(_) => false,
        };
        if right { Ok(()) } else { Err(self.wrong(call)) }
    }

    pub fn check(&self, call: Call, task: &Task, answer: Answer) -> Outcome<()> {
        let reads_back = |id: &Id| Outcome::Ok(self.store.read(id)? == task.content);
        let right = match answer {
            Answer::Content(content) => content == task.content,
            Answer::Done(done) => {
                if call == Call::Update {
                    // A session may be chosen twice in a batch; both calls write the same content.
                    *locked(&self.revisions).entry(task.index).or_default() =
                        task.content.as_ref().map_or(0, Content::revision);
                }
                done && reads_back(&task.id)?
            }
            Answer::Created(id) => {
                locked(&self.created).push((id.clone(), task.index));
                reads_back(&id)?
            }
        };
        if right { Ok(()) } else { Err(self.wrong(call)) }
    }

    pub fn wrong(&self, call: Call) -> Failure {
        format!("{} gave a wrong result for {call:?}", self.kind.name()).into()
    }

    pub fn run(&self, call: Call, task: &Task) -> Outcome<Answer> {
        let content = || task.content.as_ref().ok_or("a write was prepared without its content");
        Ok(match call {
            Call::Read | Call::ReadUnknown => Answer::Content(self.store.read(&task.id)?),
            Call::ReadAndExtend => Answer::Content(self.store.read_and_extend(&task.id)?),
            Call::Extend => Answer::Done(self.store.extend(&task.id)?),
            Call::Create => Answer::Created(self.store.create(content()?)?),
            Call::Update => Answer::Done(self.store.update(&task.id, content()?)?),
            Call::Destroy => Answer::Done(self.store.destroy(&task.id)?),
        })
    }
}
