//! What a dialect of SQL has to be able to do, for a store to be kept on its servers.
//!
//! Invariant: what is asked for here differs from dialect to dialect, and is all that differs. It
//! knows none of them.

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

/// What statements came to: the outcome of each, or the error that ended them.
pub(super) type Answer<D> =
    std::result::Result<Vec<<D as Dialect>::Outcome>, <D as Dialect>::Refusal>;

/// A dialect of SQL, and the servers that speak it. Calls are those of
/// [`Backend`](crate::engine::network::backend::Backend), some of them as rows that are read alike.
pub(super) trait Dialect: fmt::Debug + Send + Sync + Sized + 'static {
    type Connection: Connection;
    type Row: Row;
    type Outcome: Outcome<Row = Self::Row>;
    /// An error of the server.
    type Refusal;
    type Text: Texts;

    /// What begins a transaction that reads, and sees everything as of its beginning.
    const SNAPSHOT: &'static [Self::Text];

    /// What touches a live record, where that is due, and answers with it, and with whether it is
    /// due still. Each takes the key, now, the resolution and the two timeouts.
    const EXTEND: &'static [Self::Text];

    /// Connects to a server that takes writes.
    fn connect(&self, deadline: Deadline) -> Attempt<Self::Connection>;

    /// Statements in one round trip; what each came to.
    fn batch(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        steps: &[Step<'_, Self::Text>],
    ) -> Attempt<Answer<Self>>;

    /// A statement as text, whose rows nobody asks for.
    fn say(
        on: &mut Self::Connection,
        text: &str,
    ) -> Attempt<std::result::Result<(), Self::Refusal>>;

    /// Whether an error says that a key is taken.
    fn is_taken(refusal: &Self::Refusal) -> bool;

    /// The activity that a record has, after a statement that stored it over another; `None` if the
    /// statement changed no row.
    fn activity(outcome: &Self::Outcome) -> Option<i64>;

    /// Stores a new record in one round trip, unless there are as many as `far` already: `None` if
    /// there are.
    fn insert_far(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        key: &SessionKey,
        columns: &Columns,
        far: i64,
    ) -> Attempt<Option<Insert>>;

    /// Removes a record that the owner may end: its user, and whether it was live.
    fn remove(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Vec<Self::Row>>;

    /// Removes a user's records: the keys of those that were live.
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

    /// Gives a user's records to another: how many of them are live.
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

    /// Moves late index entries of up to `limit` records, from a key on: the last key, and whether
    /// there were as many.
    fn reindex(
        sql: &Sql<Self>,
        on: &mut Self::Connection,
        timeouts: &Timeouts,
        from: &SessionKey,
        limit: i64,
    ) -> Attempt<Option<(SessionKey, bool)>>;

    fn clear(sql: &Sql<Self>, on: &mut Self::Connection) -> Attempt<()>;

    /// What an error of the server means.
    fn refused(server: &str, refusal: &Self::Refusal) -> Failure;
}
