//! What moves deadlines, and what comes of those that have passed.

use crate::engine::outcome::Ended;
use crate::engine::redb::commit::decide::{Decider, Ground, in_place_of};
use crate::engine::redb::commit::operation::Outcome;
use crate::engine::redb::error::RedbResult;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;

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

    /// Touches a live record, and hands it out.
    pub(super) fn extend(
        &mut self,
        key: &SessionKey,
        moment: Moment,
    ) -> RedbResult<Result<Option<Record>>> {
        let live = match self.load(key)? {
            Some(Ok(record)) => Some(record).filter(|record| !record.is_expired(moment)),
            Some(Err(error)) => return Ok(Err(error)),
            None => None,
        };
        let Some(record) = live.map(|record| record.touched(moment.now)) else {
            return Ok(Ok(None));
        };
        self.touch(key, record.last_active())?;
        Ok(Ok(Some(record)))
    }

    /// Writes a touch. A damaged record is left as it is.
    fn touch(&mut self, key: &SessionKey, at: Timestamp) -> RedbResult<()> {
        let Some(stored) = self.get(key)? else {
            self.effects.changed.insert(*key, None);
            return Ok(());
        };
        if let Ok(stored) = stored {
            let touched = stored.clone().touched(at);
            if touched != stored {
                self.put(key, Some(in_place_of(&stored, touched)))?;
            }
        }
        self.effects.touched.insert(*key, at);
        Ok(())
    }

    /// Looks at sessions whose index entries had passed when they were looked for, until that is enough.
    pub(super) fn remove_expired(
        &mut self,
        keys: &[SessionKey],
        moment: Moment,
    ) -> RedbResult<Outcome> {
        let (mut looked_at, mut removed, mut unmoved) = (0, Vec::new(), Vec::new());
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
                    removed.push(Ended::damaged(key));
                }
                // It has been written since, or the entry was never its own.
                Some(Ok(record)) if record.index_deadline() > moment.now => unmoved.push(*key),
                Some(Ok(record)) => {
                    removed.extend(self.remove_if_expired(key, record, moment)?);
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
        moment: Moment,
    ) -> RedbResult<Option<Ended>> {
        let mut true_record = record.clone();
        let expired = self.touches.condemn_if(key, |pending| {
            if let Some(at) = pending {
                true_record = record.touched(at);
            }
            true_record.is_expired(moment)
        });
        if expired {
            self.remove(key)?;
            return Ok(Some(Ended::of(key, &true_record)));
        }
        let deadline = true_record.deadline(&moment.timeouts);
        self.effects.touched.insert(*key, true_record.last_active());
        self.put(key, Some(true_record.indexed_under(deadline)))?;
        Ok(None)
    }
}
