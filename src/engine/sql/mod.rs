//! The engines on SQL servers. A record is a row: its bytes, and beside them the few columns that
//! statements go by.
//!
//! The dialects share how a record becomes columns, [`columns`], and how statements tell which are live,
//! [`terms`]. They do not share statements: what each does in one round trip differs too much, as in
//! common table expressions that change rows, and in statements that go out many at once.

mod columns;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod rows;
mod statements;
mod terms;
mod value;
