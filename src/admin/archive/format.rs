//! The lines of an archive, field by field, and their conversion from and to records.
//!
//! Invariant: a record that is exported with its content and imported again is the same record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::engine::contract::Engine;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::content::{HEAD_LEN, MAX_LEN};
use crate::record::{Parts, Record};
use crate::session::csrf::CsrfToken;
use crate::session::user::{UserId, UserKey};
use crate::store::core::meta::{CONTENT_NAME, CREATED_AT, TIMEOUTS, current_name, rule_broken_by};
use crate::time::clock::Timestamp;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// The version of the format that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

/// The first line of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The version of this format.
    pub(super) sessile_archive: u32,
    /// Whether the lines hold contents and CSRF tokens. An archive without them cannot be imported.
    pub(super) with_content: bool,
    /// Times are milliseconds since 1970, UTC; durations are milliseconds.
    pub(super) exported_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inactivity: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) absolute: Option<u64>,
}

/// Any later line.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) enum Line {
    Session(Box<SessionLine>),
    Trailer(Trailer),
}

/// The fields of both kinds of line. An untagged enum would make serde keep the whole line in a
/// general form first, at 32 bytes for each element of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    key: Option<String>,
    user: Option<UserText>,
    created_at: Option<u64>,
    last_active: Option<u64>,
    revision: Option<u64>,
    inactivity: Option<u64>,
    absolute: Option<u64>,
    content_version: Option<u32>,
    content_len: Option<u64>,
    content: Option<String>,
    csrf_token: Option<String>,
    sessions: Option<u64>,
    sha256: Option<String>,
}

impl Fields {
    fn has_none_of_a_session(&self) -> bool {
        let Self { key, user, created_at, last_active, revision, inactivity, .. } = self;
        let Self { absolute, content_version, content_len, content, csrf_token, .. } = self;
        let texts = [key, content, csrf_token];
        let numbers = [created_at, last_active, revision, inactivity, absolute, content_len];
        user.is_none()
            && content_version.is_none()
            && texts.iter().all(|text| text.is_none())
            && numbers.iter().all(|number| number.is_none())
    }
}

impl TryFrom<Fields> for Line {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        fn needed<T>(field: Option<T>, name: &str) -> Result<T, String> {
            field.ok_or_else(|| format!("missing field `{name}`"))
        }
        if fields.sessions.is_none() && fields.sha256.is_none() {
            return Ok(Self::Session(Box::new(SessionLine {
                key: needed(fields.key, "key")?,
                user: fields.user,
                created_at: needed(fields.created_at, "created_at")?,
                last_active: needed(fields.last_active, "last_active")?,
                revision: needed(fields.revision, "revision")?,
                inactivity: fields.inactivity,
                absolute: fields.absolute,
                content_version: needed(fields.content_version, "content_version")?,
                content_len: needed(fields.content_len, "content_len")?,
                content: fields.content,
                csrf_token: fields.csrf_token,
            })));
        }
        if !fields.has_none_of_a_session() {
            return Err("fields of a session and of the trailer in one line".into());
        }
        Ok(Self::Trailer(Trailer {
            sessions: needed(fields.sessions, "sessions")?,
            sha256: needed(fields.sha256, "sha256")?,
        }))
    }
}

/// A session.
#[derive(Debug, Serialize)]
pub(super) struct SessionLine {
    pub(super) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserText>,
    created_at: u64,
    last_active: u64,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    inactivity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absolute: Option<u64>,
    content_version: u32,
    content_len: u64,
    /// The content in base64; the CSRF token likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

/// A user. A number is written as text, so that no reader rounds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::admin) enum UserText {
    Number(String),
    Text(String),
}

/// The last line of an archive.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Trailer {
    pub(super) sessions: u64,
    /// The SHA-256 of every byte before this line, in hexadecimal digits.
    pub(super) sha256: String,
}

impl Header {
    /// Collects an engine's metadata for the header.
    pub(super) fn of(engine: &dyn Engine, with_content: bool, now: Timestamp) -> Result<Self> {
        let timeouts = engine.load_meta(TIMEOUTS)?.and_then(|it| Timeouts::from_bytes(&it));
        let name = engine.load_meta(CONTENT_NAME)?;
        let created_at = engine.load_meta(CREATED_AT)?;
        Ok(Self {
            sessile_archive: VERSION,
            with_content,
            exported_at: now.as_millis(),
            created_at: created_at.and_then(|it| Some(u64::from_le_bytes(it.try_into().ok()?))),
            content_name: name.and_then(|name| current_name(&name)),
            inactivity: timeouts.map(|timeouts| millis(timeouts.inactivity())),
            absolute: timeouts.map(|timeouts| millis(timeouts.absolute())),
        })
    }

    /// Returns the timeouts on record; an error if they are invalid.
    pub(super) fn timeouts(&self) -> Result<Option<Timeouts>, &'static str> {
        let (Some(inactivity), Some(absolute)) = (self.inactivity, self.absolute) else {
            return Ok(None);
        };
        if inactivity == 0 || absolute == 0 {
            return Err("has a timeout of zero");
        }
        let bytes = [inactivity.to_le_bytes(), absolute.to_le_bytes()].concat();
        let timeouts = Timeouts::from_bytes(&bytes).filter(|_| inactivity <= absolute);
        timeouts.map(Some).ok_or("has an inactivity timeout greater than the absolute one")
    }

    /// Returns an error if no store has a name like the archive's.
    pub(super) fn check_name(&self) -> Result<(), String> {
        match self.content_name.as_deref().and_then(rule_broken_by) {
            Some(rule) => Err(format!("has a `content_name` that no store has: it {rule}")),
            None => Ok(()),
        }
    }
}

impl SessionLine {
    pub(super) fn of(key: &SessionKey, record: &Record, with_content: bool) -> Self {
        let own = record.own_timeouts();
        let token = record.csrf_token().filter(|_| with_content);
        Self {
            key: key.to_string(),
            user: record.user_id().as_ref().map(UserText::of),
            created_at: record.created_at().as_millis(),
            last_active: record.last_active().as_millis(),
            revision: record.revision(),
            inactivity: own.inactivity_ms,
            absolute: own.absolute_ms,
            content_version: record.stored_content().version(),
            content_len: record.content().len() as u64,
            content: with_content.then(|| STANDARD.encode(record.content())),
            csrf_token: token.map(|token| STANDARD.encode(token.as_bytes())),
        }
    }

    /// Returns the session as a record, indexed under its deadline by these timeouts, or the rule
    /// that the line breaks.
    pub(super) fn to_record(
        &self,
        timeouts: &Timeouts,
    ) -> Result<(SessionKey, Record), &'static str> {
        let key = self.key.parse().map_err(|_| "names no session key")?;
        let user = self.user.as_ref().map(UserText::to_key).transpose()?;
        let content = self.content.as_ref().ok_or("has no content")?;
        let content = STANDARD.decode(content).map_err(|_| "has content that is no base64")?;
        if content.len() as u64 != self.content_len {
            return Err("has content of another length than it says");
        }
        if content.len() > HEAD_LEN + MAX_LEN {
            return Err("has more content than a session may have");
        }
        if self.revision == 0 {
            return Err("has revision 0, and the first save is revision 1");
        }
        if self.inactivity == Some(0) || self.absolute == Some(0) {
            return Err("has a timeout of zero");
        }
        if self.inactivity.zip(self.absolute).is_some_and(|(own, absolute)| own > absolute) {
            return Err("has an inactivity timeout greater than the absolute one");
        }
        // Every session lasts for a millisecond at least.
        if self.created_at.checked_add(self.absolute.unwrap_or(1)).is_none() {
            return Err("ends past the last moment that can be stored");
        }
        if self.last_active < self.created_at {
            return Err("was active before it was created");
        }
        let token = self.csrf_token.as_ref().map(|token| {
            let bytes = STANDARD.decode(token).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.map(CsrfToken::from_bytes).ok_or("has a CSRF token that is none")
        });
        let token = token.transpose()?;
        let parts = Parts {
            user: user.as_ref(),
            csrf_token: token.as_ref(),
            own_timeouts: OwnTimeouts {
                inactivity_ms: self.inactivity,
                absolute_ms: self.absolute,
            },
            revision: self.revision,
            created_at: Timestamp::from_millis(self.created_at),
            last_active: Timestamp::from_millis(self.last_active),
            content_version: self.content_version,
            content: &content,
        };
        let record =
            Record::new(&parts, timeouts).map_err(|_| "is larger than a session may be")?;
        Ok((key, record))
    }
}

impl UserText {
    pub(in crate::admin) fn of(user: &UserId) -> Self {
        match user.as_text() {
            Some(text) => Self::Text(text.into()),
            None => Self::Number(user.to_string()),
        }
    }

    pub(in crate::admin) fn to_key(&self) -> Result<UserKey, &'static str> {
        const NO_USER: &str = "names no user";
        let user = match self {
            Self::Text(text) => UserId::from(text.as_str()),
            // A user id may be any number that `UserId` takes, not only one of 64 bits.
            Self::Number(digits) => match (digits.parse::<i128>(), digits.parse::<u128>()) {
                (Ok(number), _) => UserId::from(number),
                (_, Ok(number)) => UserId::from(number),
                _ => return Err(NO_USER),
            },
        };
        user.to_key().map_err(|_| NO_USER)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
