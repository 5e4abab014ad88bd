//! Typed content to bytes and back, with the content version and the caller's migration.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::content::StoredContent;
use crate::record::{Record, content};
use crate::session::id::SessionId;
use crate::session::info::SessionInfo;
use crate::session::{Origin, Session, Times};
use crate::store::core::StoreCore;
use crate::time::timeouts::Timeouts;

/// Turns content of an earlier version into today's.
pub(crate) type Migrate<C> = Arc<dyn Fn(StoredContent<'_>) -> Result<C> + Send + Sync>;

pub(crate) struct Codec<C> {
    /// Whether the store holds content of the name that the program gave; not, if it gave none.
    pub(crate) named: bool,
    pub(crate) version: u32,
    pub(crate) migrate: Option<Migrate<C>>,
}

impl<C: Serialize> Codec<C> {
    pub(crate) fn encode(&self, content: &C, max_len: usize) -> Result<Vec<u8>> {
        content::encode(content, max_len)
    }
}

impl<C: DeserializeOwned> Codec<C> {
    /// The session that a record holds.
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

    /// The content that a record holds, migrated if an earlier version of the program wrote it.
    pub(crate) fn decode(&self, key: &SessionKey, record: &Record) -> Result<C> {
        let found = record.content_version();
        let mismatch = |expectation: String, source| Error::ContentMismatch {
            detail: format!("session {key} holds content of version {found}, {expectation}"),
            source,
        };
        if found > self.version {
            let supported = self.version;
            return Err(mismatch(
                format!(
                    "and this program reads up to {supported}; use the newer program, \
                     or name its `content_version`"
                ),
                None,
            ));
        }
        match &self.migrate {
            Some(migrate) if found < self.version => {
                migrate(StoredContent::new(found, record.content())).map_err(|error| {
                    let expectation = format!("which could not be migrated to {}", self.version);
                    mismatch(expectation, Some(Arc::new(error)))
                })
            }
            // The name and the version are those of `C`, so it is not another type.
            _ if self.named && found == self.version => {
                content::decode(record.content()).map_err(|_| Error::DamagedRecord {
                    key: *key,
                    reason: "its content is not what its name and version stand for; if the type \
                             has changed since, raise `content_version` and migrate",
                })
            }
            _ => content::decode(record.content()).map_err(|source| {
                let expectation = "which is not the content type of this store; if the type has \
                                   changed, raise `content_version` and migrate";
                mismatch(expectation.into(), Some(source))
            }),
        }
    }
}

/// What a record says of a session's times.
pub(crate) fn times_of(record: &Record, defaults: &Timeouts) -> Times {
    Times {
        created_at: record.created_at(),
        last_active: record.last_active(),
        expires_at: record.deadline(defaults),
    }
}

/// What a record says of a session that no save changes.
pub(crate) fn origin_of(record: &Record) -> Origin {
    Origin { created_at: record.created_at(), own_timeouts: record.own_timeouts() }
}

/// A record's line in a listing.
pub(crate) fn info_of(key: SessionKey, record: &Record, defaults: &Timeouts) -> SessionInfo {
    SessionInfo { key, user: record.user_id(), times: times_of(record, defaults) }
}

impl<C> Session<C> {
    /// Takes over what the store now holds of a session that was just saved.
    pub(super) fn saved_as(&mut self, record: &Record, timeouts: &crate::time::timeouts::Timeouts) {
        self.times = times_of(record, timeouts);
        self.revision = record.revision();
        self.modified = false;
    }
}
