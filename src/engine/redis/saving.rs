//! Storing records, within the limits.
//!
//! Invariant: [`PerUser::make_room`](crate::engine::limits::PerUser::make_room) decides which of a
//! user's sessions end, from the result of one script. A second script applies that decision only
//! if the user's sessions are unchanged; otherwise both scripts are repeated.

use crate::engine::limits::PerUser;
use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::Failure;
use crate::engine::network::stored::session_key;
use crate::engine::outcome::{Ended, Insert, Rekey, Saved};
use crate::engine::redis::Redis;
use crate::engine::redis::ask::{Effect, RedisConnection};
use crate::engine::redis::scripts::{INSERT, ROOM, SAVE};
use crate::engine::redis::value::{self, digits, indexed, outlined};
use crate::engine::redis::wire::{Reply, garbled};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;

/// How often the two scripts are repeated while others keep changing the user's sessions.
const MOST_LOOKS: u32 = 20;

/// The moment as arguments of a script: now, and the two timeouts.
pub(super) struct MomentText {
    pub(super) now: String,
    pub(super) inactivity: String,
    pub(super) absolute: String,
}

impl MomentText {
    pub(super) fn of(moment: Moment) -> Self {
        let (inactivity, absolute) = moment.timeouts.as_millis();
        Self {
            now: digits(moment.now.as_millis()),
            inactivity: digits(inactivity),
            absolute: digits(absolute),
        }
    }
}

/// A deadline as a score, which is a double: exact up to 2^53 milliseconds, and capped there.
pub(super) fn score(deadline: Timestamp) -> String {
    deadline.as_millis().min(1 << 53).to_string()
}

/// The sessions that must end before a record is stored, from one look-up.
struct Room {
    is_taken: bool,
    /// A digest of the user's sessions; the second script compares it.
    fingerprint: Vec<u8>,
    /// `None` if the record is refused.
    victims: Option<Vec<Victim>>,
}

struct Victim {
    key: SessionKey,
    last_active: String,
}

/// A save, under the old key or a new one.
pub(super) struct Save<'a> {
    pub(super) old: &'a SessionKey,
    pub(super) new: Option<&'a SessionKey>,
    pub(super) expected_revision: u64,
    pub(super) record: &'a Record,
    pub(super) moment: Moment,
    pub(super) per_user: Option<PerUser>,
}

impl Redis {
    pub(super) fn insert_record(
        &self,
        on: &mut RedisConnection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        (max_sessions, per_user): (u64, Option<PerUser>),
    ) -> Attempt<Insert> {
        let user = record.user();
        let name = user.as_ref().map(indexed).unwrap_or_default();
        let (value, score) = (value::encode(key, record), score(record.index_deadline()));
        let max = max_sessions.to_string();
        for _ in 0..MOST_LOOKS {
            let room = match (per_user, &user) {
                (Some(limit), Some(user)) => {
                    let room = self.look_for_room(on, user, key, limit, moment)?;
                    if room.is_taken {
                        return Ok(Insert::Occupied);
                    }
                    room
                }
                _ => Room { is_taken: false, fingerprint: Vec::new(), victims: Some(Vec::new()) },
            };
            let Some(victims) = room.victims else { return Ok(Insert::UserFull) };
            let keys = self.keys.of([key].into_iter().chain(victims.iter().map(|one| &one.key)));
            let mut arguments: Vec<&[u8]> =
                vec![key.as_bytes(), &value, score.as_bytes(), &name, max.as_bytes()];
            arguments.push(&room.fingerprint);
            push_victims(&mut arguments, &victims);
            let reply = self.script(on, Effect::Writes, INSERT, &keys, &arguments)?;
            match reply.bytes().ok_or_else(garbled)?.as_slice() {
                b"done" => return Ok(Insert::Done(ended(victims, user.as_ref()))),
                b"occupied" => return Ok(Insert::Occupied),
                b"full" => return Ok(Insert::Full),
                b"again" => {}
                _ => return Err(garbled()),
            }
        }
        Err(too_busy())
    }

    pub(super) fn save_record(&self, on: &mut RedisConnection, save: &Save<'_>) -> Attempt<Rekey> {
        let user = save.record.user();
        let name = user.as_ref().map(indexed).unwrap_or_default();
        let key = save.new.unwrap_or(save.old);
        let value = value::encode(key, save.record);
        let score = score(save.record.index_deadline());
        let moment = MomentText::of(save.moment);
        let revision = digits(save.expected_revision);
        let new = save.new.map(|new| new.as_bytes().as_slice()).unwrap_or_default();
        // Usually a record keeps its user, and then needs no room.
        let mut guard = match (save.per_user, &user) {
            (Some(_), Some(_)) => b"same".to_vec(),
            _ => Vec::new(),
        };
        let mut victims = Vec::new();
        for _ in 0..MOST_LOOKS {
            let keys =
                [save.old, key].into_iter().chain(victims.iter().map(|one: &Victim| &one.key));
            let keys = self.keys.of(keys);
            let mut arguments: Vec<&[u8]> = vec![save.old.as_bytes(), new, revision.as_bytes()];
            arguments.extend([moment.now.as_bytes(), moment.inactivity.as_bytes()]);
            arguments.extend([moment.absolute.as_bytes(), &value, score.as_bytes()]);
            arguments.extend([name.as_slice(), guard.as_slice()]);
            push_victims(&mut arguments, &victims);
            let reply = self.script(on, Effect::Writes, SAVE, &keys, &arguments)?;
            let said = reply.bytes().ok_or_else(garbled)?;
            match said.as_slice() {
                b"missing" => return Ok(Rekey::Missing),
                b"conflict" => return Ok(Rekey::Conflict),
                b"occupied" => return Ok(Rekey::Occupied),
                b"again" => {
                    guard = b"same".to_vec();
                    victims = Vec::new();
                }
                b"other" => {
                    let (Some(limit), Some(user)) = (save.per_user, &user) else {
                        return Err(garbled());
                    };
                    let room = self.look_for_room(on, user, key, limit, save.moment)?;
                    let Some(found) = room.victims else { return Ok(Rekey::UserFull) };
                    (guard, victims) = (room.fingerprint, found);
                }
                done => {
                    let last_active = done.strip_prefix(b"done").and_then(millis);
                    let last_active = last_active.ok_or_else(garbled)?;
                    return Ok(Rekey::Done(Saved {
                        last_active,
                        ended: ended(victims, user.as_ref()),
                    }));
                }
            }
        }
        Err(too_busy())
    }

    /// Looks up a user's sessions, and decides which of them must end before one more is stored.
    fn look_for_room(
        &self,
        on: &mut RedisConnection,
        user: &UserKey,
        key: &SessionKey,
        limit: PerUser,
        moment: Moment,
    ) -> Attempt<Room> {
        let arguments: [&[u8]; 2] = [&indexed(user), key.as_bytes()];
        let reply = self.script(on, Effect::Reads, ROOM, &self.keys.all(), &arguments)?;
        let mut found = reply.list().ok_or_else(garbled)?.into_iter();
        let is_taken = found.next().and_then(|taken| taken.number()).ok_or_else(garbled)? == 1;
        let fingerprint = found.next().and_then(Reply::bytes).ok_or_else(garbled)?;
        let mut others = Vec::new();
        while let (Some(key), Some(head)) = (found.next(), found.next()) {
            let key = key.bytes().and_then(|key| session_key(&key)).ok_or_else(garbled)?;
            // A damaged value is not a session of the user.
            if let Some(record) = head.bytes().and_then(|head| outlined(&head)) {
                others.push((key, record));
            }
        }
        let active: std::collections::HashMap<_, _> =
            others.iter().map(|(key, record)| (*key, record.last_active())).collect();
        let victims = limit.make_room(others, moment).map(|keys| {
            let victim = |key: SessionKey| {
                let last_active = active.get(&key).copied().unwrap_or_default();
                Victim { key, last_active: digits(last_active.as_millis()) }
            };
            keys.into_iter().map(victim).collect()
        });
        Ok(Room { is_taken, fingerprint, victims })
    }
}

fn push_victims<'a>(arguments: &mut Vec<&'a [u8]>, victims: &'a [Victim]) {
    for victim in victims {
        arguments.extend([victim.key.as_bytes().as_slice(), victim.last_active.as_bytes()]);
    }
}

fn ended(victims: Vec<Victim>, user: Option<&UserKey>) -> Vec<Ended> {
    Ended::over_a_limit(victims.into_iter().map(|victim| victim.key), user)
}

fn millis(text: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(text).ok()?.parse().ok().map(Timestamp::from_millis)
}

fn too_busy() -> Failure {
    Failure::not_now("others kept changing the sessions of this user")
}
