//! The engines on SQL servers. A record is a row: its bytes, and beside them the few columns that
//! statements go by.
//!
//! The dialects share how a record becomes columns, [`columns`], and how statements tell which are live,
//! [`terms`]. They do not share statements: what each does in one round trip differs too much, as in
//! common table expressions that change rows.

mod columns;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod terms;
