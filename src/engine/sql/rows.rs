//! Rows, and the values that calls read from them: counts, keys, records.
//!
//! Invariant: a row that does not fit its statement is an answer that breaks the protocol. This
//! file does not know how a server encodes a row.

use std::fmt;

use crate::engine::network::backend::{Attempt, Shown};
use crate::engine::network::failure::Failure;
use crate::engine::network::stored::columns::Found;
use crate::engine::network::stored::session_key;
use crate::engine::outcome::Ended;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;

/// One row. A column that is null, or of another kind, is `None`.
pub(super) trait Row: fmt::Debug {
    fn bytes(&self, column: usize) -> Option<&[u8]>;

    fn number(&self, column: usize) -> Option<i64>;

    fn bool(&self, column: usize) -> Option<bool>;
}

/// The outcome of one statement.
pub(super) trait Outcome: fmt::Debug {
    type Row: Row;

    fn rows(&self) -> &[Self::Row];

    fn into_rows(self) -> Vec<Self::Row>;
}

/// The rows of one of several statements.
pub(super) fn rows_of<O: Outcome>(outcomes: &[O], at: usize) -> &[O::Row] {
    outcomes.get(at).map(Outcome::rows).unwrap_or_default()
}

/// The value of a name, if the name is there.
pub(super) fn named_value(rows: &[impl Row]) -> Option<Vec<u8>> {
    rows.first().and_then(|row| row.bytes(0)).map(<[u8]>::to_vec)
}

/// Takes the rows of one of several statements.
pub(super) fn into_rows_of<O: Outcome>(outcomes: Vec<O>, at: usize) -> Vec<O::Row> {
    outcomes.into_iter().nth(at).map(Outcome::into_rows).unwrap_or_default()
}

/// The failure for an answer that does not fit, or comes in the wrong place.
pub(super) fn garbled() -> Failure {
    Failure::lost("the server's answer is not what the protocol allows")
}

/// The number in the first column of the first row.
pub(super) fn one_number(rows: &[impl Row]) -> Attempt<i64> {
    rows.first().and_then(|row| row.number(0)).ok_or_else(garbled)
}

pub(super) fn one_count(rows: &[impl Row]) -> Attempt<u64> {
    // The number of records is a sum of several rows, which a manual repair may have made negative.
    one_number(rows).map(|number| u64::try_from(number).unwrap_or(0))
}

/// The number of records that the counts add up to. Without rows they add up to nothing.
pub(super) fn number_stored(outcome: Option<&impl Outcome>) -> Attempt<u64> {
    let row = outcome.and_then(|outcome| outcome.rows().first()).ok_or_else(garbled)?;
    // A manual repair may have made the number negative.
    row.number(0).map(|stored| u64::try_from(stored).unwrap_or(0)).ok_or_else(not_counted)
}

/// The failure for counts without rows.
pub(super) fn not_counted() -> Failure {
    Failure::not_done(
        "somebody removed the rows of the table that counts the sessions; \
         open the store again, which counts them",
    )
}

pub(super) fn key_of(row: &impl Row, column: usize) -> Attempt<SessionKey> {
    row.bytes(column).and_then(session_key).ok_or_else(garbled)
}

/// The record in a row, beginning at a column.
fn record(key: &SessionKey, row: &impl Row, from: usize) -> Attempt<Result<Record>> {
    let number = |at: usize| row.number(from + at).ok_or_else(garbled);
    let found = Found {
        revision: number(0)?,
        last_active: number(1)?,
        index_deadline: number(2)?,
        user: row.bytes(from + 3),
        bytes: row.bytes(from + 4).ok_or_else(garbled)?,
    };
    Ok(found.decode(key))
}

pub(super) fn found(key: &SessionKey, row: Option<&impl Row>) -> Attempt<Option<Record>> {
    match row {
        None => Ok(None),
        Some(row) => Ok(Some(record(key, row, 0)??)),
    }
}

pub(super) fn shown(row: &impl Row) -> Attempt<Shown> {
    let key = key_of(row, 0)?;
    Ok((key, record(&key, row, 1)?))
}

/// The session of a removed record, from a column with its key and one that says whether it was
/// live.
pub(super) fn ended(row: &impl Row, from: usize, user: Option<UserKey>) -> Attempt<Ended> {
    let is_live = row.bool(from + 1).ok_or_else(garbled)?;
    Ok(Ended { key: key_of(row, from)?, user, expired: !is_live })
}

/// Whether more records may follow a page, which ends at its limit of rows or of bytes.
pub(super) fn more_after(page: &[impl Row], limit: i64) -> Attempt<bool> {
    // Column 6 is the number of rows that the page would have without its limit of bytes.
    let Some(first) = page.first() else { return Ok(false) };
    let looked_at = first.number(6).ok_or_else(garbled)?;
    Ok(page.len() as i64 != looked_at || looked_at >= limit)
}
