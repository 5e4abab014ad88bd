//! A failure as the tool prints it: one line with the error, then its causes and a hint.

use std::io;

use sessile::Error;

use crate::output::{complain, plain};

/// The verb failed, wholly or in part.
pub(crate) const FAILED: u8 = 2;
/// The exit code that shells give a program that Ctrl-C ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// What helps after an import that has left a part in the store.
pub(crate) const REPEAT: &str = "what was imported stays; repeat the import with an archive that no \
                                 program writes to: sessions that are there are only counted, and \
                                 those that have ended there meanwhile come back";

#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    because: Vec<String>,
    hint: Option<String>,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), because: vec![], hint: None, code: FAILED }
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.because.push(cause.into());
        self
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What could not be done with a file, because of what the system says.
    pub(crate) fn of_file(what: impl Into<String>, error: &io::Error) -> Self {
        let failure = Self::new(what).because(error.to_string());
        Self { hint: hint_by(error.kind()).map(Into::into), ..failure }
    }

    /// The failure of a verb that makes one change after the other. The error tells of the last one
    /// alone, for example that nothing was changed; `stays` tells of those before.
    pub(crate) fn in_between(error: Error, stays: &str) -> Self {
        let of_one_change = matches!(
            error,
            Error::Unavailable { .. }
                | Error::OutcomeUnknown { .. }
                | Error::StorageFull { .. }
                | Error::Io { .. }
                | Error::CalledOff { .. }
        );
        let failure = Self::from(error);
        match (of_one_change, &failure.hint) {
            (false, _) => failure,
            (true, None) => failure.hint(stays),
            (true, Some(hint)) => {
                let hint = format!("{hint}; {stays}");
                failure.hint(hint)
            }
        }
    }

    pub(crate) fn interrupted() -> Self {
        Self { code: INTERRUPTED, ..Self::new("interrupted") }
    }

    pub(crate) fn report(&self) {
        // Paths and the messages of servers may hold control characters.
        complain(format!("sessile: {}", plain(&self.what)));
        for cause in &self.because {
            complain(format!("  because {}", plain(cause)));
        }
        if let Some(hint) = &self.hint {
            complain(format!("  hint: {}", plain(hint)));
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error, Error::CalledOff { .. }) {
            return Self::interrupted();
        }
        let mut failure = Self::new(error.to_string());
        failure.because.extend(error.causes().map(ToString::to_string));
        match hint_for(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of_file("could not write the output", &error)
    }
}

fn hint_for(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NotASessionStore { .. } => {
            "if it was a session store, `sessile salvage` copies what is readable to a new file"
        }
        Error::DamagedFile { .. } => "`sessile salvage` copies what is readable to a new file",
        Error::InvalidArchive { .. } => "nothing was changed",
        Error::ArchiveChanged { .. } => REPEAT,
        Error::Io { action: "open", .. } if io_kind(error) == Some(io::ErrorKind::NotFound) => {
            "the tool opens only existing stores: check the path"
        }
        _ => return io_kind(error).and_then(hint_by),
    })
}

/// What kind of failure the operating system reported, if it was the one that failed.
pub(crate) fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    let (Error::Io { source, .. } | Error::StorageFull { source, .. }) = error else { return None };
    source.downcast_ref::<io::Error>().map(io::Error::kind)
}

fn hint_by(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::NotFound => "check the path: the file or its folder is missing",
        io::ErrorKind::PermissionDenied => "run the tool as the user whose files these are",
        io::ErrorKind::ReadOnlyFilesystem => "the tool needs a disk that can be written",
        io::ErrorKind::AlreadyExists => {
            "an existing file is not written over: name another file, or move that one away"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room on the disk, or raise the limit on it"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_hint_goes_by_the_kind_of_the_failure_and_not_by_its_words() {
        let hint = |action, kind| {
            // Words that name another kind.
            let source = Arc::new(io::Error::new(kind, "it exists"));
            let failure = Failure::from(Error::Io { action, path: "sessions.redb".into(), source });
            failure.hint.unwrap_or_default()
        };
        assert!(hint("open", io::ErrorKind::NotFound).contains("only existing stores"));
        assert!(hint("create", io::ErrorKind::NotFound).contains("its folder is missing"));
        for action in ["open", "create", "look at"] {
            assert!(hint(action, io::ErrorKind::PermissionDenied).contains("as the user"));
            assert!(hint(action, io::ErrorKind::AlreadyExists).contains("not written over"));
            assert_eq!(hint(action, io::ErrorKind::TimedOut), "");
        }
        let source = Arc::new(io::Error::from(io::ErrorKind::QuotaExceeded));
        let full = Failure::from(Error::StorageFull { path: "sessions.redb".into(), source });
        assert!(full.hint.is_some_and(|hint| hint.contains("make room")));
        let written = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(written.hint.is_some_and(|hint| hint.contains("make room")));
    }

    #[test]
    fn a_failure_between_many_changes_does_not_hide_those_before() {
        let lost = Error::OutcomeUnknown { source: Arc::new(std::fmt::Error) };
        assert_eq!(Failure::in_between(lost, "it stays").hint.as_deref(), Some("it stays"));
        let called_off = Failure::in_between(Error::CalledOff { action: "copy" }, "it stays");
        assert_eq!((called_off.hint.as_deref(), called_off.code), (Some("it stays"), INTERRUPTED));
        let before = Error::ContentMismatch { detail: "another".into(), source: None };
        assert_eq!(Failure::in_between(before, "it stays").hint, None);
    }

    #[test]
    fn a_server_that_is_full_gets_no_hint_about_a_disk() {
        let source = Arc::new(std::fmt::Error);
        let full = Failure::from(Error::StorageFull { path: "redis".into(), source });
        assert_eq!(full.hint, None);
    }
}
