//! Encodes typed content and decodes it, with the content version and the caller's migration.

use std::any::type_name;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::content::{ContentKind, Misread, Same, StoredContent};
use crate::record::{Record, content};
use crate::session::id::SessionId;
use crate::session::info::SessionInfo;
use crate::session::{Origin, Session, Times};
use crate::store::core::StoreCore;
use crate::time::timeouts::Timeouts;

/// Turns content of an earlier version into the current type.
pub(crate) type Migrate<C> = Arc<dyn Fn(StoredContent<'_>) -> Result<C> + Send + Sync>;

pub(crate) struct Codec<C> {
    pub(crate) version: u32,
    pub(crate) migrate: Option<Migrate<C>>,
    pub(crate) same: Option<Same<C>>,
}

impl<C: Serialize + DeserializeOwned> Codec<C> {
    /// Encodes the content, and decodes it once as a check.
    pub(crate) fn encode(&self, content: &C, max_len: usize) -> Result<Vec<u8>> {
        content::encode(content, max_len, self.same)
    }
}

impl<C: DeserializeOwned> Codec<C> {
    /// The session that a record holds.
    #[inline]
    pub(crate) fn session(
        &self,
        id: SessionId,
        key: SessionKey,
        record: &Record,
        core: &StoreCore,
    ) -> Result<Session<C>> {
        Ok(Session {
            content: core.counting_damage(self.decode(&key, record))?,
            id,
            key,
            times: times_of(record, &core.timeouts),
            origin: origin_of(record),
            revision: record.revision(),
            user: record.user_id(),
            csrf_token: record.csrf_token(),
            modified: false,
        })
    }

    /// Decodes a record's content. Migrates it if an earlier version of the program wrote it.
    #[inline]
    pub(crate) fn decode(&self, key: &SessionKey, record: &Record) -> Result<C> {
        let stored = record.stored_content();
        match &self.migrate {
            _ if stored.version() > self.version => Err(self.newer(key, stored.version())),
            Some(migrate) if stored.version() < self.version => {
                migrate(stored).map_err(|error| self.not_migrated(key, stored.version(), error))
            }
            _ => stored.read().map_err(|misread| self.mismatch(key, &stored, misread)),
        }
    }

    #[cold]
    fn newer(&self, key: &SessionKey, found: u32) -> Error {
        let supported = self.version;
        Error::ContentMismatch {
            detail: format!(
                "session {key} holds content of version {found}, and this program reads up to \
                 {supported}; use the newer program, or name its `content_version`"
            ),
            source: None,
        }
    }

    #[cold]
    fn not_migrated(&self, key: &SessionKey, found: u32, error: Error) -> Error {
        Error::ContentMismatch {
            detail: format!(
                "session {key} holds content of version {found}, which could not be migrated to {}; \
                 the migration has to decode it as the type that wrote it",
                self.version
            ),
            source: Some(Arc::new(error)),
        }
    }

    /// The record's checksum is valid, so the bytes are those written, and they were decoded once
    /// before the write. So the type must differ.
    #[cold]
    fn mismatch(&self, key: &SessionKey, stored: &StoredContent<'_>, misread: Misread) -> Error {
        let (version, asked) = (stored.version(), type_name::<C>());
        let advice = match stored.kind() {
            None => "use the program that wrote it".into(),
            Some(kind) if kind != misread.asked_kind() => {
                format!("it was written as {kind}: read it as that, or migrate it")
            }
            Some(ContentKind::Json) => "give new fields `#[serde(default)]`, or raise \
                                        `content_version` and migrate"
                .into(),
            Some(_) => {
                "if the type has changed, raise `content_version` and migrate, or keep it as \
                        `Json<T>`, whose fields may come and go"
                    .into()
            }
        };
        Error::ContentMismatch {
            detail: format!(
                "session {key} holds content of version {version} that is not what `{asked}` of this \
                 program reads; {advice}"
            ),
            source: Some(misread.into()),
        }
    }
}

/// The times of a session, from its record.
pub(crate) fn times_of(record: &Record, defaults: &Timeouts) -> Times {
    Times {
        created_at: record.created_at(),
        last_active: record.last_active(),
        expires_at: record.deadline(defaults),
    }
}

/// The values that a save takes from the session in hand, with no look at the stored record.
pub(crate) fn origin_of(record: &Record) -> Origin {
    Origin { created_at: record.created_at(), own_timeouts: record.own_timeouts() }
}

/// The line of a record in a listing.
pub(crate) fn info_of(key: SessionKey, record: &Record, defaults: &Timeouts) -> SessionInfo {
    SessionInfo { key, user: record.user_id(), times: times_of(record, defaults) }
}

impl<C> Session<C> {
    /// Updates a session that was just saved to the stored times and revision.
    pub(super) fn saved_as(&mut self, record: &Record, timeouts: &crate::time::timeouts::Timeouts) {
        self.times = times_of(record, timeouts);
        self.revision = record.revision();
        self.modified = false;
    }
}
