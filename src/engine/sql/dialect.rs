//! The interface of a dialect of SQL; a store on its servers needs nothing else.
//!
//! Invariant: this interface holds exactly the parts that differ between dialects. It knows no
//! dialect.

use std::fmt;

use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::stored::columns::Columns;
use crate::engine::outcome::{Ended, Insert, Sweep};
use crate::engine::sql::Sql;
use crate::engine::sql::rows::{Outcome, Row};
use crate::engine::sql::statements::{Common, Texts};
use crate::engine::sql::value::Value;
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// One statement, with its values.
pub(super) type Step<'a, T = Common> = (T, &'a [Value<'a>]);

/// The result of statements: the outcome of each, or the error that ended them.
pub(super) type Answer<D> =
    std::result::Result<Vec<<D as Dialect>::Outcome>, <D as Dialect>::Refusal>;

/// A dialect of SQL, and the servers that speak it. The calls are those of
/// [`Backend`](crate::engine::network::backend::Backend); some return rows, which all dialects read
/// alike.
pub(super) trait Dialect: fmt::Debug + Send + Sync + Sized + 'static {
    type Connection: Connection;
    type Row: Row;
    type Outcome: Outcome<Row = Self::Row>;
    /// An error of the server.
    type Refusal;
    type Text: Texts;

    /// The statements that begin a read-only transaction on a snapshot.
    const SNAPSHOT: &'static [Self::Text];

    /// The statements that touch a live record, if that is due, and return the record and whether
    /// the touch is still due. Each takes the key, now, the resolution and the two timeouts.
    const EXTEND: &'static [Self::Text];

    /// The statement that stores a new record and counts it; `None` if that takes two statements.
    /// It takes the columns.
    const INSERT_COUNTED: Option<Self::Text>;

    /// The statements of a transaction that puts the sum of all changes of the counts in their
    /// place; none if the counts are changed in place.
    const SUM: &'static [Self::Text];

    /// The statement that limits how long the transaction around it may be idle. It takes the
    /// milliseconds as text. `None` if the connection has the limit for every transaction that
    /// writes.
    const IDLE_LIMIT: Option<Self::Text>;

    /// The statement that sets how long each later statement of the transaction may take. It takes
    /// the milliseconds as text. `None` if no statement that writes has such a limit.
    const STATEMENT_LIMIT: Option<Self::Text>;

    /// Whether the row to lock near the limit on the number of sessions also counts the sessions
    /// that are stored under the lock. The nodes of a Galera cluster know nothing of each other's
    /// locks, and refuse the second of two transactions that change one row.
    const COUNTS_UNDER_LOCK: bool = false;

    /// Connects to a server that takes writes.
    fn connect(&self, deadline: Deadline) -> Attempt<Self::Connection>;

    /// Whether another host has become the primary, though the connections' server still takes
    /// writes.
    fn is_superseded(&self, _deadline: Deadline) -> bool {
        false
    }

    /// Runs statements in one round trip; returns the outcome of each.
    fn batch(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        steps: &[Step<'_, Self::Text>],
    ) -> Attempt<Answer<Self>>;

    /// Runs a statement as text, and ignores its rows.
    fn say(
        on: &mut Self::Connection,
        text: &str,
    ) -> Attempt<std::result::Result<(), Self::Refusal>>;

    /// Whether an error means that the store has no tables.
    fn is_without_tables(refusal: &Self::Refusal) -> bool;

    /// Whether an error means that a key exists already.
    fn is_taken(refusal: &Self::Refusal) -> bool;

    /// The `last_active` of a record after a statement that replaced it; `None` if the statement
    /// changed no row.
    fn activity(outcome: &Self::Outcome) -> Option<i64>;

    /// Stores a new record in one round trip; `None` if `far` or more records exist.
    fn insert_far(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        key: &SessionKey,
        columns: &Columns,
        far: i64,
    ) -> Attempt<Option<Insert>>;

    /// Removes a record that the owner may end; returns its user, and whether it was live.
    fn remove(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Vec<Self::Row>>;

    /// Removes a user's records; returns the key of each, and whether it was live.
    fn remove_user(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Self::Row>>;

    fn remove_others(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>>;

    /// Gives a user's records to another user; returns how many are live.
    fn rename_user(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Self::Row>>;

    fn remove_expired(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep>;

    /// Moves late index entries of up to `limit` records, beginning at a key; returns the last key,
    /// and whether `limit` records were read.
    fn reindex(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        timeouts: &Timeouts,
        from: &SessionKey,
        limit: i64,
    ) -> Attempt<Option<(SessionKey, bool)>>;

    fn clear(sql: &Sql<Self>, on: &mut Self::Connection) -> Attempt<()>;

    /// The statement that adds the rows that the counts must have, where they are missing. `{}` is
    /// the store's name.
    fn filling() -> String;

    /// The statements of a transaction that may remove what a server refused [`SUM`](Self::SUM)
    /// for; none if nothing is to be removed.
    fn remedy(_refusal: &Self::Refusal) -> &'static [Self::Text] {
        &[]
    }

    /// The failure that a server's error means.
    fn refused(server: &str, refusal: &Self::Refusal) -> Failure;
}
