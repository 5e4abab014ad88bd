//! What moves deadlines, and what comes of those that have passed.

use crate::engine::redb::commit::decide::{Decider, Ground, in_place_of};
use crate::engine::redb::commit::operation::Outcome;
use crate::engine::redb::error::RedbResult;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// Records of so many bytes are enough for one entry of the log, which is in memory two times.
const ENOUGH: usize = 256 * 1024;

impl<G: Ground> Decider<'_, '_, G> {
    /// Writes touches until that is enough; how many.
    pub(super) fn touch_all(&mut self, touches: &[(SessionKey, Timestamp)]) -> RedbResult<usize> {
        let mut bytes = 0;
        for (count, (key, at)) in touches.iter().enumerate() {
            if bytes >= ENOUGH {
                return Ok(count);
            }
            self.touch(key, *at)?;
            bytes += self.bytes_left_under(key);
        }
        Ok(touches.len())
    }

    fn bytes_left_under(&self, key: &SessionKey) -> usize {
        self.effects.changed.get(key).and_then(Option::as_ref).map_or(0, Record::tail_len)
    }

    /// Whether there is such a record; a damaged one is left as it is.
    pub(super) fn touch(&mut self, key: &SessionKey, at: Timestamp) -> RedbResult<bool> {
        let Some(stored) = self.get(key)? else {
            self.effects.changed.insert(*key, None);
            return Ok(false);
        };
        if let Ok(stored) = stored {
            let touched = stored.clone().touched(at);
            if touched != stored {
                self.put(key, Some(in_place_of(&stored, touched)))?;
            }
        }
        self.effects.touched.insert(*key, at);
        Ok(true)
    }

    /// Looks at sessions whose index entries had passed when they were looked for, until that is enough.
    pub(super) fn remove_expired(
        &mut self,
        keys: &[SessionKey],
        now: Timestamp,
        defaults: &Timeouts,
    ) -> RedbResult<Outcome> {
        let (mut looked_at, mut removed, mut unmoved) = (0, 0, Vec::new());
        let mut bytes = 0;
        for key in keys {
            if bytes >= ENOUGH {
                break;
            }
            looked_at += 1;
            match self.get(key)? {
                None => unmoved.push(*key),
                Some(Err(_)) => {
                    // Nobody can tell more of it than that its index entry has passed.
                    self.remove(key)?;
                    removed += 1;
                }
                // It has been written since, or the entry was never its own.
                Some(Ok(record)) if record.index_deadline() > now => unmoved.push(*key),
                Some(Ok(record)) => {
                    removed += u64::from(self.remove_if_expired(key, record, now, defaults)?);
                    bytes += self.bytes_left_under(key);
                }
            }
        }
        Ok(Outcome::RemovedExpired { looked_at, removed, unmoved })
    }

    /// Moves the session's index entry to its true deadline if it is not expired.
    fn remove_if_expired(
        &mut self,
        key: &SessionKey,
        record: Record,
        now: Timestamp,
        defaults: &Timeouts,
    ) -> RedbResult<bool> {
        let mut true_record = record.clone();
        let expired = self.touches.condemn_if(key, |pending| {
            if let Some(at) = pending {
                true_record = record.touched(at);
            }
            true_record.is_expired(now, defaults)
        });
        if expired {
            self.remove(key)?;
        } else {
            let deadline = true_record.deadline(defaults);
            self.effects.touched.insert(*key, true_record.last_active());
            self.put(key, Some(true_record.indexed_under(deadline)))?;
        }
        Ok(expired)
    }
}
