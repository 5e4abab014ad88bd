//! Several commands in one step: a transaction, whose end is sent with its last commands.
//!
//! Invariant: a transaction whose answers were lost is ended before the call goes on, or on the next
//! connection: it would hold others up until the server gives it up, after a minute.
//!
//! The server carries out what is sent in one go one after the other, and undoes a transaction at
//! its first error. So a commit that is sent behind other commands commits all of them or none.

use std::thread;
use std::time::Duration;

use crate::engine::mongodb::Mongodb;
use crate::engine::mongodb::bson::{Document, Value, bson};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::wire::{Answer, MongodbConnection, Reply, garbled};
use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::{Backoff, Deadline};
use crate::engine::network::failure::Failure;

/// How often a transaction is begun again that others come in the way of. The deadline comes first,
/// unless the server answers at once.
const MOST_BEGUN: u32 = 200;

/// How often a commit is asked for again whose outcome the server does not tell.
const MOST_COMMITTED: u32 = 3;

/// What is waited before that.
const PAUSE: Duration = Duration::from_millis(20);

/// What the commands of a part came to, or the first refusal.
pub(super) type Part = std::result::Result<Vec<Reply>, Refusal>;

/// A transaction on a connection.
pub(super) struct Transaction<'a> {
    mongodb: &'a Mongodb,
    on: &'a mut MongodbConnection,
    is_begun: bool,
}

/// A command of a part.
pub(super) enum Step {
    /// It belongs to the transaction.
    In(Document),
    /// It is carried out in its turn, and sees what is committed.
    Beside(Document),
}

impl Mongodb {
    /// Carries a transaction out, again where others came in its way.
    pub(super) fn transact<T>(
        &self,
        on: &mut MongodbConnection,
        mut body: impl FnMut(&mut Transaction<'_>) -> Attempt<T>,
    ) -> Attempt<T> {
        let backoff = Backoff::new();
        for _ in 1..MOST_BEGUN {
            match self.transact_once(on, &mut body) {
                Err(Failure::RolledBack(reason)) => {
                    if !backoff.step_aside(on.deadline()) {
                        return Err(Failure::RolledBack(reason));
                    }
                }
                other => return other,
            }
        }
        self.transact_once(on, &mut body)
    }

    fn transact_once<T>(
        &self,
        on: &mut MongodbConnection,
        body: &mut impl FnMut(&mut Transaction<'_>) -> Attempt<T>,
    ) -> Attempt<T> {
        on.last_transaction += 1;
        let done = body(&mut Transaction { mongodb: self, on, is_begun: false });
        match done {
            Err(Failure::Lost(reason)) if self.abandon(on) => Err(Failure::NotDone(reason)),
            Err(Failure::NotDone(reason)) => {
                self.abandon(on);
                Err(Failure::NotDone(reason))
            }
            // What was carried out beside it may have failed, and left it open.
            Err(failure @ (Failure::Answered(_) | Failure::NotNow(_))) => {
                drop(on.ask([ended("abortTransaction", on)]));
                Err(failure)
            }
            other => other,
        }
    }

    /// Ends a transaction that a connection left behind, over another one. Whether the server says
    /// that it was there and is undone.
    fn abandon(&self, on: &MongodbConnection) -> bool {
        // The time for the answer may be over by now.
        let deadline = Deadline::after(self.abandoning);
        let aborted = self.hosts.connect(deadline).and_then(|mut other| {
            other.ask([ended("abortTransaction", on)])?.pop().ok_or_else(garbled)
        });
        if aborted.is_err() {
            self.left.lock().push((on.session, on.last_transaction));
        }
        matches!(aborted, Ok(Ok(_)))
    }

    /// Goes on in the session of a transaction that was left behind, if there is one, and ends that.
    pub(super) fn take_over(&self, on: &mut MongodbConnection) -> Attempt<()> {
        let Some(left) = self.left.lock().pop() else { return Ok(()) };
        (on.session, on.last_transaction) = left;
        // One that is over already is not there. One that is still on its way comes too late, once
        // the session has begun another.
        on.ask([ended("abortTransaction", on)]).map(drop).inspect_err(|_| {
            self.left.lock().push(left);
        })
    }
}

impl Transaction<'_> {
    /// Commands of which no error is expected.
    pub(super) fn carry_out(
        &mut self,
        steps: impl IntoIterator<Item = Step>,
    ) -> Attempt<Vec<Reply>> {
        let mongodb = self.mongodb;
        self.ask(steps)?.map_err(|refusal| refusal.failure(&mongodb.hosts.server))
    }

    /// Commands; what each came to. After a refusal the transaction is undone.
    pub(super) fn ask(&mut self, steps: impl IntoIterator<Item = Step>) -> Attempt<Part> {
        let commands = self.commands(steps);
        self.on.ask(commands)?.into_iter().collect::<Part>().map_or_else(transient, |r| Ok(Ok(r)))
    }

    /// The last commands, and the commit.
    pub(super) fn commit(&mut self, steps: impl IntoIterator<Item = Step>) -> Attempt<Part> {
        let mut commands = self.commands(steps);
        commands.push(ended("commitTransaction", self.on));
        let mut answers = self.on.ask(commands)?;
        let commit = answers.pop().ok_or_else(garbled)?;
        let part = answers.into_iter().collect::<Part>();
        match (part, commit) {
            (Err(refusal), Err(_)) => transient(refusal),
            // It says that it committed what it refused to do.
            (Err(_), Ok(_)) => Err(garbled()),
            (Ok(replies), commit) => self.committed(commit).map(|()| Ok(replies)),
        }
    }

    /// Sees that a commit is on a majority.
    fn committed(&mut self, mut commit: Answer) -> Attempt<()> {
        for _ in 0..MOST_COMMITTED {
            match commit {
                Ok(_) => return Ok(()),
                Err(refusal) if refusal.is_unknown_commit() => {
                    thread::sleep(PAUSE.min(self.on.deadline().remaining().unwrap_or_default()));
                    let again = ended("commitTransaction", self.on);
                    commit = self.on.ask([again])?.pop().ok_or_else(garbled)?;
                }
                Err(refusal) => return Err(refusal.failure(&self.mongodb.hosts.server)),
            }
        }
        match commit {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::lost("the server does not tell whether it has committed")),
        }
    }

    /// Ends a transaction that has changed nothing that matters.
    pub(super) fn give_up<T>(&mut self, outcome: T) -> Attempt<T> {
        // One that is over already is not there.
        self.on.ask([ended("abortTransaction", self.on)]).map_err(Failure::harmless)?;
        Ok(outcome)
    }

    fn commands(&mut self, steps: impl IntoIterator<Item = Step>) -> Vec<Document> {
        let mut commands = Vec::new();
        for step in steps {
            commands.push(match step {
                Step::Beside(command) => self.mongodb.here(command),
                Step::In(command) => {
                    let command = numbered(self.mongodb.here(command), self.on);
                    match std::mem::replace(&mut self.is_begun, true) {
                        true => command,
                        false => command
                            .with("startTransaction", true)
                            .with("readConcern", bson! { "level": "snapshot" }),
                    }
                }
            });
        }
        commands
    }
}

/// A refusal is for the caller to look at, unless the transaction has to be begun again.
fn transient(refusal: Refusal) -> Attempt<Part> {
    match refusal.is_transient() {
        true => Err(refusal.failure("")),
        false => Ok(Err(refusal)),
    }
}

fn numbered(command: Document, on: &MongodbConnection) -> Document {
    command
        .with("lsid", bson! { "id": Value::Uuid(on.session) })
        .with("txnNumber", on.last_transaction)
        .with("autocommit", false)
}

/// A commit or an abort of the connection's last transaction.
fn ended(how: &str, on: &MongodbConnection) -> Document {
    let command = Document::new().with(how, 1).with("writeConcern", super::acknowledged());
    numbered(command, on).with("$db", "admin")
}
