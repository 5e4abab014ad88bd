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
        let mut backoff = Backoff::new();
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

    /// Waits until a commit is on a majority. Once it may have happened, an answer to its
    /// repetition tells nothing, except that it is done, or that a majority has no such
    /// transaction.
    fn committed(&mut self, commit: Answer) -> Attempt<()> {
        let server = &self.mongodb.hosts.server;
        match commit {
            Ok(_) => return Ok(()),
            Err(refusal) if refusal.is_unknown_commit() => {}
            Err(refusal) => return Err(refusal.failure(server)),
        }
        for _ in 0..MOST_COMMITTED {
            thread::sleep(PAUSE.min(self.on.deadline().remaining().unwrap_or_default()));
            let again = self.on.ask([ended("commitTransaction", self.on)]);
            match again.map_err(in_doubt)?.pop().ok_or_else(garbled)? {
                Ok(_) => return Ok(()),
                Err(refusal) if refusal.is_uncommitted() => return Err(refusal.failure(server)),
                Err(refusal) if refusal.is_unknown_commit() => {}
                Err(_) => break,
            }
        }
        Err(Failure::lost("the server does not tell whether it has committed"))
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

/// The failure of a request that repeats one of unknown outcome.
fn in_doubt(failure: Failure) -> Failure {
    match failure {
        Failure::NotDone(reason) => Failure::Lost(reason),
        other => other,
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::engine::mongodb::bson::{View, list};
    use crate::engine::network::dns::SystemDns;
    use crate::engine::network::transport::listening::connected;

    /// Commits a transaction; the server gives these answers, one to each commit.
    fn committed(answers: &[Document]) -> Attempt<Part> {
        let (mongodb, _) = Mongodb::parse("mongodb://127.0.0.1", &SystemDns).unwrap();
        let (stream, mut server) = connected();
        for (number, answer) in (1_i32..).zip(answers) {
            let body = answer.clone().into_bytes();
            let length = 21 + i32::try_from(body.len()).unwrap();
            let head = [length, 0, number, 2013, 0].map(i32::to_le_bytes).concat();
            server.write_all(&[&head[..], &[0], &body].concat()).unwrap();
        }
        let hour = Deadline::after(Duration::from_secs(3_600));
        let on = &mut MongodbConnection::over(stream, hour, [7; 16]);
        Transaction { mongodb: &mongodb, on, is_begun: true }.commit([])
    }

    fn refused(code: i32) -> Document {
        bson! { "ok": 0, "code": code, "errmsg": "no" }
    }

    fn transient(code: i32) -> Document {
        refused(code).with("errorLabels", list!["TransientTransactionError"])
    }

    fn unknown() -> [Document; 3] {
        let concern = |code: i32| bson! { "code": code, "errmsg": "stepped down" };
        let unacknowledged = |code| bson! { "ok": 1, "writeConcernError": concern(code) };
        [unacknowledged(189), unacknowledged(11_602), refused(91)]
    }

    #[test]
    fn a_commit_that_may_be_done_is_not_undone_by_what_its_repetition_is_told() {
        for first in unknown() {
            for code in [10_107, 13_435, 13_436, 13, 8_000, 225, 251, 0] {
                let outcome = committed(&[first.clone(), refused(code)]);
                assert!(matches!(outcome, Err(Failure::Lost(_))), "{code}: {outcome:?}");
            }
            for code in [10_107, 91, 112, 24] {
                let outcome = committed(&[first.clone(), transient(code)]);
                assert!(matches!(outcome, Err(Failure::Lost(_))), "{code}: {outcome:?}");
            }
        }
    }

    #[test]
    fn a_commit_is_known_once_the_server_has_it_or_has_no_such_transaction() {
        for first in unknown() {
            committed(&[first.clone(), bson! { "ok": 1 }]).unwrap().unwrap();
            let outcome = committed(&[first.clone(), transient(251)]);
            assert!(matches!(outcome, Err(Failure::RolledBack(_))), "{outcome:?}");
        }
        assert!(matches!(committed(&[refused(10_107)]), Err(Failure::NotNow(_))));
        assert!(matches!(committed(&[transient(112)]), Err(Failure::RolledBack(_))));
    }

    #[test]
    fn a_commit_that_may_be_done_is_not_undone_by_a_repetition_that_is_not_sent() {
        let (mongodb, _) = Mongodb::parse("mongodb://127.0.0.1", &SystemDns).unwrap();
        let (mut stream, _server) = connected();
        let passed = Deadline::after(Duration::ZERO);
        stream.set_deadline(passed);
        let on = &mut MongodbConnection::over(stream, passed, [7; 16]);
        for first in unknown().map(Document::into_bytes) {
            let mut within = Transaction { mongodb: &mongodb, on, is_begun: true };
            let first = Refusal::of(View::parse(&first).unwrap()).unwrap();
            let outcome = within.committed(Err(first));
            assert!(matches!(outcome, Err(Failure::Lost(_))), "{outcome:?}");
        }
    }
}
