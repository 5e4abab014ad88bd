//! The record of the answers of a damaged file.

use std::fmt::Debug;

use sessile::Error;

/// The result of a damage: counts of clear errors, or a wrong answer.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: u64,
    pub(super) wrong: Option<String>,
}

impl Findings {
    /// Records an answer: right, a clear error, or wrong.
    pub(super) fn note<T: PartialEq + Debug>(
        &mut self,
        question: &str,
        answer: sessile::Result<T>,
        right: &T,
    ) {
        match answer {
            Ok(answer) if answer == *right => {}
            Ok(answer) => self.wrong(format!("{question}: {answer:?} instead of {right:?}")),
            Err(error) => self.error(question, &error),
        }
    }

    pub(super) fn error(&mut self, question: &str, error: &Error) {
        self.errors += 1;
        let clear = matches!(
            error,
            Error::DamagedFile { .. }
                | Error::DamagedRecord { .. }
                | Error::NotASessionStore { .. }
                | Error::UnsupportedFormat { .. }
                | Error::ContentMismatch { .. }
                | Error::Io { .. }
                | Error::OutcomeUnknown { .. }
        );
        if !clear {
            self.wrong(format!("{question}: {error:?} tells nothing of a damage"));
        }
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}
