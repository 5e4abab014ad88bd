//! A pointer to an engine is an engine.

use std::sync::Arc;

use crate::engine::check::{Checked, Inspect};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{EngineStats, Insert, Rekey, Removed, Replace, Sweep, Visit};
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

macro_rules! forward_engine {
    ($($pointer:ident),*) => {$(
        impl<E: Engine + ?Sized> Engine for $pointer<E> {
            fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert> {
                (**self).insert(key, record, limits)
            }
            fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
                (**self).load(key)
            }
            fn replace(
                &self,
                key: &SessionKey,
                expected_revision: u64,
                record: Record,
                limits: Limits,
            ) -> Result<Replace> {
                (**self).replace(key, expected_revision, record, limits)
            }
            fn rekey(
                &self,
                old: &SessionKey,
                new: &SessionKey,
                expected_revision: u64,
                record: Record,
                limits: Limits,
            ) -> Result<Rekey> {
                (**self).rekey(old, new, expected_revision, record, limits)
            }
            fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool> {
                (**self).touch(key, at)
            }
            fn remove(&self, key: &SessionKey) -> Result<Option<Removed>> {
                (**self).remove(key)
            }
            fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>> {
                (**self).remove_user(user)
            }
            fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>> {
                (**self).remove_others(keep)
            }
            fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
                (**self).scan_user(user, visit)
            }
            fn for_each(&self, visit: &mut Visit<'_>) -> Result<()> {
                (**self).for_each(visit)
            }
            fn remove_expired(
                &self,
                now: Timestamp,
                defaults: &Timeouts,
                limit: usize,
            ) -> Result<Sweep> {
                (**self).remove_expired(now, defaults, limit)
            }
            fn reindex(&self, defaults: &Timeouts) -> Result<()> {
                (**self).reindex(defaults)
            }
            fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64> {
                (**self).count(now, defaults)
            }
            fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
                (**self).check(defaults, inspect)
            }
            fn clear(&self) -> Result<()> {
                (**self).clear()
            }
            fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
                (**self).load_meta(name)
            }
            fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
                (**self).store_meta(name, value)
            }
            fn flush(&self) -> Result<()> {
                (**self).flush()
            }
            fn set_waker(&self, waker: Waker) {
                (**self).set_waker(waker);
            }
            fn run_background_work(&self) -> Result<()> {
                (**self).run_background_work()
            }
            fn close(&self) -> Result<()> {
                (**self).close()
            }
            fn stats(&self) -> Result<EngineStats> {
                (**self).stats()
            }
        }
    )*};
}

forward_engine!(Arc, Box);
