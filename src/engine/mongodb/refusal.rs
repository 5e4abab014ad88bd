//! The errors of a server, and what is known of the effect after each.
//!
//! Invariant: an error that may have come after the change never counts as one before it. A
//! server's message about a user is not passed on.

use crate::engine::mongodb::bson::{Found, View};
use crate::engine::network::failure::{Failure, NOT_ALLOWED, source};
use crate::error::Error;

/// An error in an answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: i64,
    message: String,
    /// The change is on one server, and not known to be on a majority.
    is_unacknowledged: bool,
    /// The server rolled back the transaction because of another one.
    is_transient: bool,
    /// The commit may have happened.
    is_unknown_commit: bool,
}

/// The server is not the primary, and did nothing.
const NOT_PRIMARY: [i64; 4] = [10_058, 10_107, 13_435, 13_436];

/// The server stopped in the middle, or was stopped: shutdown, a new primary, a time limit, an
/// unreachable host.
const INTERRUPTED: [i64; 10] = [6, 7, 50, 89, 91, 189, 262, 9_001, 11_600, 11_602];

/// The operation was undone after a conflict: a lock, a write, a transaction, a snapshot.
const UNDONE: [i64; 5] = [24, 112, 239, 246, 251];

impl Refusal {
    /// A unique index already has the value.
    pub(super) const DUPLICATE_KEY: i64 = 11_000;
    /// The user or the password is wrong.
    pub(super) const AUTHENTICATION_FAILED: i64 = 18;
    /// The collection already exists.
    pub(super) const NAMESPACE_EXISTS: i64 = 48;
    /// The collection does not exist.
    pub(super) const NAMESPACE_NOT_FOUND: i64 = 26;
    /// The transaction was aborted, or was never there.
    const NO_SUCH_TRANSACTION: i64 = 251;

    /// The first error in an answer: of the command, of one of its writes, or of its write concern.
    pub(super) fn of(answer: View<'_>) -> Option<Self> {
        let is_done = answer.number("ok") == Some(1);
        let write = answer.list("writeErrors").find_map(|error| match error {
            Found::Document(error) => Some(error),
            _ => None,
        });
        let concern = answer.document("writeConcernError");
        let (error, is_unacknowledged) = match (is_done, write, concern) {
            (true, None, None) => return None,
            (true, None, Some(concern)) => (concern, true),
            (true, Some(write), _) => (write, false),
            (false, ..) => (answer, false),
        };
        let has = |label: &str| {
            let mut labels = answer.list("errorLabels");
            labels.any(|one| matches!(one, Found::Text(text) if text == label))
        };
        let words = error.text("errmsg").unwrap_or_default();
        Some(Self {
            code: error.number("code").unwrap_or(0),
            message: words.chars().filter(|letter| !letter.is_control()).take(200).collect(),
            is_unacknowledged,
            is_transient: has("TransientTransactionError"),
            is_unknown_commit: has("UnknownTransactionCommitResult"),
        })
    }

    /// Whether the transaction may be tried again from its beginning.
    pub(super) const fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// Whether the commit may be repeated, because it may have happened.
    pub(super) fn is_unknown_commit(&self) -> bool {
        let may_be = self.is_unacknowledged || INTERRUPTED.contains(&self.code);
        self.is_unknown_commit || (may_be && !self.is_transient)
    }

    /// Whether the transaction was never committed, although its commit may have been carried out
    /// before. The server labels this answer so only once a majority has all that it knows.
    pub(super) const fn is_uncommitted(&self) -> bool {
        self.is_transient && self.code == Self::NO_SUCH_TRANSACTION
    }

    /// The failure of the request.
    pub(super) fn failure(&self, server: &str) -> Failure {
        if self.is_unacknowledged {
            return Failure::lost(format!(
                "the change was not acknowledged by a majority: {}",
                self.message
            ));
        }
        // An uncommitted transaction was rolled back, whatever interrupted it.
        let is_undone = self.is_transient && INTERRUPTED.contains(&self.code);
        if is_undone || NOT_PRIMARY.contains(&self.code) {
            return Failure::not_now("the server is not the primary any more");
        }
        if INTERRUPTED.contains(&self.code) {
            return Failure::lost(format!("the server was interrupted: {}", self.message));
        }
        if self.is_transient || UNDONE.contains(&self.code) {
            return Failure::RolledBack(source("the server undid it for another's sake"));
        }
        let reason = match self.code {
            13 | 8_000 => NOT_ALLOWED.into(),
            Self::AUTHENTICATION_FAILED => "the server refuses the user or the password".into(),
            14_031 => {
                let source = source("the server's disk is full");
                return Error::StorageFull { path: server.into(), source }.into();
            }
            code => format!("{} (error {code})", self.message),
        };
        Error::Unavailable { server: server.into(), source: source(reason) }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mongodb::bson::{Document, bson, list};

    fn refusal(answer: Document) -> Option<Refusal> {
        Refusal::of(View::parse(&answer.into_bytes()).unwrap())
    }

    fn failure(answer: Document) -> Failure {
        refusal(answer).unwrap().failure("a server")
    }

    #[test]
    fn an_answer_without_an_error_is_none() {
        assert!(refusal(bson! { "ok": 1, "n": 1 }).is_none());
        assert!(refusal(bson! { "n": 1 }).is_some(), "one that does not say so is not done");
    }

    #[test]
    fn what_may_have_come_after_the_change_is_lost_and_what_came_before_it_is_not() {
        let of = |code: i32| failure(bson! { "ok": 0, "code": code, "errmsg": "no" });
        for code in [10_107, 13_435, 13_436] {
            assert!(matches!(of(code), Failure::NotNow(_)), "{code}");
        }
        for code in [91, 189, 11_600, 11_602, 50] {
            assert!(matches!(of(code), Failure::Lost(_)), "{code}");
        }
        assert!(matches!(of(112), Failure::RolledBack(_)));
        assert!(matches!(of(14_031), Failure::Answered(Error::StorageFull { .. })));
        let concern = bson! { "code": 64, "errmsg": "waiting for replication timed out" };
        let unacknowledged = bson! { "ok": 1, "n": 1, "writeConcernError": concern };
        assert!(matches!(failure(unacknowledged), Failure::Lost(_)));
    }

    #[test]
    fn an_error_of_one_write_is_one_of_the_command_and_labels_count() {
        let duplicate = list![bson! { "index": 0, "code": 11_000, "errmsg": "E11000" }];
        let found = refusal(bson! { "ok": 1, "n": 0, "writeErrors": duplicate }).unwrap();
        assert_eq!(found.code, Refusal::DUPLICATE_KEY);
        let labels = list!["TransientTransactionError"];
        let found = bson! { "ok": 0, "code": 1, "errmsg": "", "errorLabels": labels };
        assert!(refusal(found.clone()).unwrap().is_transient());
        assert!(matches!(failure(found), Failure::RolledBack(_)));
    }

    #[test]
    fn a_servers_words_about_a_user_are_not_passed_on() {
        let failure =
            failure(bson! { "ok": 0, "code": 13, "errmsg": "not authorized: hidden@shop" });
        assert!(!format!("{failure:?}").contains("hidden"));
    }
}
