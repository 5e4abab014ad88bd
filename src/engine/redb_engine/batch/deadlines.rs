//! What moves deadlines, and what comes of those that have passed.

use super::super::operation::Outcome;
use super::super::tables::Outer;
use super::{Batch, Ground, in_place_of};
use crate::clock::Timestamp;
use crate::engine::Record;
use crate::{SessionKey, Timeouts};

impl<G: Ground> Batch<'_, '_, G> {
    /// Whether there is such a record; a damaged one is left as it is.
    pub(super) fn touch(&mut self, key: &SessionKey, at: Timestamp) -> Outer<bool> {
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

    /// Looks at sessions whose index entries had passed when they were looked for.
    pub(super) fn remove_expired(
        &mut self,
        keys: Vec<SessionKey>,
        now: Timestamp,
        defaults: &Timeouts,
    ) -> Outer<Outcome> {
        let (mut removed, mut unmoved) = (0, Vec::new());
        for key in keys {
            match self.get(&key)? {
                None => unmoved.push(key),
                Some(Err(_)) => {
                    // Nobody can tell more of it than that its index entry has passed.
                    self.remove(&key)?;
                    removed += 1;
                }
                // It has been written since, or the entry was never its own.
                Some(Ok(record)) if record.index_deadline() > now => unmoved.push(key),
                Some(Ok(record)) => {
                    removed += u64::from(self.remove_if_expired(&key, record, now, defaults)?);
                }
            }
        }
        Ok(Outcome::RemovedExpired { removed, unmoved })
    }

    /// Moves the session's index entry to its true deadline if it is not expired.
    fn remove_if_expired(
        &mut self,
        key: &SessionKey,
        record: Record,
        now: Timestamp,
        defaults: &Timeouts,
    ) -> Outer<bool> {
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
