//! `Cookie` headers as bytes: the values under a name, and the id in a value.
//!
//! What is read here is what a browser has compared: a name that it takes for another one is
//! another one here, too. So nothing is decoded, no case is folded, and the only white space is a
//! browser's: space and tab (RFC 6265bis, 5.6).

use crate::session::id::SessionId;

/// The values of the pairs with this very name, in their order. A pair ends at a semicolon, in
/// quotes as well; a comma ends none.
pub(super) fn values<'h>(header: &'h [u8], name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    header
        .split(|&byte| byte == b';')
        .filter_map(move |pair| trimmed(pair).strip_prefix(name)?.strip_prefix(b"=").map(trimmed))
}

/// The id that is a value, bare or in one pair of quotes (RFC 6265bis, 4.1.1).
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

/// Without the spaces and tabs around it.
const fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
