//! Rows as what calls hand out: counts, keys, records.
//!
//! Invariant: a row that is not as its statement asked is an answer that the protocol does not allow.

use crate::engine::network::backend::{Attempt, Shown};
use crate::engine::network::stored::session_key;
use crate::engine::sql::columns::Found;
use crate::engine::sql::mysql::answer::{Outcome, Row};
use crate::engine::sql::mysql::packets::garbled;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;

/// The rows of one of several statements.
pub(super) fn rows_of(outcomes: &[Outcome], at: usize) -> &[Row] {
    outcomes.get(at).map(|outcome| outcome.rows.as_slice()).unwrap_or_default()
}

/// The number in the first column of the first row.
pub(super) fn one_number(rows: &[Row]) -> Attempt<i64> {
    rows.first().and_then(|row| row.number(0)).ok_or_else(garbled)
}

pub(super) fn one_count(rows: &[Row]) -> Attempt<u64> {
    // The number of records is a sum of parts, which a repair by hand may have made wrong.
    one_number(rows).map(|number| u64::try_from(number).unwrap_or(0))
}

pub(super) fn key_of(row: &Row, column: usize) -> Attempt<SessionKey> {
    row.bytes(column).and_then(session_key).ok_or_else(garbled)
}

/// The record in a row, from a column on.
fn record(key: &SessionKey, row: &Row, from: usize) -> Attempt<Result<Record>> {
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

pub(super) fn found(key: &SessionKey, row: Option<&Row>) -> Attempt<Option<Record>> {
    match row {
        None => Ok(None),
        Some(row) => Ok(Some(record(key, row, 0)??)),
    }
}

pub(super) fn shown(row: &Row) -> Attempt<Shown> {
    let key = key_of(row, 0)?;
    Ok((key, record(&key, row, 1)?))
}
