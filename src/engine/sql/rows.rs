//! Rows, and what calls hand out of them: counts, keys, records.
//!
//! Invariant: a row that is not as its statement asked is an answer that the protocol does not
//! allow. How a server writes a row is not known here.

use std::fmt;

use crate::engine::network::backend::{Attempt, Shown};
use crate::engine::network::failure::Failure;
use crate::engine::network::stored::columns::Found;
use crate::engine::network::stored::session_key;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;

/// One row. A column that is null, or of another kind, is `None`.
pub(super) trait Row: fmt::Debug {
    fn bytes(&self, column: usize) -> Option<&[u8]>;

    fn number(&self, column: usize) -> Option<i64>;

    fn bool(&self, column: usize) -> Option<bool>;
}

/// What one statement came to.
pub(super) trait Outcome: fmt::Debug {
    type Row: Row;

    fn rows(&self) -> &[Self::Row];

    fn into_rows(self) -> Vec<Self::Row>;
}

/// The rows of one of several statements.
pub(super) fn rows_of<O: Outcome>(outcomes: &[O], at: usize) -> &[O::Row] {
    outcomes.get(at).map(Outcome::rows).unwrap_or_default()
}

/// An answer that is none, or in no place for it.
pub(super) fn garbled() -> Failure {
    Failure::lost("the server's answer is not what the protocol allows")
}

/// The number in the first column of the first row.
pub(super) fn one_number(rows: &[impl Row]) -> Attempt<i64> {
    rows.first().and_then(|row| row.number(0)).ok_or_else(garbled)
}

pub(super) fn one_count(rows: &[impl Row]) -> Attempt<u64> {
    // The number of records is a sum of parts, which a repair by hand may have made wrong.
    one_number(rows).map(|number| u64::try_from(number).unwrap_or(0))
}

pub(super) fn key_of(row: &impl Row, column: usize) -> Attempt<SessionKey> {
    row.bytes(column).and_then(session_key).ok_or_else(garbled)
}

/// The record in a row, from a column on.
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

/// Whether others may come after a page of records, which its statement has ended after so many
/// rows, or bytes.
pub(super) fn more_after(page: &[impl Row], limit: i64) -> Attempt<bool> {
    // Behind the record stands how many rows there would be, if they were short.
    let Some(first) = page.first() else { return Ok(false) };
    let looked_at = first.number(6).ok_or_else(garbled)?;
    Ok(page.len() as i64 != looked_at || looked_at >= limit)
}
