//! The percent-encoding of URLs.

use crate::error::{Error, Result};

/// A text with its `%xx` decoded to bytes.
///
/// # Errors
///
/// [`Error::InvalidSetting`] if it has other things behind a `%`, or is not UTF-8 then.
pub(crate) fn decoded(text: &str) -> Result<String> {
    const RULE: &str = "needs two hexadecimal digits after each `%`";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(Error::setting("url", RULE)),
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::setting("url", "is not UTF-8 once its `%xx` are decoded"))
}
