//! `Cookie` headers as bytes: the values of a name, and the id in a value.
//!
//! This file compares names exactly as browsers do: a name that a browser treats as different is
//! different here. So nothing is decoded, case counts, and only a browser's white space is trimmed:
//! space and tab (RFC 6265bis, 5.6).

use crate::session::id::SessionId;

/// The values of the pairs with exactly this name, in order. A pair ends at a semicolon, even
/// inside quotes; a comma does not end a pair.
pub(super) fn values<'h>(header: &'h [u8], name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    header
        .split(|&byte| byte == b';')
        .filter_map(move |pair| trimmed(pair).strip_prefix(name)?.strip_prefix(b"=").map(trimmed))
}

/// The id in a value, bare or in one pair of quotes (RFC 6265bis, 4.1.1).
pub(super) fn id(value: &[u8]) -> Option<SessionId> {
    let text = match value {
        [b'"', quoted @ .., b'"'] => quoted,
        bare => bare,
    };
    if text.len() != SessionId::ENCODED_LEN {
        return None;
    }
    SessionId::parse(str::from_utf8(text).ok()?).ok()
}

/// The bytes without leading and trailing spaces and tabs.
const fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
