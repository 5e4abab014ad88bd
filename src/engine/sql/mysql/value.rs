//! Values as text in a statement.
//!
//! Invariant: a value is written only in digits, so that no value is ever read as SQL, whatever
//! character set and SQL mode the server uses.

use std::fmt::Write as _;

use crate::engine::sql::value::Value;

fn write_value(value: &Value<'_>, out: &mut String) {
    match value {
        Value::MaybeNumber(None) | Value::MaybeBytes(None) => out.push_str("null"),
        Value::Bool(yes) => out.push(if *yes { '1' } else { '0' }),
        // Writing to a `String` cannot fail.
        Value::Number(number) | Value::MaybeNumber(Some(number)) => drop(write!(out, "{number}")),
        Value::Bytes(bytes) | Value::MaybeBytes(Some(bytes)) => write_bytes(bytes, out),
        Value::Text(text) => write_bytes(text.as_bytes(), out),
        Value::Key(key) => write_bytes(key.as_bytes(), out),
        // Not empty, as SQL requires.
        Value::Keys(keys) => {
            for (at, key) in keys.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_bytes(key.as_bytes(), out);
            }
        }
    }
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push_str("x'");
    out.reserve(bytes.len() * 2 + 1);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
        }
    }
    out.push('\'');
}

/// A statement with its values in the places of `$1`, `$2` and so on. A placeholder without a value
/// stays, and every server refuses it.
pub(super) fn write_statement(text: &str, values: &[Value<'_>], out: &mut String) {
    let mut parts = text.split('$');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        let number = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match number.and_then(|at| values.get(at)) {
            Some(value) => write_value(value, out),
            None => out.push('$'),
        }
        out.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SessionKey;

    #[test]
    fn values_stand_in_their_places_and_are_digits_alone() {
        let key = SessionKey::from_bytes([0xab; 16]);
        let values = [
            Value::Number(-7),
            Value::Bytes(b"' or 1 -- $1"),
            Value::MaybeNumber(None),
            Value::MaybeBytes(None),
            Value::Key(&key),
            Value::Bool(true),
            Value::Keys(&[key, key]),
            Value::MaybeNumber(Some(i64::MIN)),
            Value::MaybeBytes(Some(&[])),
            Value::Number(10),
            Value::Text("a'"),
        ];
        let mut out = String::new();
        write_statement("a $1 $2, $3;$4($5)$6 in ($7) $8=$9 $10 $1 $11", &values, &mut out);
        let keys = "abababababababababababababababab";
        let expected = format!(
            "a -7 x'27206f722031202d2d202431', null;null(x'{keys}')1 in (x'{keys}',x'{keys}') \
             -9223372036854775808=x'' 10 -7 x'6127'"
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn a_place_without_a_value_is_seen_by_the_server() {
        let mut out = String::new();
        write_statement("select $1, $2", &[Value::Number(1)], &mut out);
        assert_eq!(out, "select 1, $");
    }
}
