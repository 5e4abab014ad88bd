//! What every copy of a store has in common: which sessions it takes, and how far it has come.

use std::ops::ControlFlow;
use std::time::SystemTime;

use crate::engine::contract::Engine;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserId;

/// How far a copy has come.
///
/// # Examples
///
/// See [`SessionStore::backup_with`](crate::SessionStore::backup_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Sessions that were looked at.
    pub done: u64,
    /// How many there are in all, if that is known.
    pub total: Option<u64>,
}

/// What a copy calls now and then; `Break` calls the copy off.
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Which sessions a copy leaves out. By default none.
///
/// # Examples
///
/// ```
/// use sessile::admin::LeaveOut;
///
/// // What was logged in before the break-in must not come back, nor anything of Mallory.
/// let since = std::time::SystemTime::UNIX_EPOCH;
/// let leave_out = LeaveOut::nothing().created_before(since).user("mallory");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it says what a copy leaves out"]
pub struct LeaveOut {
    users: Vec<UserId>,
    created_before: Option<SystemTime>,
}

impl LeaveOut {
    /// Everything is copied.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The sessions of this user, besides others.
    pub fn user(mut self, user: impl Into<UserId>) -> Self {
        self.users.push(user.into());
        self
    }

    /// Sessions that were created before this moment.
    pub fn created_before(self, moment: SystemTime) -> Self {
        Self { created_before: Some(moment), ..self }
    }

    pub(super) fn takes(&self, record: &Record) -> bool {
        let too_old =
            self.created_before.is_some_and(|moment| record.created_at().to_system_time() < moment);
        !too_old && record.user_id().is_none_or(|user| !self.users.contains(&user))
    }
}

/// How many keys a report of a copy names; it counts the others.
pub(super) const MAX_KEYS: usize = 1_000;

/// Keys of which only so many are kept, and the others counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<SessionKey>,
    count: u64,
}

impl Keys {
    pub(super) fn add(&mut self, key: SessionKey) {
        self.count += 1;
        if self.keys.len() < MAX_KEYS {
            self.keys.push(key);
        }
    }

    /// The first 1,000 of them.
    #[must_use]
    pub fn first(&self) -> &[SessionKey] {
        &self.keys
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// Tells how far a copy has come, after every so many sessions.
pub(super) struct Steps<'a, 'p> {
    pub(super) action: &'static str,
    pub(super) progress: Progress,
    pub(super) told: &'a mut OnProgress<'p>,
}

impl Steps<'_, '_> {
    const EVERY: u64 = 256;

    /// One more session; an error if the copy was called off.
    pub(super) fn step(&mut self) -> Result<()> {
        self.progress.done += 1;
        match self.progress.done % Self::EVERY {
            0 => self.tell(),
            _ => Ok(()),
        }
    }

    pub(super) fn tell(&mut self) -> Result<()> {
        match (self.told)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::CalledOff { action: self.action }),
        }
    }
}

/// Every sound record of an engine, as of one moment where the engine can show one; damaged ones
/// are named.
pub(super) fn for_each_record(
    engine: &dyn Engine,
    steps: &mut Steps<'_, '_>,
    damaged: &mut Keys,
    visit: &mut dyn FnMut(SessionKey, Record) -> Result<()>,
) -> Result<()> {
    steps.tell()?;
    engine.scan(None, &mut |key, record| {
        steps.step()?;
        match record {
            Ok(record) => visit(key, record)?,
            Err(Error::DamagedRecord { .. }) => damaged.add(key),
            Err(error) => return Err(error),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    steps.progress.total = Some(steps.progress.done);
    steps.tell()
}
