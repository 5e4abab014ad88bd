//! Several commands in one step: a transaction, whose commit is sent with its last commands.
//!
//! Invariant: a transaction whose answers were lost is aborted before the call continues, or on the
//! next connection: otherwise it would block others until the server aborts it after a minute.
//!
//! The server runs the commands of one send one after the other, and rolls a transaction back at
//! its first error. So a commit that is sent after other commands commits all of them or none. A
//! host that dies leaves nothing behind but the lock of a user who logs in under a limit.

use std::thread;
use std::time::Duration;

use crate::engine::mongodb::Mongodb;
use crate::engine::mongodb::bson::{Document, Value, bson};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::wire::{Answer, MongodbConnection, Reply, garbled};
use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::{Backoff, Deadline};
use crate::engine::network::failure::Failure;

/// How often a transaction restarts after conflicts. The deadline comes first, unless the server
/// answers at once.
const MOST_BEGUN: u32 = 200;

/// How often a commit with an unknown outcome is repeated.
const MOST_COMMITTED: u32 = 3;

/// The pause before that.
const PAUSE: Duration = Duration::from_millis(20);

/// The replies to the commands of a part, or the first refusal.
pub(super) type Part = std::result::Result<Vec<Reply>, Refusal>;

/// A transaction on a connection.
pub(super) struct Transaction<'a> {
    mongodb: &'a Mongodb,
    on: &'a mut MongodbConnection,
    is_begun: bool,
}

/// A command of a part.
pub(super) enum Step {
    /// The command belongs to the transaction.
    In(Document),
    /// The command runs in its turn outside the transaction, and sees what is committed.
    Beside(Document),
}

impl Mongodb {
    /// Runs a transaction, and restarts it after conflicts.
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
            // A command outside the transaction may have failed, which leaves the transaction open.
            Err(failure @ (Failure::Answered(_) | Failure::NotNow(_))) => {
                if on.ask([ended("abortTransaction", on)]).is_ok() {
                    return Err(failure);
                }
                // Its answer may still come, so the connection must not be used again.
                self.abandon(on);
                Err(Failure::not_done("the connection ended while a transaction was aborted"))
            }
            other => other,
        }
    }

    /// Aborts a connection's abandoned transaction, over another connection. Returns whether the
    /// server reports that the transaction existed and was aborted.
    fn abandon(&self, on: &MongodbConnection) -> bool {
        // The time for the answer may already be over.
        let deadline = Deadline::after(self.abandoning);
        let aborted = self.hosts.connect(deadline).and_then(|mut other| {
            other.ask([ended("abortTransaction", on)])?.pop().ok_or_else(garbled)
        });
        if aborted.is_err() {
            self.left.lock().push((on.session, on.last_transaction));
        }
        matches!(aborted, Ok(Ok(_)))
    }

    /// Takes over the session of an abandoned transaction, if there is one, and aborts the
    /// transaction.
    pub(super) fn take_over(&self, on: &mut MongodbConnection) -> Attempt<()> {
        let Some(left) = self.left.lock().pop() else { return Ok(()) };
        (on.session, on.last_transaction) = left;
        // A finished transaction no longer exists. A request still on its way comes too late, once
        // the session has begun another transaction.
        on.ask([ended("abortTransaction", on)]).map(drop).inspect_err(|_| {
            self.left.lock().push(left);
        })
    }
}

impl Transaction<'_> {
    /// Runs commands; an error of one is a failure.
    pub(super) fn carry_out(
        &mut self,
        steps: impl IntoIterator<Item = Step>,
    ) -> Attempt<Vec<Reply>> {
        let mongodb = self.mongodb;
        self.ask(steps)?.map_err(|refusal| refusal.failure(&mongodb.hosts.server))
    }

    /// Runs commands, and returns their replies. After a refusal the transaction is rolled back.
    pub(super) fn ask(&mut self, steps: impl IntoIterator<Item = Step>) -> Attempt<Part> {
        let commands = self.commands(steps);
        self.on.ask(commands)?.into_iter().collect::<Part>().map_or_else(transient, |r| Ok(Ok(r)))
    }

    /// Runs the last commands, and commits.
    pub(super) fn commit(&mut self, steps: impl IntoIterator<Item = Step>) -> Attempt<Part> {
        let mut commands = self.commands(steps);
        commands.push(ended("commitTransaction", self.on));
        let mut answers = self.on.ask(commands)?;
        let commit = answers.pop().ok_or_else(garbled)?;
        let part = answers.into_iter().collect::<Part>();
        match (part, commit) {
            (Err(refusal), Err(_)) => transient(refusal),
            // The server reports a commit after it refused a command.
            (Err(_), Ok(_)) => Err(garbled()),
            (Ok(replies), commit) => self.committed(commit).map(|()| Ok(replies)),
        }
    }

    /// Waits until a commit is on a majority.
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

    /// Aborts a transaction, and returns the outcome.
    pub(super) fn give_up<T>(&mut self, outcome: T) -> Attempt<T> {
        // A finished transaction no longer exists.
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

/// A refusal is the caller's to handle, unless the transaction must restart.
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
