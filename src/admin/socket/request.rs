//! The lines that a client sends: one JSON object per line. docs/internals/admin-protocol.md
//! describes each.
//!
//! Invariant: a line has a bounded length, names sessions by their keys, and contains no session
//! id. A line is read straight into its fields: no general JSON value is built.

use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::admin::archive::format::UserText;
use crate::error::Error;

/// The longest request without a record, in bytes: enough for a user of 255 escaped bytes.
const MAX_PLAIN_REQUEST: usize = 8 * 1024;

/// The longest request, in bytes, to a store whose contents have at most `max_content_len` bytes: a
/// record in base64.
pub(super) const fn max_request(max_content_len: usize) -> usize {
    MAX_PLAIN_REQUEST.saturating_add(max_content_len.div_ceil(3).saturating_mul(4))
}

/// A request of a client.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(super) enum Request {
    /// One record, expired or not.
    Load { key: String },
    /// Every record after a key, in the order of the keys.
    Scan { after: Option<String> },
    /// Every record of a user.
    ScanUser { user: UserText },
    /// Every user with a live session, after the given user.
    ScanUsers { after: Option<UserText> },
    /// The number of live sessions.
    Count {},
    /// Stores a record under a free key.
    Insert { key: String, bytes: String },
    /// Replaces a record of a revision, expired or not.
    Replace { key: String, revision: u64, bytes: String },
    /// Moves a session's last activity forward to a time in milliseconds since 1970, and sends its
    /// record.
    Extend { key: String, at: u64 },
    /// Ends a session.
    Remove { key: String },
    /// Ends every session of a user.
    RemoveUser { user: UserText },
    /// Ends every other session of the user whose session this is.
    RemoveOthers { keep: String },
    /// Ends every session.
    Clear {},
    /// One step of a sweep.
    Sweep {},
    /// Every record, and every problem that a check finds.
    Check {},
    /// A value about the store as a whole.
    Meta { name: String },
    /// The program's time.
    Time {},
    /// The store's statistics.
    Stats {},
    /// Flushes every acknowledged change.
    Flush {},
    /// Events from now on, until the client disconnects.
    Watch {},
}

impl Request {
    /// The failure of a request that was sent and has no answer: the program may have made the
    /// change all the same.
    pub(super) fn unanswered(&self, failure: Error) -> Error {
        match (self, failure) {
            (
                Self::Insert { .. }
                | Self::Replace { .. }
                | Self::Extend { .. }
                | Self::Remove { .. }
                | Self::RemoveUser { .. }
                | Self::RemoveOthers { .. }
                | Self::Clear {}
                | Self::Sweep {},
                lost @ Error::Io { .. },
            ) => Error::OutcomeUnknown { source: Arc::new(lost) },
            (_, failure) => failure,
        }
    }

    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        // Serde would take a list for the fields in their order.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("a request is a JSON object".into());
        }
        let mut fields: Fields = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let request = fields.take_request()?;
        match fields.first_left() {
            None => Ok(request),
            Some(name) => Err(format!("unknown field `{name}` of this call")),
        }
    }
}

/// The names of the calls.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Load,
    Scan,
    ScanUser,
    ScanUsers,
    Count,
    Insert,
    Replace,
    Extend,
    Remove,
    RemoveUser,
    RemoveOthers,
    Clear,
    Sweep,
    Check,
    Meta,
    Time,
    Stats,
    Flush,
    Watch,
}

/// The fields of all calls. A tagged or untagged enum would make serde keep the whole line in a
/// general form first, at 32 bytes for each element of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    call: Call,
    #[serde(default, deserialize_with = "present")]
    key: Option<String>,
    #[serde(default, deserialize_with = "present")]
    after: Option<After>,
    #[serde(default, deserialize_with = "present")]
    user: Option<UserText>,
    #[serde(default, deserialize_with = "present")]
    bytes: Option<String>,
    #[serde(default, deserialize_with = "present")]
    revision: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    at: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    keep: Option<String>,
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
}

/// A field that is null counts as present, with a wrong value.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Fields {
    fn take_request(&mut self) -> Result<Request, String> {
        Ok(match self.call {
            Call::Load => Request::Load { key: self.key()? },
            Call::Scan => Request::Scan {
                after: match self.after.take() {
                    None | Some(After::Nothing) => None,
                    Some(After::Key(key)) => Some(key),
                    Some(After::User(_)) => return Err("`after` is no key".into()),
                },
            },
            Call::ScanUser => Request::ScanUser { user: self.user()? },
            Call::ScanUsers => Request::ScanUsers {
                after: match self.after.take() {
                    None | Some(After::Nothing) => None,
                    Some(After::User(user)) => Some(user),
                    Some(After::Key(_)) => return Err("`after` is no user".into()),
                },
            },
            Call::Count => Request::Count {},
            Call::Insert => Request::Insert { key: self.key()?, bytes: self.bytes()? },
            Call::Replace => Request::Replace {
                key: self.key()?,
                revision: needed(&mut self.revision, "revision")?,
                bytes: self.bytes()?,
            },
            Call::Extend => Request::Extend { key: self.key()?, at: needed(&mut self.at, "at")? },
            Call::Remove => Request::Remove { key: self.key()? },
            Call::RemoveUser => Request::RemoveUser { user: self.user()? },
            Call::RemoveOthers => Request::RemoveOthers { keep: needed(&mut self.keep, "keep")? },
            Call::Clear => Request::Clear {},
            Call::Sweep => Request::Sweep {},
            Call::Check => Request::Check {},
            Call::Meta => Request::Meta { name: needed(&mut self.name, "name")? },
            Call::Time => Request::Time {},
            Call::Stats => Request::Stats {},
            Call::Flush => Request::Flush {},
            Call::Watch => Request::Watch {},
        })
    }

    fn key(&mut self) -> Result<String, String> {
        needed(&mut self.key, "key")
    }

    fn user(&mut self) -> Result<UserText, String> {
        needed(&mut self.user, "user")
    }

    fn bytes(&mut self) -> Result<String, String> {
        needed(&mut self.bytes, "bytes")
    }

    /// The first field that the request did not need.
    fn first_left(&self) -> Option<&'static str> {
        let Self { call: _, key, after, user, bytes, revision, at, keep, name } = self;
        let left = [
            ("key", key.is_some()),
            ("after", after.is_some()),
            ("user", user.is_some()),
            ("bytes", bytes.is_some()),
            ("revision", revision.is_some()),
            ("at", at.is_some()),
            ("keep", keep.is_some()),
            ("name", name.is_some()),
        ];
        left.iter().find(|(_, is_left)| *is_left).map(|(name, _)| *name)
    }
}

fn needed<T>(field: &mut Option<T>, name: &str) -> Result<T, String> {
    field.take().ok_or_else(|| format!("missing field `{name}`"))
}

/// Where a listing goes on: after a key, after a user, or at its beginning.
enum After {
    Nothing,
    Key(String),
    User(UserText),
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AfterVisitor)
    }
}

struct AfterVisitor;

impl<'de> Visitor<'de> for AfterVisitor {
    type Value = After;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key, a user, or null")
    }

    fn visit_unit<E>(self) -> Result<After, E> {
        Ok(After::Nothing)
    }

    fn visit_str<E>(self, key: &str) -> Result<After, E> {
        Ok(After::Key(key.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<After, A::Error> {
        UserText::deserialize(MapAccessDeserializer::new(map)).map(After::User)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_of_those_in_the_page_and_nothing_else() {
        let key = "00".repeat(16);
        let parsed = |text: &str| Request::parse(text.as_bytes());
        assert_eq!(
            parsed(&format!(r#"{{"call":"remove","key":"{key}"}}"#)),
            Ok(Request::Remove { key })
        );
        assert_eq!(parsed(r#"{"call":"count"}"#), Ok(Request::Count {}));
        assert_eq!(parsed(r#"{"call":"scan","after":null}"#), Ok(Request::Scan { after: None }));
        let user = UserText::of(&42.into());
        assert_eq!(
            parsed(r#"{"after":{"number":"42"},"call":"scan_users"}"#),
            Ok(Request::ScanUsers { after: Some(user) })
        );
        assert_eq!(parsed(r#"{"call":"scan_users"}"#), Ok(Request::ScanUsers { after: None }));
        for (refused, reason) in [
            ("", "a request is a JSON object"),
            (r#"["count"]"#, "a request is a JSON object"),
            ("{}", "missing field `call`"),
            (r#"{"call":"format"}"#, "unknown variant `format`"),
            (r#"{"call":"count","also":1}"#, "unknown field `also`"),
            (r#"{"call":"count","also":[1,"#, "unknown field `also`"),
            (r#"{"call":"count","after":null}"#, "unknown field `after` of this call"),
            (r#"{"call":"remove"}"#, "missing field `key`"),
            (r#"{"call":"remove","key":null}"#, "invalid type: null"),
            (r#"{"call":"remove","key":[1,"#, "invalid type: sequence"),
            (r#"{"call":"scan","after":[1,"#, "expected a key, a user, or null"),
            (r#"{"call":"scan","after":{"text":"ann"}}"#, "`after` is no key"),
            (r#"{"call":"scan_users","after":"ann"}"#, "`after` is no user"),
            (r#"{"call":"scan_users","after":{"text":"ann","number":"1"}}"#, "comma"),
            (r#"{"call":"remove_user","user":{"text":[1,"#, "invalid type: sequence"),
            (r#"{"call":"remove_user","user":{"name":"ann"}}"#, "unknown variant `name`"),
        ] {
            let found = parsed(refused).unwrap_err();
            assert!(found.contains(reason), "{refused}: {found}");
        }
    }
}
