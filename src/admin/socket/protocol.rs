//! The lines that a program sends: one JSON object per line. docs/internals/admin-protocol.md
//! describes each.
//!
//! Invariant: a line has a bounded length, names sessions by their keys, and contains no session
//! id.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::admin::archive::format::UserText;
use crate::engine::outcome::{Ended, EngineStats};
use crate::key::SessionKey;
use crate::record::Record;
use crate::store::events::Event;

/// The version of the protocol.
pub(super) const VERSION: u32 = 1;

/// One line to a client. An answer is any number of lines, then `done` or `error`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The first line of a connection.
    Hello {
        sessile_admin: u32,
        pid: u32,
        /// The longest content that the program stores, in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_content_len: Option<usize>,
        /// The program's own timeouts, in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeouts: Option<String>,
    },
    /// A record in base64, in the format of docs/internals/format.md.
    Record {
        key: String,
        bytes: String,
    },
    /// A record that fails its checksum or cannot be parsed.
    Damaged {
        key: String,
    },
    User {
        user: UserText,
        sessions: u64,
    },
    Problem {
        key: String,
        text: String,
    },
    /// A session whose record the request removed.
    Ended(EndedText),
    Event(EventText),
    /// The number of events that were lost because the client read too slowly.
    Missed {
        events: u64,
    },
    /// No event within the interval.
    Alive {},
    Done(Answer),
    Error {
        what: String,
        because: Vec<String>,
    },
}

/// The fields of the last line of an answer.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// The number of sessions that the request ended; `None` if the session to start from does not
    /// exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    /// In milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) more: Option<bool>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<serde_json::Value>,
    /// What became of a record that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    /// Of a record that was replaced, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_active: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expiry_entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_entries: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Stored,
    /// There is a record under the key already.
    Occupied,
    /// The record under the key has another revision.
    Conflict,
    /// There is no record under the key.
    Missing,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndedText {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserText>,
    /// Whether the session had expired before the request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    expired: bool,
}

/// An event in a line of `watch`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct EventText {
    /// `created`, `regenerated`, `ended`, `cleared`, or `note`.
    event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key that a regenerated session had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// A description for people.
    text: String,
}

impl Reply {
    pub(super) fn record(key: &SessionKey, record: &Record) -> Self {
        Self::Record { key: key.to_string(), bytes: record_text(key, record) }
    }
}

/// A record in base64.
pub(super) fn record_text(key: &SessionKey, record: &Record) -> String {
    STANDARD.encode(record.encode(key))
}

impl Answer {
    pub(super) fn of(outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..Self::default() }
    }

    pub(super) fn engine_stats(&self) -> EngineStats {
        let number = |name: &str| self.stats.as_ref()?.get(name)?.as_u64();
        let time = |name: &str| number(name).map(Duration::from_millis);
        EngineStats {
            stored: number("stored").unwrap_or(0),
            file_bytes: number("file_bytes"),
            live_bytes: number("live_bytes"),
            log_bytes: number("log_bytes").zip(number("log_used_bytes")),
            format: number("format"),
            pending_touches: number("pending_touches").unwrap_or(0),
            commits: number("commits").unwrap_or(0),
            committed_operations: number("committed_operations").unwrap_or(0),
            checkpoints: number("checkpoints").unwrap_or(0),
            reopenings: number("reopenings").unwrap_or(0),
            clock_jumps: number("clock_jumps").unwrap_or(0),
            oldest_pending_touch: time("oldest_pending_touch_ms"),
            late_touches: number("late_touches").unwrap_or(0),
            touches_late_by: time("touches_late_by_ms").unwrap_or_default(),
            commits_late_by: time("commits_late_by_ms").unwrap_or_default(),
            // The program's store raises the events of its flushes.
            late_flushes: 0,
        }
    }
}

impl EndedText {
    pub(super) fn of(ended: &Ended) -> Self {
        let user = ended.user.as_ref().and_then(|user| user.to_id());
        let user = user.as_ref().map(UserText::of);
        Self { key: ended.key.to_string(), user, expired: ended.expired }
    }

    pub(super) fn to_ended(&self) -> Option<Ended> {
        let user = self.user.as_ref().and_then(|user| user.to_key().ok());
        Some(Ended { key: self.key.parse().ok()?, user, expired: self.expired })
    }
}

impl EventText {
    pub(super) fn of(event: &Event) -> Self {
        let text = event.to_string();
        let (name, key, user) = match event {
            Event::Created { key, user } => ("created", Some(key), user.as_ref()),
            Event::Regenerated { new, user, .. } => ("regenerated", Some(new), user.as_ref()),
            Event::Ended { key, user, .. } => ("ended", Some(key), user.as_ref()),
            Event::Cleared => ("cleared", None, None),
            _ => ("note", None, None),
        };
        Self {
            event: name.into(),
            key: key.map(ToString::to_string),
            old: match event {
                Event::Regenerated { old, .. } => Some(old.to_string()),
                _ => None,
            },
            user: user.map(UserText::of),
            reason: match event {
                Event::Ended { reason, .. } => Some(reason.name().into()),
                _ => None,
            },
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_which_nothing_else_is_said_was_live() {
        let key = "0".repeat(32);
        for (field, expired) in [("", false), (r#","expired":true"#, true)] {
            let line = format!(r#"{{"ended":{{"key":"{key}"{field}}}}}"#);
            let reply: Reply = serde_json::from_str(&line).unwrap();
            assert_eq!(serde_json::to_string(&reply).unwrap(), line);
            let Reply::Ended(text) = reply else { panic!("{reply:?}") };
            assert_eq!(text.to_ended().unwrap().expired, expired);
        }
    }
}
