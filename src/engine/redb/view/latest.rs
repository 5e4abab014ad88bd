//! The state that the last commit left, on which the next commit is decided: overlay, cache and
//! filter, then the snapshot. The tables may lack its latest changes, and may be in use. They are
//! slow, too: writing to three trees takes longer than the rest of a commit.
//!
//! Invariant: no commit is made or published meanwhile, so several look-ups see one state. Pending
//! touches are not part of it.

use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::View;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;

impl View {
    /// Reads the snapshot. The error is redb's.
    pub(in crate::engine::redb) fn in_snapshot<T>(
        &self,
        look: impl FnOnce(&Snapshot) -> RedbResult<T>,
    ) -> RedbResult<T> {
        match self.snapshot.load().as_deref() {
            Some(snapshot) => look(snapshot),
            None => Err(redb::Error::DatabaseClosed),
        }
    }

    pub(in crate::engine::redb) fn contains(&self, key: &SessionKey) -> RedbResult<bool> {
        match self.contains_in_memory(key) {
            Some(there) => Ok(there),
            None => self.in_snapshot(|snapshot| snapshot.contains(key)),
        }
    }

    /// The record under a key; the inner error is one damaged record.
    pub(in crate::engine::redb) fn get(
        &self,
        key: &SessionKey,
    ) -> RedbResult<Option<Result<Record>>> {
        match self.get_in_memory(key) {
            Some(found) => Ok(found.map(Ok)),
            None => self.in_snapshot(|snapshot| snapshot.get(key)),
        }
    }

    /// The keys of a user's sessions.
    pub(in crate::engine::redb) fn keys_of(&self, user: &UserKey) -> RedbResult<Vec<SessionKey>> {
        let mut keys = self.in_snapshot(|snapshot| snapshot.keys_of(user))?;
        keys.retain(|key| self.overlay.contains(key).is_none());
        keys.extend(self.overlay.keys_of(user));
        Ok(keys)
    }
}
