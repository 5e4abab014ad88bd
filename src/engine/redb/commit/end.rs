//! Ends sessions, one or many at a time.
//!
//! Invariant: from the decision to remove a session until its commit has succeeded or failed, the
//! session accepts no touch.

use crate::engine::outcome::Ended;
use crate::engine::redb::commit::decide::{Decider, Loaded};
use crate::engine::redb::commit::question::{Ask, Remove, RemoveOthers, RemoveUser};
use crate::engine::redb::error::RedbResult;
use crate::error::Result;
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

impl Ask for Remove {
    type Answer = Option<Ended>;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Option<Ended>>> {
        let theirs = decider.is_owned_by(&self.key, self.owner.as_ref())?;
        Ok(Ok(decider.end_all(theirs.then_some(self.key), self.moment)?.pop()))
    }
}

impl Ask for RemoveUser {
    type Answer = Vec<Ended>;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Vec<Ended>>> {
        let keys = decider.records_of(&self.user)?;
        Ok(Ok(decider.end_all(keys, self.moment)?))
    }
}

impl Ask for RemoveOthers {
    /// `None` if the session to keep does not exist.
    type Answer = Option<Vec<Ended>>;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Self::Answer>> {
        let seen = match decider.load(&self.keep, self.moment)? {
            None => return Ok(Ok(None)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(Loaded { seen, .. })) if seen.is_expired(self.moment) => return Ok(Ok(None)),
            Some(Ok(Loaded { seen, .. })) => seen,
        };
        let Some(user) = seen.user() else { return Ok(Ok(Some(Vec::new()))) };
        let mut keys = decider.records_of(&user)?;
        keys.retain(|key| *key != self.keep);
        Ok(Ok(Some(decider.end_all(keys, self.moment)?)))
    }
}

impl Decider<'_, '_> {
    /// Removes the record under a key, and returns it with its latest touch.
    pub(super) fn remove(
        &mut self,
        key: &SessionKey,
        moment: Moment,
    ) -> RedbResult<Option<Result<Loaded>>> {
        self.condemn(key);
        let Some(loaded) = self.load(key, moment)? else {
            self.effects.missing.push(*key);
            return Ok(None);
        };
        self.effects.stored = self.effects.stored.saturating_sub(1);
        self.effects.change(*key, None);
        Ok(Some(loaded))
    }

    /// Makes later touches wait until the group is over. So an answer that the session lives always
    /// comes before the session's end.
    pub(super) fn condemn(&mut self, key: &SessionKey) {
        self.view.touches.condemn_if(key, |_| true);
        self.effects.condemned.push(*key);
    }

    /// Removes records, expired or not, and returns their sessions.
    pub(super) fn end_all(
        &mut self,
        keys: impl IntoIterator<Item = SessionKey>,
        moment: Moment,
    ) -> RedbResult<Vec<Ended>> {
        let mut ended = Vec::new();
        for key in keys {
            match self.remove(&key, moment)? {
                Some(Ok(Loaded { seen, .. })) => ended.push(Ended::of(&key, &seen, moment)),
                Some(Err(_)) => ended.push(Ended::damaged(&key)),
                None => {}
            }
        }
        Ok(ended)
    }

    /// Whether the record belongs to the owner, if one is given. For a damaged record the index
    /// decides.
    fn is_owned_by(&self, key: &SessionKey, owner: Option<&UserKey>) -> RedbResult<bool> {
        let Some(owner) = owner else { return Ok(true) };
        Ok(match self.get(key)? {
            Some(Ok(record)) => record.user().as_ref() == Some(owner),
            Some(Err(_)) => self.keys_of(owner)?.contains(key),
            None => false,
        })
    }
}
