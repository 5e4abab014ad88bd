//! Moves deadlines, and removes sessions whose deadlines have passed.

use crate::engine::outcome::Ended;
use crate::engine::redb::commit::decide::{Decider, Loaded, in_place_of};
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
        let Loaded { decided, seen } = match decider.load(&self.key, self.moment)? {
            Some(Ok(loaded)) if !loaded.seen.is_expired(self.moment) => loaded,
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(_)) | None => return Ok(Ok(None)),
        };
        let now = self.moment.now;
        decider.touch(&self.key, decided.touched(now).last_active())?;
        Ok(Ok(Some(seen.touched(now))))
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
    /// The sessions that live only by what waiting calls have announced. Their entries stay for the
    /// next round.
    pub(in crate::engine::redb) spared: Vec<SessionKey>,
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
                    decider.remove(key, self.moment)?;
                    swept.removed.push(Ended::damaged(key));
                }
                // The record was written since, or the entry never belonged to it.
                Some(Ok(record)) if record.index_deadline() > self.moment.now => {
                    swept.unmoved.push(*key);
                }
                Some(Ok(record)) => {
                    match decider.remove_if_expired(key, record, self.moment)? {
                        Fate::Ended(ended) => swept.removed.push(ended),
                        Fate::Moved => {}
                        Fate::Spared => swept.spared.push(*key),
                    }
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

    /// Removes the session if it is expired. Otherwise moves its index entry to its true deadline,
    /// unless the session lives only by what is announced, which may not happen.
    fn remove_if_expired(
        &mut self,
        key: &SessionKey,
        stored: Record,
        moment: Moment,
    ) -> RedbResult<Fate> {
        let mut loaded = Loaded::stored(stored);
        let expired = self.view.touches.condemn_if(key, |activity| {
            loaded.touch(activity, moment);
            loaded.seen.is_expired(moment)
        });
        let Loaded { decided, seen } = loaded;
        if expired {
            self.remove(key, moment)?;
            return Ok(Fate::Ended(Ended::of(key, &seen, moment)));
        }
        if decided.is_expired(moment) {
            return Ok(Fate::Spared);
        }
        let deadline = decided.deadline(&moment.timeouts);
        self.effects.touched.insert(*key, decided.last_active());
        self.effects.change(*key, Some(decided.indexed_under(deadline)));
        Ok(Fate::Moved)
    }
}

/// What a sweep did with a session whose index entry has passed.
enum Fate {
    Ended(Ended),
    Moved,
    Spared,
}
