//! Errors in plain words, with the kind of action for each, and times as people say them.
//!
//! Invariant: every error of the store has a sentence here, and keeps its own text for support.

use std::io;
use std::time::SystemTime;

use sessile::Error;

/// The kind of action that a failure allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another window has the file: wait, or leave.
    Held,
    /// The file is damaged: rescue its intact sessions.
    Damaged,
    /// The file is damaged, and only older states of its sessions can be rescued.
    OlderStates,
    /// The disk is full: make room, and try again.
    Full,
    /// The session was ended elsewhere, or has expired: log in.
    Gone,
    /// The session is damaged, and everything else goes on: log in again, or close the window.
    Unreadable,
    /// The job is refused, and everything else goes on.
    Refused,
    /// Anything else: try again, by opening the file again.
    Other,
}

/// A failure, as the window shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of action.
    pub kind: Kind,
    /// The sentence for the user.
    pub sentence: String,
    /// The error's own text and its causes, for support.
    pub detail: String,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let (kind, sentence) = match &error {
            Error::AlreadyOpen { .. } => {
                (Kind::Held, "Your notes are open in another window of this program.")
            }
            Error::DamagedFile { .. } => {
                (Kind::Damaged, "The file with your notes is damaged. It was left as it is.")
            }
            Error::NotASessionStore { .. } => (
                Kind::Damaged,
                "The file with your notes is not what this program wrote, or its beginning is \
                 damaged. It was left as it is.",
            ),
            Error::StorageFull { .. } => (
                Kind::Full,
                "Nothing more can be saved. What was saved before is safe: make some room, then try \
                 again.",
            ),
            Error::DamagedRecord { .. } => (
                Kind::Unreadable,
                "The notes of this login are damaged. They were left as they are.",
            ),
            Error::Gone { .. } => (Kind::Gone, "You were logged out elsewhere. Log in again."),
            Error::TooLarge { .. } => {
                (Kind::Refused, "These are more notes than fit. This one was not saved.")
            }
            Error::UnsupportedFormat { .. } => (
                Kind::Other,
                "A newer release of this program wrote the file. Update this one; nothing was \
                 changed.",
            ),
            Error::ContentMismatch { .. } => (
                Kind::Other,
                "The file is another program's, or a newer release's. Nothing was changed.",
            ),
            Error::NotARegularFile { .. } | Error::LocksUnsupported { .. } => {
                (Kind::Other, "Your notes cannot be kept in this place.")
            }
            Error::FileReplaced { .. } => (
                Kind::Other,
                "Something moved or replaced the file with your notes while it was open.",
            ),
            Error::OutcomeUnknown { .. } => (
                Kind::Other,
                "The disk failed in the middle. Open the notes again to see whether the last \
                 change is there.",
            ),
            _ => (Kind::Other, "Your notes cannot be used at the moment."),
        };
        let with = |detail, cause| format!("{detail}: {cause}");
        let detail = error.causes().fold(error.to_string(), with);
        Self { kind, sentence: sentence.into(), detail }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let is_full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let (kind, sentence) = match is_full {
            true => (Kind::Full, "Nothing more can be saved. Make some room, then try again."),
            false => (Kind::Other, "A file of this program cannot be used at the moment."),
        };
        Self { kind, sentence: sentence.into(), detail: error.to_string() }
    }
}

/// How long ago something was.
#[must_use]
pub fn ago(then: SystemTime, now: SystemTime) -> String {
    // After a clock is set back, a time in the future counts as now.
    let seconds = now.duration_since(then).map_or(0, |passed| passed.as_secs());
    let (count, unit) = match seconds {
        0..60 => return "just now".into(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", counted(count, unit))
}

/// "1 login", "2 logins".
#[must_use]
pub fn counted(count: u64, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_disk_is_known_in_the_store_and_beside_it() {
        let source = std::sync::Arc::new(io::Error::from(io::ErrorKind::StorageFull));
        let error = Error::StorageFull { path: "/data/sessions.redb".into(), source };
        let trouble = Trouble::from(error);
        assert_eq!(trouble.kind, Kind::Full);
        assert!(trouble.detail.contains("/data/sessions.redb"), "{}", trouble.detail);
        assert_eq!(Trouble::from(io::Error::from(io::ErrorKind::StorageFull)).kind, Kind::Full);
    }

    #[test]
    fn the_causes_of_an_error_are_told_once_each() {
        let path = "sessions.redb".into();
        let source = std::sync::Arc::new(io::Error::other("page 7"));
        let trouble = Trouble::from(Error::DamagedFile { path, source });
        assert_eq!(trouble.kind, Kind::Damaged);
        assert_eq!(trouble.detail.matches("page 7").count(), 1, "{}", trouble.detail);
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        let then = SystemTime::UNIX_EPOCH;
        let after = |seconds| ago(then, then + Duration::from_secs(seconds));
        assert_eq!(after(59), "just now");
        assert_eq!(after(60), "1 minute ago");
        assert_eq!(after(7_200), "2 hours ago");
        assert_eq!(after(86_400 * 40), "40 days ago");
        assert_eq!(ago(then + Duration::from_secs(5), then), "just now");
    }
}
