//! The contract on a server: which calls may be retried, and how the outcome is looked up when the
//! answer was lost.
//!
//! Invariant: an answer that is not an error comes from the server. After a lost answer the stored
//! state decides: if exactly the new record is stored, the request succeeded. The server may have
//! the record before its replicas do. So the call makes one more change, and waits until the
//! replicas acknowledge that one. A lost request may still reach the server later, so no request is
//! repeated that could revive an ended session.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::attachment::Attachment;
use crate::engine::check::{Checked, Inspect};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::network::backend::{Attempt, Backend};
use crate::engine::network::clock::INTERVAL;
use crate::engine::network::server::{Repeat, Server, gone_by_whom, saved_over};
use crate::engine::network::stored::recent::is_due;
use crate::engine::outcome::{
    Ended, EngineStats, Insert, Listing, Rekey, Replace, Saved, Sweep, Visit, VisitUser,
};
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// How many records of a user are requested at first; the number grows as the listing goes on.
const FIRST_PAGE: usize = 32;
/// The most records of a user that are requested at once.
const LARGEST_PAGE: usize = 512;

/// The entry of the metadata that is written after a lost change was found.
const CONFIRMED: &str = "confirmed";

/// The most records that one step of a sweep reads: a step blocks other calls on the server.
const SWEEP_STEP: usize = 128;

impl<B: Backend> Engine for Server<B> {
    fn insert(
        &self,
        key: &SessionKey,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Insert> {
        self.write(Repeat::LookedUp, |backend, on, in_doubt| {
            if !in_doubt {
                return backend.insert(on, key, &record, moment, limits);
            }
            match self.looked_up(backend, on, key, &record)? {
                // The sessions that ended because of the limit are no longer known.
                Stored::Ours(_) => Ok(Insert::Done(Vec::new())),
                Stored::Another(_) => Ok(Insert::Occupied),
                // The lost insert may still be carried out, so the store does not use the key
                // again: repeating the insert could revive the session after its end. Nobody gets
                // the id of a late record.
                Stored::Nothing => Ok(Insert::Lost),
            }
        })
    }

    fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
        let found = self.read(|backend, on| backend.load(on, key))?;
        Ok(found.filter(|record| !record.is_expired(moment)).inspect(|r| self.recent.note(key, r)))
    }

    fn extend(
        &self,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Result<Option<Record>> {
        // A touch that is skipped costs no more than a read.
        if !self.recent.may_be_due(key, moment, resolution) {
            let found = self.load(key, moment)?;
            if found.as_ref().is_none_or(|record| !is_due(record, moment, resolution)) {
                return Ok(found);
            }
        }
        let found = self.write(Repeat::Idempotent, |backend, on, _| {
            backend.extend(on, key, moment, resolution)
        })?;
        Ok(found.filter(|record| !record.is_expired(moment)).inspect(|r| self.recent.note(key, r)))
    }

    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Replace> {
        self.write(Repeat::LookedUp, |backend, on, in_doubt| {
            let outcome = backend.replace(on, key, expected_revision, &record, moment, limits)?;
            if !in_doubt || outcome != Replace::Conflict {
                return Ok(outcome);
            }
            match self.looked_up(backend, on, key, &record)? {
                Stored::Ours(last_active) => {
                    Ok(Replace::Done(Saved { last_active, ended: Vec::new() }))
                }
                // Each save raises the revision by one, so ours may lie beneath a later one.
                Stored::Another(revision) if revision > record.revision() => {
                    Err(saved_over().into())
                }
                Stored::Another(_) | Stored::Nothing => Ok(Replace::Conflict),
            }
        })
    }

    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Rekey> {
        self.write(Repeat::LookedUp, |backend, on, in_doubt| {
            let revision = expected_revision;
            let outcome = backend.rekey(on, old, new, revision, &record, moment, limits)?;
            if !in_doubt || outcome != Rekey::Missing {
                return Ok(outcome);
            }
            match self.looked_up(backend, on, new, &record)? {
                Stored::Ours(last_active) => {
                    Ok(Rekey::Done(Saved { last_active, ended: Vec::new() }))
                }
                // Only this call knows the new key before it is stored.
                Stored::Another(_) => Err(saved_over().into()),
                Stored::Nothing => Ok(Rekey::Missing),
            }
        })
    }

    fn remove(
        &self,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Result<Option<Ended>> {
        self.write(Repeat::LookedUp, |backend, on, in_doubt| {
            match backend.remove(on, key, owner, moment)? {
                None if in_doubt => Err(gone_by_whom().into()),
                ended => Ok(ended),
            }
        })
    }

    fn remove_user(&self, user: &UserKey, moment: Moment) -> Result<Vec<Ended>> {
        self.write(Repeat::Never, |backend, on, _| backend.remove_user(on, user, moment))
    }

    fn remove_others(&self, keep: &SessionKey, moment: Moment) -> Result<Option<Vec<Ended>>> {
        self.write(Repeat::Never, |backend, on, _| backend.remove_others(on, keep, moment))
    }

    fn rename_user(&self, old: &UserKey, new: &UserKey, moment: Moment) -> Result<u64> {
        self.write(Repeat::Never, |backend, on, _| backend.rename_user(on, old, new, moment))
    }

    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        let mut after = None;
        let mut limit = FIRST_PAGE;
        loop {
            let page =
                self.read(|backend, on| backend.user_page(on, user, after.as_ref(), limit))?;
            limit = LARGEST_PAGE.min(limit * 4);
            after = page.items.last().map(|(key, _)| *key);
            for (key, record) in page.items {
                if visit(key, record)?.is_break() {
                    return Ok(());
                }
            }
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    fn scan(&self, after: Option<&SessionKey>, visit: &mut Visit<'_>) -> Result<()> {
        self.backend.scan(self, after, visit)
    }

    fn scan_users(
        &self,
        after: Option<&UserKey>,
        moment: Moment,
        visit: &mut VisitUser<'_>,
    ) -> Result<()> {
        let mut after = after.cloned();
        loop {
            let page = self.read(|backend, on| backend.users_page(on, after.as_ref(), moment))?;
            after = page.items.last().map(|(user, _)| user.clone());
            for (user, sessions) in page.items {
                if sessions > 0 && visit(user, sessions)? == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    fn listing(&self) -> Listing {
        B::LISTING
    }

    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep> {
        let limit = limit.min(SWEEP_STEP);
        self.write(Repeat::Idempotent, |backend, on, _| backend.remove_expired(on, moment, limit))
    }

    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut from = None;
        loop {
            from = self.write(Repeat::Idempotent, |backend, on, _| {
                backend.reindex(on, timeouts, from.clone())
            })?;
            match from {
                None => return Ok(true),
                Some(_) if !goes_on() => return Ok(false),
                Some(_) => {}
            }
        }
    }

    fn count(&self, moment: Moment) -> Result<u64> {
        self.backend.count(self, moment)
    }

    fn check(&self, timeouts: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        self.backend.check(self, timeouts, inspect)
    }

    fn clear(&self) -> Result<()> {
        self.write(Repeat::Never, |backend, on, _| backend.clear(on))
    }

    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read(|backend, on| backend.load_meta(on, name))
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.write(Repeat::Never, |backend, on, _| backend.store_meta(on, name, value))
    }

    fn init_meta(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        self.write(Repeat::Idempotent, |backend, on, _| backend.init_meta(on, name, value))
    }

    fn server_time(&self) -> Result<Option<Timestamp>> {
        self.ensure_open()?;
        if self.clock.has_slept() {
            // Without an answer, the last comparison counts; the call most likely fails as well.
            self.compare_clocks(true).ok();
        }
        Ok(Some(self.clock.now()))
    }

    fn attach(&self, timeouts: Timeouts) -> Result<Attachment> {
        self.ensure_open()?;
        self.attachments.attach(timeouts)
    }

    /// No touches are in memory, so a flush only compares the clocks and closes idle connections.
    fn flush(&self) -> Result<()> {
        self.ensure_open()?;
        self.close_idle();
        self.compare_clocks(false)
    }

    /// The flushes keep the comparison of the clocks this recent.
    fn flush_interval(&self) -> Option<Duration> {
        Some(INTERVAL)
    }

    fn late_by(&self) -> Duration {
        Duration::ZERO
    }

    fn set_waker(&self, waker: Waker) {
        drop(waker);
    }

    fn run_background_work(&self) -> Result<()> {
        Ok(())
    }

    fn close(&self) -> Result<()> {
        Server::close(self);
        Ok(())
    }

    fn stats(&self) -> Result<EngineStats> {
        let stored = self.read(|backend, on| backend.stored(on))?;
        let changes = self.changes.load(Ordering::Relaxed);
        Ok(EngineStats {
            stored,
            commits: changes,
            committed_operations: changes,
            clock_jumps: self.clock.jumps(),
            ..EngineStats::default()
        })
    }
}

/// What is stored under the key of a lost change.
enum Stored {
    /// Exactly the new record, apart from later touches; with its `last_active`.
    Ours(Timestamp),
    /// Another record of this revision.
    Another(u64),
    Nothing,
}

impl<B: Backend> Server<B> {
    /// Looks for the record of a lost change. If it is stored, makes another change, because each
    /// acknowledges all before it.
    fn looked_up(
        &self,
        backend: &B,
        on: &mut B::Connection,
        key: &SessionKey,
        record: &Record,
    ) -> Attempt<Stored> {
        let Some(stored) = backend.load(on, key)? else { return Ok(Stored::Nothing) };
        let last_active = stored.last_active();
        let expected = record.clone().touched(last_active).indexed_under(stored.index_deadline());
        if stored != expected {
            return Ok(Stored::Another(stored.revision()));
        }
        // A server may skip a write that changes no value.
        let now = self.clock.now().as_millis().to_le_bytes();
        backend.store_meta(on, CONFIRMED, &[&now[..], key.as_bytes()].concat())?;
        Ok(Stored::Ours(last_active))
    }
}
