//! Moves deadlines, and removes sessions whose deadlines have passed.

use crate::engine::outcome::Ended;
use crate::engine::redb::commit::decide::{Decider, in_place_of};
use crate::engine::redb::commit::question::{Ask, Extend, RemoveExpired, SMALL, WriteTouches};
use crate::engine::redb::error::RedbResult;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;

/// The most bytes of records in one log entry, which is in memory twice.
const ENOUGH: usize = 256 * 1024;

impl Ask for WriteTouches {
    /// The number of touches written.
    type Answer = usize;
    const MAY_CHECKPOINT: bool = false;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<usize>> {
        let mut bytes = 0;
        for (count, (key, at)) in self.0.iter().enumerate() {
            if bytes >= ENOUGH {
                return Ok(Ok(count));
            }
            decider.touch(key, *at)?;
            bytes += decider.bytes_left_under(key);
        }
        Ok(Ok(self.0.len()))
    }

    fn weight(&self) -> usize {
        self.0.len() * SMALL
    }
}

impl Ask for Extend {
    type Answer = Option<Record>;
    const MAY_CHECKPOINT: bool = false;

    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Option<Record>>> {
        let live = match decider.load(&self.key, &self.moment.timeouts)? {
            Some(Ok(record)) => Some(record).filter(|record| !record.is_expired(self.moment)),
            Some(Err(error)) => return Ok(Err(error)),
            None => None,
        };
        let Some(record) = live.map(|record| record.touched(self.moment.now)) else {
            return Ok(Ok(None));
        };
        decider.touch(&self.key, record.last_active())?;
        Ok(Ok(Some(record)))
    }
}

/// The result of a step of a sweep.
#[derive(Debug, Default)]
pub(in crate::engine::redb) struct Swept {
    /// The number of sessions that were examined.
    pub(in crate::engine::redb) looked_at: usize,
    /// The sessions that were expired.
    pub(in crate::engine::redb) removed: Vec<Ended>,
    /// The sessions without a passed index entry.
    pub(in crate::engine::redb) unmoved: Vec<SessionKey>,
}

impl Ask for RemoveExpired {
    type Answer = Swept;

    /// Examines sessions whose index entries have passed, until the rewritten records reach
    /// [`ENOUGH`] bytes.
    fn decide(&self, decider: &mut Decider<'_, '_>) -> RedbResult<Result<Swept>> {
        let mut swept = Swept::default();
        let mut bytes = 0;
        for key in &self.keys {
            if bytes >= ENOUGH {
                break;
            }
            swept.looked_at += 1;
            match decider.get(key)? {
                None => swept.unmoved.push(*key),
                Some(Err(_)) => {
                    // Of a damaged record nothing is known but its passed index entry.
                    decider.remove(key)?;
                    swept.removed.push(Ended::damaged(key));
                }
                // The record was written since, or the entry never belonged to it.
                Some(Ok(record)) if record.index_deadline() > self.moment.now => {
                    swept.unmoved.push(*key);
                }
                Some(Ok(record)) => {
                    swept.removed.extend(decider.remove_if_expired(key, record, self.moment)?);
                    bytes += decider.bytes_left_under(key);
                }
            }
        }
        Ok(Ok(swept))
    }

    fn weight(&self) -> usize {
        self.keys.len() * SMALL
    }
}

impl Decider<'_, '_> {
    fn bytes_left_under(&self, key: &SessionKey) -> usize {
        self.effects.changed.get(key).and_then(Option::as_ref).map_or(0, Record::tail_len)
    }

    /// Writes a touch. A damaged record stays unchanged.
    fn touch(&mut self, key: &SessionKey, at: Timestamp) -> RedbResult<()> {
        let Some(stored) = self.get(key)? else {
            self.effects.missing.push(*key);
            return Ok(());
        };
        if let Ok(stored) = stored {
            let touched = stored.clone().touched(at);
            if touched != stored {
                self.effects.change(*key, Some(in_place_of(&stored, touched)));
            }
        }
        self.effects.touched.insert(*key, at);
        Ok(())
    }

    /// Removes the session if it is expired. Otherwise moves its index entry to its true deadline.
    fn remove_if_expired(
        &mut self,
        key: &SessionKey,
        mut record: Record,
        moment: Moment,
    ) -> RedbResult<Option<Ended>> {
        let expired = self.view.touches.condemn_if(key, |activity| {
            activity.touch(&mut record, || moment.timeouts);
            record.is_expired(moment)
        });
        if expired {
            self.remove(key)?;
            return Ok(Some(Ended::of(key, &record, moment)));
        }
        let deadline = record.deadline(&moment.timeouts);
        self.effects.touched.insert(*key, record.last_active());
        self.effects.change(*key, Some(record.indexed_under(deadline)));
        Ok(None)
    }
}
