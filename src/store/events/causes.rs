//! Shows an error with its causes on one line of a log, whatever characters they have.
//!
//! Invariant: each text is an error's own `Display`, so it holds what that error holds and no more.

use std::fmt;
use std::fmt::Write;

use serde::{Serialize, Serializer};

use crate::error::Error;

/// An error, then each cause after a colon. Line breaks and other control characters are escaped.
pub(crate) struct WithCauses<'a>(pub(crate) &'a Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Escaping(formatter);
        write!(line, "{}", self.0)?;
        self.0.causes().try_for_each(|cause| write!(line, ": {cause}"))
    }
}

/// Serializes an error as one text, with its causes.
pub(crate) fn serialize<S: Serializer>(error: &Error, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&WithCauses(error))
}

/// As `serialize`, for an error that may be missing.
pub(crate) fn serialize_optional<S: Serializer>(
    error: &Option<Error>,
    to: S,
) -> Result<S::Ok, S::Error> {
    error.as_ref().map(|error| WithCauses(error).to_string()).serialize(to)
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter.is_control() {
                true => write!(self.0, "{}", letter.escape_default())?,
                false => self.0.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("refused\r\nby {by}")]
    struct Refused {
        by: &'static str,
        source: io::Error,
    }

    #[test]
    fn an_error_is_shown_with_every_cause_on_one_line() {
        let source = io::Error::other("login \u{1b}[0mfailed");
        let source = Arc::new(Refused { by: "it", source });
        let error = Error::Unavailable { server: "db\n5432".into(), source };
        let line = WithCauses(&error).to_string();
        assert_eq!(
            line,
            "db\\n5432 cannot be used; nothing was changed: \
             refused\\r\\nby it: login \\u{1b}[0mfailed"
        );
        assert_eq!(WithCauses(&Error::Closed).to_string(), Error::Closed.to_string());
    }
}
