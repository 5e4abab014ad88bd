//! The record: a session as bytes, and back.
//!
//! This module owns the storage format of a session (docs/internals/format.md); no other uses
//! bincode. Invariant: bytes that decode are encoded to the same bytes again, and a record decodes
//! only under its own key. This module knows neither engines nor typed sessions.

mod adapter;
pub(crate) mod content;
pub(crate) mod header;

use std::fmt;
use std::sync::Arc;

use header::Header;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::content::{ContentKind, StoredContent};
use crate::session::csrf::CsrfToken;
use crate::session::user::{UserId, UserKey};
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// The least length of a record, in bytes.
pub(crate) const MIN_LEN: usize = header::LEN + CHECKSUM_LEN;

const CHECKSUM_LEN: usize = 4;
const CSRF_TOKEN_LEN: usize = 16;

/// What an engine stores under a [`SessionKey`]: a header that the engine may read, and opaque
/// bytes.
///
/// An engine stores the bytes of [`encode`](Self::encode), and reads the record back with
/// [`decode`](Self::decode). To index a session it needs
/// [`index_deadline`](Self::index_deadline) and [`user`](Self::user). Cloning is cheap: the bytes
/// behind the header are shared.
///
/// # Security
///
/// A record holds no session id. It holds the user's id and the content in clear.
///
/// # Examples
///
/// ```
/// use sessile::engine::{Engine, MemoryEngine, Moment, Record};
/// use sessile::SessionStore;
///
/// let engine = std::sync::Arc::new(MemoryEngine::new());
/// let store: SessionStore = SessionStore::builder().engine(engine.clone()).build()?;
/// let key = store.create_for_user("ann", Default::default())?.key();
///
/// let record = engine.load(&key, Moment::BEGINNING)?.ok_or("no such session")?;
/// assert_eq!(record.revision(), 1);
/// let bytes = record.encode(&key);
/// assert_eq!(Record::decode(&key, &bytes)?, record);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    header: Header,
    /// User, CSRF token and content, in this order; the header has their lengths.
    tail: Arc<[u8]>,
}

/// The parts of a record, before encoding.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) user: Option<&'a UserKey>,
    pub(crate) csrf_token: Option<&'a CsrfToken>,
    pub(crate) own_timeouts: OwnTimeouts,
    pub(crate) revision: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) last_active: Timestamp,
    pub(crate) content_version: u32,
    pub(crate) content: &'a [u8],
}

impl Record {
    /// Makes a record, indexed under its true deadline.
    pub(crate) fn new(parts: &Parts<'_>, defaults: &Timeouts) -> Result<Self> {
        let user = parts.user.map_or(&[][..], UserKey::as_bytes);
        let token = parts.csrf_token.map_or(&[][..], |token| token.as_bytes());
        let too_large = || Error::TooLarge { len: parts.content.len(), max: content::MAX_LEN };
        let header = Header {
            has_csrf_token: parts.csrf_token.is_some(),
            own_timeouts: parts.own_timeouts,
            user_len: u16::try_from(user.len()).map_err(|_| too_large())?,
            content_version: parts.content_version,
            revision: parts.revision,
            created_at: parts.created_at,
            last_active: parts.last_active.max(parts.created_at),
            index_deadline: Timestamp::default(),
            content_len: u32::try_from(parts.content.len()).map_err(|_| too_large())?,
        };
        let mut record = Self { header, tail: [user, token, parts.content].concat().into() };
        record.header.index_deadline = record.deadline(defaults);
        Ok(record)
    }

    /// Decodes a stored record. Checks, in this order: the length, the format version and the
    /// header, the checksum over key and record, the user.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] with the rule that the bytes break.
    pub fn decode(key: &SessionKey, bytes: &[u8]) -> Result<Self> {
        Self::parse(key, bytes).map_err(|reason| Error::DamagedRecord { key: *key, reason })
    }

    fn parse(key: &SessionKey, bytes: &[u8]) -> Result<Self, &'static str> {
        const TOO_SHORT: &str = "it is shorter than a record can be";
        let (head, rest) = bytes.split_first_chunk::<{ header::LEN }>().ok_or(TOO_SHORT)?;
        let (tail, checksum) = rest.split_last_chunk::<CHECKSUM_LEN>().ok_or(TOO_SHORT)?;
        let header = Header::read(head)?;
        let record = Self { header, tail: Arc::default() };
        // In 64 bits: on a 32-bit system a damaged length would overflow `usize`.
        if tail.len() as u64 != record.content_start() as u64 + u64::from(header.content_len) {
            return Err("its length is not the one its header tells");
        }
        let covered = bytes.len() - CHECKSUM_LEN;
        let (covered, _) = bytes.split_at(covered);
        if u32::from_le_bytes(*checksum) != checksum_of(key, covered) {
            return Err("its checksum is wrong");
        }
        let record = Self { tail: tail.into(), ..record };
        match record.user_bytes() {
            [] => Ok(record),
            user if UserId::from_key(user).is_some() => Ok(record),
            _ => Err("its user is not a user id"),
        }
    }

    /// Encodes the record for `key`; the bytes decode only under that key.
    #[must_use]
    pub fn encode(&self, key: &SessionKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.stored_len());
        self.encode_behind(key, &mut bytes);
        bytes
    }

    /// As [`encode`](Self::encode), appended to `bytes`.
    pub(crate) fn encode_behind(&self, key: &SessionKey, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        self.header.write(bytes);
        bytes.extend_from_slice(&self.tail);
        let checksum = checksum_of(key, bytes.get(start..).unwrap_or_default());
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }

    /// The number of the session's last change: 1 after creation, one more with every update. A
    /// touch does not count.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.header.revision
    }

    /// When the session was created; never changes.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.header.created_at
    }

    /// When the session was last active; never decreases.
    #[must_use]
    pub fn last_active(&self) -> Timestamp {
        self.header.last_active
    }

    /// When the session expires: the earlier of `last_active + inactivity` and `created_at +
    /// absolute`. `defaults` are the timeouts for sessions without their own.
    #[must_use]
    pub fn deadline(&self, defaults: &Timeouts) -> Timestamp {
        let Header { own_timeouts, created_at, last_active, .. } = self.header;
        own_timeouts.deadline(created_at, last_active, defaults)
    }

    /// Whether the session is expired: `now >= deadline`. Every engine decides by this rule.
    #[must_use]
    pub fn is_expired(&self, moment: Moment) -> bool {
        moment.now >= self.deadline(&moment.timeouts)
    }

    /// The deadline under which an engine's index has the session, to find expired sessions. It is
    /// never later than [`deadline`](Self::deadline), and may be earlier after a touch.
    #[must_use]
    pub fn index_deadline(&self) -> Timestamp {
        self.header.index_deadline
    }

    /// The session's user as an index key, if it has one.
    #[must_use]
    pub fn user(&self) -> Option<UserKey> {
        self.user_id().and_then(|user| user.to_key().ok())
    }

    /// Returns the record after activity at `at`, with the same index entry. Time only moves
    /// forward: an earlier moment changes nothing.
    #[must_use]
    pub fn touched(mut self, at: Timestamp) -> Self {
        self.touch(at);
        self
    }

    /// As [`touched`](Self::touched), in place.
    pub(crate) fn touch(&mut self, at: Timestamp) {
        self.header.last_active = self.header.last_active.max(at);
    }

    /// Returns the record with another index entry.
    #[must_use]
    pub fn indexed_under(mut self, index_deadline: Timestamp) -> Self {
        self.header.index_deadline = index_deadline;
        self
    }

    /// Returns the record with another user and the next revision, so that a change based on the
    /// former record is a conflict. Times and index entry stay.
    #[must_use]
    pub fn renamed(mut self, user: &UserKey) -> Self {
        let rest = self.tail.get(usize::from(self.header.user_len)..).unwrap_or_default();
        self.tail = [user.as_bytes(), rest].concat().into();
        // A user key has at most 256 bytes.
        self.header.user_len = u16::try_from(user.as_bytes().len()).unwrap_or(u16::MAX);
        self.header.revision = self.header.revision.saturating_add(1);
        self
    }

    /// The record with another revision, for engines that store the revision beside the bytes.
    #[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
    pub(crate) fn at_revision(mut self, revision: u64) -> Self {
        self.header.revision = revision;
        self
    }

    /// The length of [`encode`](Self::encode)'s bytes.
    pub(crate) fn stored_len(&self) -> usize {
        header::LEN + self.tail.len() + CHECKSUM_LEN
    }

    /// The number of bytes on the heap.
    pub(crate) fn tail_len(&self) -> usize {
        self.tail.len()
    }

    pub(crate) fn own_timeouts(&self) -> OwnTimeouts {
        self.header.own_timeouts
    }

    /// Gives the session other timeouts of its own. The index entry stays.
    pub(crate) fn set_own_timeouts(&mut self, own_timeouts: OwnTimeouts) {
        self.header.own_timeouts = own_timeouts;
    }

    /// The kind of the content; `None` for a kind that this version of the library does not know.
    #[must_use]
    pub fn content_kind(&self) -> Option<ContentKind> {
        self.stored_content().kind()
    }

    /// The content, for tools: see [`StoredContent::to_json`].
    #[must_use]
    #[inline]
    pub fn stored_content(&self) -> StoredContent<'_> {
        StoredContent::new(self.header.content_version, self.content())
    }

    pub(crate) fn user_id(&self) -> Option<UserId> {
        UserId::from_key(self.user_bytes())
    }

    /// Whether the session belongs to this user.
    pub(crate) fn is_of(&self, user: &UserKey) -> bool {
        self.user_bytes() == user.as_bytes()
    }

    pub(crate) fn csrf_token(&self) -> Option<CsrfToken> {
        let start = usize::from(self.header.user_len);
        let token = self.tail.get(start..self.content_start())?;
        token.try_into().ok().map(CsrfToken::from_bytes)
    }

    pub(crate) fn content(&self) -> &[u8] {
        self.tail.get(self.content_start()..).unwrap_or_default()
    }

    fn user_bytes(&self) -> &[u8] {
        self.tail.get(..usize::from(self.header.user_len)).unwrap_or_default()
    }

    fn content_start(&self) -> usize {
        let token = if self.header.has_csrf_token { CSRF_TOKEN_LEN } else { 0 };
        usize::from(self.header.user_len) + token
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Record")
            .field("header", &self.header)
            .field("user", &self.user_id())
            .finish_non_exhaustive()
    }
}

/// CRC-32C, over the key first, so that a record copied to another key fails the check.
fn checksum_of(key: &SessionKey, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), bytes)
}

#[cfg(test)]
mod tests;
