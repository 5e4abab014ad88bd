//! The common parts of every copy of a store: the sessions that it includes, and its progress.

use std::ops::ControlFlow;
use std::time::SystemTime;

use crate::engine::contract::Engine;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserId;

/// The progress of a copy.
///
/// # Examples
///
/// See [`SessionStore::backup_with`](crate::SessionStore::backup_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Sessions processed so far.
    pub done: u64,
    /// All sessions to process, if their number is known.
    pub total: Option<u64>,
}

/// Called during a copy with its progress; `Break` calls the copy off.
pub type OnProgress<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// The sessions that a copy leaves out. Default: none.
///
/// # Examples
///
/// ```
/// use sessile::admin::LeaveOut;
///
/// // Logins from before the break-in must not come back, nor any session of Mallory.
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
    /// Leaves nothing out.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Leaves out the sessions of this user too.
    pub fn user(mut self, user: impl Into<UserId>) -> Self {
        self.users.push(user.into());
        self
    }

    /// Leaves out sessions that were created before this moment.
    pub fn created_before(self, moment: SystemTime) -> Self {
        Self { created_before: Some(moment), ..self }
    }

    /// Begins to choose the records of one copy.
    pub(super) fn choice(&self) -> Choice<'_> {
        Choice { of: self, left_out: 0, unmatched: self.users.iter().collect() }
    }
}

/// The choice of the records of one copy.
pub(super) struct Choice<'a> {
    of: &'a LeaveOut,
    left_out: u64,
    unmatched: Vec<&'a UserId>,
}

impl Choice<'_> {
    /// Whether the copy takes this record, which is counted if not.
    pub(super) fn takes(&mut self, record: &Record) -> bool {
        let LeaveOut { users, created_before } = self.of;
        let too_old =
            created_before.is_some_and(|moment| record.created_at().to_system_time() < moment);
        let named = record.user_id().filter(|user| users.contains(user));
        if let Some(named) = &named {
            self.unmatched.retain(|user| *user != named);
        }
        let takes = !too_old && named.is_none();
        self.left_out += u64::from(!takes);
        takes
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The users to leave out of whom no record was seen.
    pub(super) fn unmatched(&self) -> Vec<UserId> {
        self.unmatched.iter().copied().cloned().collect()
    }
}

/// The most keys that a report of a copy lists. The others are only counted.
pub(super) const MAX_KEYS: usize = 1_000;

/// A list of keys that keeps a limited number, and counts the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Keys {
    #[serde(rename = "first")]
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

    /// Returns the first 1,000 keys.
    #[must_use]
    pub fn first(&self) -> &[SessionKey] {
        &self.keys
    }

    /// Returns the number of all keys.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// Reports the progress of a copy, once every 256 sessions.
pub(super) struct Steps<'a, 'p> {
    pub(super) action: &'static str,
    pub(super) progress: Progress,
    pub(super) told: &'a mut OnProgress<'p>,
}

impl Steps<'_, '_> {
    pub(super) const EVERY: u64 = 256;

    /// Counts one more session; fails if the copy was called off.
    pub(super) fn step(&mut self) -> Result<()> {
        self.progress.done += 1;
        match self.progress.done % Self::EVERY {
            0 => self.tell(),
            _ => Ok(()),
        }
    }

    /// Tells the progress again while records pass that are counted already, so that the copy can
    /// be called off.
    pub(super) fn pass_by(&mut self, passed: &mut u64) -> Result<()> {
        *passed += 1;
        match *passed % Self::EVERY {
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

/// Visits every sound record of an engine, as of one moment if the engine can show one. Lists the
/// damaged ones.
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
