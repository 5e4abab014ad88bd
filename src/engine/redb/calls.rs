//! What the engine is asked for, call by call.

use crate::engine::check::{Checked, Finding, Inspect};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{EngineStats, Insert, Rekey, Removed, Replace, Sweep, Visit};
use crate::engine::redb::commit::operation::{OnSessions, OnStore, Outcome};
use crate::engine::redb::database::check;
use crate::engine::redb::engine::{RedbEngine, STEP};
use crate::engine::redb::file::unwinding::not_unwinding;
use crate::engine::redb::view::touches::Recorded;
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// The answer to an operation, out of the one kind of outcome that it has.
macro_rules! expect {
    ($outcome:expr, $pattern:pat => $value:expr) => {
        match $outcome? {
            $pattern => Ok($value),
            other => Err(other.unexpected()),
        }
    };
}

impl Engine for RedbEngine {
    fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert> {
        let operation = OnSessions::Insert { key: *key, record, limits };
        expect!(self.submit(operation), Outcome::Insert(outcome) => outcome)
    }

    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.reading(|| self.view.load(key))
    }

    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Replace> {
        let operation = OnSessions::Replace { key: *key, expected_revision, record, limits };
        expect!(self.submit(operation), Outcome::Replace(outcome) => outcome)
    }

    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Rekey> {
        let operation =
            OnSessions::Rekey { old: *old, new: *new, expected_revision, record, limits };
        expect!(self.submit(operation), Outcome::Rekey(outcome) => outcome)
    }

    fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool> {
        self.process.ensure_same()?;
        let receipt = loop {
            match self.view.touches.record(key, at) {
                Recorded::Done(receipt) => break receipt,
                Recorded::Full => self.write_pending()?,
                // The queue settles which of the two comes first.
                Recorded::Condemned => {
                    let operation = OnSessions::Touch { key: *key, at };
                    return expect!(self.submit(operation), Outcome::Touched(touched) => touched);
                }
            }
        };
        // Recorded first, looked at second: a removal that this look does not see yet will find
        // the touch and forget it.
        let there = self.reading(|| self.view.contains(key));
        match there {
            Ok(true) => {}
            Ok(false) => self.view.touches.forget(key),
            Err(_) => self.view.touches.take_back(key, receipt),
        }
        there
    }

    fn remove(&self, key: &SessionKey) -> Result<Option<Removed>> {
        let outcome = self.submit(OnSessions::Remove { key: *key });
        expect!(outcome, Outcome::Removed(removed) => removed.unwrap_or_default().pop())
    }

    fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>> {
        let outcome = self.submit(OnSessions::RemoveUser { user: user.clone() });
        expect!(outcome, Outcome::Removed(removed) => removed.unwrap_or_default())
    }

    fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>> {
        let outcome = self.submit(OnSessions::RemoveOthers { keep: *keep });
        expect!(outcome, Outcome::Removed(removed) => removed)
    }

    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        let listing = self.listing()?;
        let failed = |error| self.view.failed_to_read(error);
        for key in listing.keys_of(user).map_err(failed)? {
            if let Some(record) = listing.get(&key).map_err(failed)? {
                let latest = |record| self.view.with_latest_touch(listing.commit(), &key, record);
                visit(key, record.and_then(latest))?;
            }
        }
        Ok(())
    }

    fn for_each(&self, visit: &mut Visit<'_>) -> Result<()> {
        let listing = self.listing()?;
        let failed = |error| self.view.failed_to_read(error);
        for entry in listing.records().map_err(failed)? {
            let (key, record) = entry.map_err(failed)?;
            let latest = |record| self.view.with_latest_touch(listing.commit(), &key, record);
            visit(key, record.and_then(latest))?;
        }
        Ok(())
    }

    fn remove_expired(&self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Result<Sweep> {
        let step = self.sweep.step_size.step(limit);
        let mut passed = self.reading(|| self.sweep.passed(&self.view, now, step))?;
        if passed.is_empty() {
            return Ok(Sweep::default());
        }
        let keys = passed.keys();
        let (found, was_full) = (keys.len(), keys.len() == step);
        let outcome = self.submit(OnSessions::RemoveExpired { keys, now, defaults: *defaults });
        let (looked_at, removed, unmoved) = expect!(
            outcome,
            Outcome::RemovedExpired { looked_at, removed, unmoved } => (looked_at, removed, unmoved)
        )?;
        let more = was_full || looked_at < found;
        passed.retain(looked_at);
        let stray = self.reading(|| passed.stray(&self.view, &unmoved))?;
        if !stray.is_empty() {
            expect!(self.submit(OnStore::RemoveStray(stray)), Outcome::Done => ())?;
        }
        self.sweep.done(passed);
        let alone = self.adapt(&self.sweep.step_size, limit);
        if more {
            self.writer.yield_log_room(&self.view);
        }
        Ok(Sweep { removed, more, busy: !alone })
    }

    fn reindex(&self, defaults: &Timeouts) -> Result<()> {
        let mut after = None;
        loop {
            let operation = OnStore::Reindex { after, defaults: *defaults, limit: STEP };
            after = expect!(self.submit(operation), Outcome::Reindexed { last } => last)?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64> {
        let listing = self.listing()?;
        let failed = |error| self.view.failed_to_read(error);
        let mut expired = 0;
        for key in listing.passed(now).map_err(failed)? {
            let key = key.map_err(failed)?;
            expired += match listing.get(&key).map_err(failed)? {
                Some(Ok(record)) => {
                    let commit = listing.commit();
                    let record = self.view.with_latest_touch(commit, &key, record)?;
                    u64::from(record.is_expired(now, defaults))
                }
                // The next sweep takes it away.
                Some(Err(_)) => 1,
                None => 0,
            };
        }
        Ok(listing.stored().saturating_sub(expired))
    }

    fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        let snapshot = self.snapshot()?;
        let mut latest = |finding| match finding {
            Finding::Record(key, record) => {
                let commit = snapshot.commit();
                let record = self.view.with_latest_touch(commit, &key, record)?;
                inspect(Finding::Record(key, record))
            }
            problem => inspect(problem),
        };
        let failed = |error| self.view.failed_to_read(error);
        check::check(&snapshot, defaults, &mut latest, &failed)
    }

    fn clear(&self) -> Result<()> {
        expect!(self.submit(OnStore::Clear), Outcome::Done => ())
    }

    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.reading(|| self.view.with_snapshot(|snapshot| snapshot.meta(name)))
    }

    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        let operation = OnStore::StoreMeta { name: name.into(), value: value.into() };
        expect!(self.submit(operation), Outcome::Done => ())
    }

    fn flush(&self) -> Result<()> {
        self.write_pending()?;
        self.view.with_snapshot(|_| Ok(()))?;
        if self.waker.lock().is_none() {
            self.prepare();
        }
        Ok(())
    }

    fn set_waker(&self, waker: Waker) {
        // The one before is dropped once the lock is not held: it is the caller's code.
        let before = self.waker.lock().replace(waker);
        drop(before);
    }

    fn run_background_work(&self) -> Result<()> {
        self.process.ensure_same()?;
        self.writer.checkpoint(&self.view);
        // So much may have come meanwhile that the next one is due.
        self.checkpoint_if_due();
        if self.prepare() {
            self.wake();
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        if !self.process.is_same_by_id() {
            return Err(self.process.forked());
        }
        not_unwinding(|| {
            let flushed = self.write_pending();
            let closed = self.writer.close(&self.view);
            flushed.and(closed)
        })
    }

    fn stats(&self) -> Result<EngineStats> {
        Ok(EngineStats {
            stored: self.stored()?,
            file_bytes: Some(self.view.file.len()?),
            pending_touches: self.view.touches.len() as u64,
            ..self.writer.stats()
        })
    }
}
