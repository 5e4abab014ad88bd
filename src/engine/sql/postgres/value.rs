//! Values of a statement, in the binary form of their types.

use bytes::BytesMut;
use postgres_protocol::IsNull;

use crate::engine::sql::value::Value;
use crate::key::SessionKey;

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const UUID: u32 = 2950;
const UUIDS: u32 = 2951;

/// The type number of a value on the server.
pub(super) const fn kind(value: &Value<'_>) -> u32 {
    match value {
        Value::Bool(_) => BOOL,
        Value::Number(_) | Value::MaybeNumber(_) => INT8,
        Value::Bytes(_) | Value::MaybeBytes(_) => BYTEA,
        Value::Text(_) => TEXT,
        Value::Key(_) => UUID,
        Value::Keys(_) => UUIDS,
    }
}

pub(super) fn write_value(value: &Value<'_>, out: &mut BytesMut) -> IsNull {
    match value {
        Value::MaybeNumber(None) | Value::MaybeBytes(None) => return IsNull::Yes,
        Value::Bool(yes) => out.extend_from_slice(&[u8::from(*yes)]),
        Value::Number(number) | Value::MaybeNumber(Some(number)) => {
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Bytes(bytes) | Value::MaybeBytes(Some(bytes)) => out.extend_from_slice(bytes),
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Key(key) => out.extend_from_slice(key.as_bytes()),
        Value::Keys(keys) => write_keys(keys, out),
    }
    IsNull::No
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
        assert!(matches!(write_value(&value, &mut out), IsNull::No));
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
            assert!(matches!(write_value(&value, &mut out), IsNull::Yes) && out.is_empty());
        }
        assert_eq!(written(Value::MaybeNumber(Some(258))), [0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
