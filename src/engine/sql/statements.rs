//! What the statements of all dialects have in common: the rows of the counts, and the tables' names.
//!
//! Invariant: all hosts on a store agree on these, whatever their version. It knows no dialect.

/// Over how many rows the number of records is spread, so that those who insert do not wait for one
/// another.
pub(super) const SHARDS: u8 = 64;

/// The row that is locked by whoever comes near to the most sessions there may be.
pub(super) const LIMIT_LOCK: i64 = -1;

/// How near that is: more than there are inserts under way at once.
pub(super) const NEAR: u64 = 1_000;

/// What takes the tables away. `{}` is the store's name.
pub(super) const DROPPING: &str = "drop table if exists {}_sessions, {}_users, {}_counts, {}_meta";
