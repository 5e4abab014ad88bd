//! Values as a statement takes them, in the binary form of their types.

use bytes::BytesMut;
use postgres_protocol::IsNull;

use crate::key::SessionKey;

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const UUID: u32 = 2950;
const UUIDS: u32 = 2951;

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
    Keys(&'a [SessionKey]),
}

impl Value<'_> {
    pub(super) const fn kind(&self) -> u32 {
        match self {
            Self::Bool(_) => BOOL,
            Self::Number(_) | Self::MaybeNumber(_) => INT8,
            Self::Bytes(_) | Self::MaybeBytes(_) => BYTEA,
            Self::Text(_) => TEXT,
            Self::Key(_) => UUID,
            Self::Keys(_) => UUIDS,
        }
    }

    pub(super) fn write(&self, out: &mut BytesMut) -> IsNull {
        match self {
            Self::MaybeNumber(None) | Self::MaybeBytes(None) => return IsNull::Yes,
            Self::Bool(yes) => out.extend_from_slice(&[u8::from(*yes)]),
            Self::Number(number) | Self::MaybeNumber(Some(number)) => {
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Bytes(bytes) | Self::MaybeBytes(Some(bytes)) => out.extend_from_slice(bytes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Key(key) => out.extend_from_slice(key.as_bytes()),
            Self::Keys(keys) => write_keys(keys, out),
        }
        IsNull::No
    }
}

/// An array: dimensions, whether there are nulls, the kind, the length, the first index, elements.
fn write_keys(keys: &[SessionKey], out: &mut BytesMut) {
    let dimensions: i32 = if keys.is_empty() { 0 } else { 1 };
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&UUID.to_be_bytes());
    if !keys.is_empty() {
        out.extend_from_slice(&(keys.len() as u32).to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    for key in keys {
        out.extend_from_slice(&16_i32.to_be_bytes());
        out.extend_from_slice(key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: Value<'_>) -> Vec<u8> {
        let mut out = BytesMut::new();
        assert!(matches!(value.write(&mut out), IsNull::No));
        out.to_vec()
    }

    #[test]
    fn an_array_tells_its_dimension_its_kind_and_its_length() {
        let keys = [SessionKey::from_bytes([7; 16])];
        let head =
            [[0, 0, 0, 1], [0; 4], [0, 0, 11, 134], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 16]];
        assert_eq!(written(Value::Keys(&keys)), [&head.concat()[..], &[7; 16]].concat());
        assert_eq!(written(Value::Keys(&[])), [[0; 4], [0; 4], [0, 0, 11, 134]].concat());
    }

    #[test]
    fn what_is_absent_is_null() {
        let mut out = BytesMut::new();
        for value in [Value::MaybeNumber(None), Value::MaybeBytes(None)] {
            assert!(matches!(value.write(&mut out), IsNull::Yes) && out.is_empty());
        }
        assert_eq!(written(Value::MaybeNumber(Some(258))), [0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
