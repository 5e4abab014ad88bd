//! Values for statements, of the types that records use.
//!
//! Invariant: only a dialect decides how a value is sent. This file knows no server.

use crate::engine::network::stored::columns::MomentColumns;
use crate::key::SessionKey;
use crate::time::moment::Moment;

/// A value for a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Number(i64),
    MaybeNumber(Option<i64>),
    Bytes(&'a [u8]),
    MaybeBytes(Option<&'a [u8]>),
    Text(&'a str),
    Key(&'a SessionKey),
    /// A list of keys; not empty for a dialect without empty lists.
    Keys(&'a [SessionKey]),
}

impl Value<'static> {
    /// Now, and the two timeouts.
    pub(super) fn of(moment: Moment) -> [Self; 3] {
        let columns = MomentColumns::of(moment);
        [columns.now, columns.inactivity, columns.absolute].map(Value::Number)
    }
}
