//! The engine contract's calls, in the contract's order.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::attachment::Attachment;
use crate::engine::check::{Checked, Inspect};
use crate::engine::contract::Engine;
use crate::engine::durability::Durability;
use crate::engine::limits::Limits;
use crate::engine::outcome::{
    Ended, EngineStats, Insert, Listing, Rekey, Replace, Sweep, Visit, VisitUser,
};
use crate::engine::redb::commit::question;
use crate::engine::redb::commit::question::{Asked, Question};
use crate::engine::redb::engine::{RedbEngine, STEP};
use crate::engine::redb::file::signature;
use crate::engine::redb::file::unwinding::not_unwinding;
use crate::engine::redb::view::extend::{Extended, Extension, Save};
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

impl Engine for RedbEngine {
    fn insert(
        &self,
        key: &SessionKey,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Insert> {
        self.submit(question::Insert { key: *key, record, moment, limits })
    }

    fn load(&self, key: &SessionKey, moment: Moment) -> Result<Option<Record>> {
        let found = self.reading(|| self.view.load(key, || moment));
        match &found {
            Ok(Some(record)) if record.is_expired(moment) => Ok(None),
            _ => found,
        }
    }

    fn extend(
        &self,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Result<Option<Record>> {
        self.view.touches.promise(resolution);
        let extension = Extension { moment, at: moment.now, save: None };
        let mut presumed = None;
        let announced = match self.reading(|| self.view.extend(key, extension, &mut presumed))? {
            Extended::Live(record) => return Ok(Some(record)),
            Extended::Missing | Extended::Stale => return Ok(None),
            Extended::Undecided(announced) => announced,
        };
        // The queue decides which comes first: this call, or a removal or the close.
        let extended = self.submit(question::Extend { key: *key, moment });
        drop(announced);
        if self.writer.is_due() {
            self.wake();
        }
        extended
    }

    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        moment: Moment,
        limits: Limits,
    ) -> Result<Replace> {
        let _announced = match self.announce(key, expected_revision, &record, moment)? {
            Extended::Missing => return Ok(Replace::Missing),
            Extended::Stale => return Ok(Replace::Conflict),
            announced => announced,
        };
        self.submit(question::Replace { key: *key, expected_revision, record, moment, limits })
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
        let _announced = match self.announce(old, expected_revision, &record, moment)? {
            Extended::Missing => return Ok(Rekey::Missing),
            Extended::Stale => return Ok(Rekey::Conflict),
            announced => announced,
        };
        let (old, new) = (*old, *new);
        self.submit(question::Rekey { old, new, expected_revision, record, moment, limits })
    }

    fn remove(
        &self,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Result<Option<Ended>> {
        self.submit(question::Remove { key: *key, owner: owner.cloned(), moment })
    }

    fn remove_user(&self, user: &UserKey, moment: Moment) -> Result<Vec<Ended>> {
        self.submit(question::RemoveUser { user: user.clone(), moment })
    }

    fn remove_others(&self, keep: &SessionKey, moment: Moment) -> Result<Option<Vec<Ended>>> {
        self.submit(question::RemoveOthers { keep: *keep, moment })
    }

    fn rename_user(&self, old: &UserKey, new: &UserKey, moment: Moment) -> Result<u64> {
        self.submit(question::RenameUser { old: old.clone(), new: new.clone(), moment })
    }

    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        self.records_of(user, visit)
    }

    fn scan(&self, after: Option<&SessionKey>, visit: &mut Visit<'_>) -> Result<()> {
        self.records_after(after, visit)
    }

    fn scan_users(
        &self,
        after: Option<&UserKey>,
        moment: Moment,
        visit: &mut VisitUser<'_>,
    ) -> Result<()> {
        self.users_after(after, moment, visit)
    }

    fn listing(&self) -> Listing {
        Listing::Snapshot
    }

    fn remove_expired(&self, moment: Moment, limit: usize) -> Result<Sweep> {
        let step = self.sweep.step_size.step(limit);
        let mut passed = self.reading(|| self.sweep.passed(&self.view, moment.now, step))?;
        if passed.is_empty() {
            return Ok(Sweep::default());
        }
        let keys = passed.keys();
        let (found, was_full) = (keys.len(), keys.len() == step);
        let swept = self.submit(question::RemoveExpired { keys, moment })?;
        // What waits now is over in the next round.
        let is_stuck = swept.spared.len() == swept.looked_at;
        let more = (was_full || swept.looked_at < found) && !is_stuck;
        passed.retain(swept.looked_at);
        match self.remove_strays(&passed, &swept.unmoved) {
            Err(error) if swept.removed.is_empty() => return Err(error),
            // The removals are committed, so they are returned. Strays are left to a later round.
            _ => self.sweep.done(&passed, &swept.spared),
        }
        let alone = self.adapt(&self.sweep.step_size, limit);
        if more {
            self.writer.yield_log_room(&self.view);
        }
        Ok(Sweep { removed: swept.removed, more, busy: !alone })
    }

    fn reindex(&self, timeouts: &Timeouts, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        let mut after = None;
        loop {
            after = self.submit(question::Reindex { after, timeouts: *timeouts, limit: STEP })?;
            match after {
                None => return Ok(true),
                Some(_) if !goes_on() => return Ok(false),
                Some(_) => {}
            }
        }
    }

    fn count(&self, moment: Moment) -> Result<u64> {
        self.live_records(moment)
    }

    fn check(&self, timeouts: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        self.findings(timeouts, inspect)
    }

    fn clear(&self) -> Result<()> {
        self.submit(question::Clear)
    }

    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.reading(|| self.view.with_snapshot(|snapshot| snapshot.meta(name)))
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.submit(question::StoreMeta { name: name.into(), value: value.into() })
    }

    fn init_meta(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        if let Some(found) = self.load_meta(name)? {
            return Ok(found);
        }
        self.submit(question::InitMeta { name: name.into(), value: value.into() })
    }

    fn server_time(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    fn attach(&self, timeouts: Timeouts) -> Result<Attachment> {
        self.process.ensure_same()?;
        self.attachments.attach(timeouts)
    }

    fn flush(&self) -> Result<()> {
        self.write_pending()?;
        self.view.with_snapshot(|_| Ok(()))?;
        if self.wakers.lock().heard().is_none() {
            self.prepare();
        }
        Ok(())
    }

    fn flush_interval(&self) -> Option<Duration> {
        match self.view.options.durability {
            Durability::Deferred { interval } => Some(interval),
            Durability::Immediate | Durability::TwoPhase => None,
        }
    }

    fn late_by(&self) -> Duration {
        // In a forked process a thread that no longer exists may hold a lock.
        match self.process.ensure_same() {
            Ok(()) => self.view.touches.late_by(),
            Err(_) => Duration::ZERO,
        }
    }

    fn set_waker(&self, waker: Waker) {
        // In a forked process a thread that no longer exists may hold the lock.
        if self.process.ensure_same().is_err() {
            return;
        }
        let replaced = self.wakers.lock().add(waker);
        drop(replaced);
    }

    fn run_background_work(&self) -> Result<()> {
        self.process.ensure_same()?;
        self.writer.checkpoint(&self.view);
        // Another checkpoint may be due by now. The warm-up goes on after a failed one.
        self.checkpoint_if_due();
        if self.prepare() {
            self.wake();
        }
        self.writer.take_failure().map_or(Ok(()), Err)
    }

    fn close(&self) -> Result<()> {
        if !self.process.is_same_by_id() {
            return Err(self.process.forked());
        }
        not_unwinding(|| {
            // From here on extensions go through the queue, so none is missed by the flush.
            self.view.touches.close();
            let flushed = self.write_pending();
            // A flush has a group of its own. So this thread closes the file when its turn comes,
            // and every call that was queued before has its answer.
            let turn = Arc::new(Asked::new(question::Flush)) as Arc<dyn Question>;
            let closed = self.queue.submit(turn, |_| Ok(vec![self.writer.close(&self.view)]));
            flushed.and(closed)
        })
    }

    fn stats(&self) -> Result<EngineStats> {
        self.process.ensure_same()?;
        let pending = self.view.touches.told();
        Ok(EngineStats {
            stored: self.stored()?,
            file_bytes: Some(self.view.file.len()?),
            live_bytes: self.view.file.live_bytes(),
            log_bytes: self.view.file.log_bytes(),
            format: Some(signature::FORMAT_VERSION),
            pending_touches: pending.touches as u64,
            oldest_pending_touch: pending.oldest,
            late_touches: pending.late.0,
            touches_late_by: pending.late.1,
            late_flushes: pending.late_flushes.0,
            commits_late_by: pending.late_flushes.1,
            ..self.writer.stats()
        })
    }
}

impl RedbEngine {
    /// Announces that a session is about to be saved, so that no call finds it expired while its
    /// record is being written.
    fn announce(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: &Record,
        moment: Moment,
    ) -> Result<Extended<'_>> {
        let save = Save { expected_revision, own_timeouts: record.own_timeouts() };
        let extension = Extension { moment, at: record.last_active(), save: Some(save) };
        let mut presumed = None;
        self.reading(|| self.view.announce(key, extension, &mut presumed))
    }
}
