//! Storing records, within the limits.
//!
//! Invariant: no number of hosts gets past a limit. Far from it, one command stores; near it, a
//! transaction changes what others would have to change as well, looks, and stores. A user is
//! locked before the store is.

use crate::engine::limits::{Limits, PerUser};
use crate::engine::mongodb::bson::{Document, View, bson};
use crate::engine::mongodb::documents::{
    LONGEST, expected, key_of, name_of, number, outline_of, replaced, user_of,
};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::transaction::{Step, Transaction};
use crate::engine::mongodb::wire::{MongodbConnection, Reply, garbled};
use crate::engine::mongodb::{Mongodb, on_a_majority};
use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Since;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::stored::columns::{Columns, as_column, saved_at};
use crate::engine::outcome::{Ended, Insert, Rekey, Saved};
use crate::error::Error;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

/// How near the limit of the store is near: more than there are inserts under way at once.
const NEAR: u64 = 1_000;

/// What is locked by whoever comes near to the most sessions there may be. No user is named so.
const LIMIT_LOCK: &str = "*";

/// For how long a count is as good as a new one, and for how long it will do where not even half of
/// the sessions are there that there may be.
const FRESH_MS: u128 = 1_000;
const STALE_MS: u128 = 60_000;

/// How many sessions there were, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    stored: u64,
    since: Since,
}

/// A save, whether under the old key or a new one.
pub(super) struct Save<'a> {
    pub(super) old: &'a SessionKey,
    pub(super) new: Option<&'a SessionKey>,
    pub(super) expected_revision: u64,
    pub(super) record: &'a Record,
    pub(super) moment: Moment,
    pub(super) per_user: Option<PerUser>,
}

impl Mongodb {
    pub(super) fn insert_record(
        &self,
        on: &mut MongodbConnection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        let columns = Columns::of(key, record);
        self.check_length(&columns)?;
        let limited = limits.per_user.zip(record.user());
        if limited.is_none() && self.is_far(on, limits.max_sessions)? {
            return self.insert_far(on, key, &columns, limits.max_sessions);
        }
        self.transact(on, |within| {
            self.insert_within(within, key, &columns, limited.as_ref(), moment, limits)
        })
    }

    /// Where the limit of the store is out of reach.
    fn insert_far(
        &self,
        on: &mut MongodbConnection,
        key: &SessionKey,
        columns: &Columns,
        max: u64,
    ) -> Attempt<Insert> {
        let insert = self.lasting(self.inserting(key, columns));
        let mut commands = vec![self.here(insert)];
        // So that the next one knows how many there are.
        let is_fresh = self.counted_within(FRESH_MS).is_some();
        if max < u64::MAX && !is_fresh {
            commands.push(self.here(self.counting()));
        }
        let mut answers = on.ask(commands)?.into_iter();
        let done = answers.next().ok_or_else(garbled)?;
        if let Some(Ok(counted)) = answers.next() {
            self.note_counted(&counted)?;
        }
        match done {
            Ok(_) => Ok(Insert::Done(Vec::new())),
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => Ok(Insert::Occupied),
            Err(refusal) => Err(refusal.failure(&self.hosts.server)),
        }
    }

    /// Whether no number of inserts that are under way reaches the limit of the store.
    fn is_far(&self, on: &mut MongodbConnection, max: u64) -> Attempt<bool> {
        let half = max.saturating_sub(NEAR.max(max / 2));
        if max == u64::MAX || self.counted_within(STALE_MS).is_some_and(|stored| stored < half) {
            return Ok(true);
        }
        let stored = self.count_all(on).map_err(Failure::harmless)?;
        Ok(stored.saturating_add(NEAR) <= max)
    }

    /// How many sessions there are, which is remembered.
    pub(super) fn count_all(&self, on: &mut MongodbConnection) -> Attempt<u64> {
        let counted = self.carry_out(on, self.counting())?;
        self.note_counted(&counted)
    }

    fn counted_within(&self, millis: u128) -> Option<u64> {
        let counted = *self.counted.lock();
        counted.filter(|one| one.since.elapsed().as_millis() < millis).map(|one| one.stored)
    }

    fn note_counted(&self, reply: &Reply) -> Attempt<u64> {
        let stored = u64::try_from(number(reply.view(), "n")?).map_err(|_| garbled())?;
        *self.counted.lock() = Some(Counted { stored, since: Since::now() });
        Ok(stored)
    }

    /// In a transaction that whoever comes near the same limits comes in the way of.
    fn insert_within(
        &self,
        within: &mut Transaction<'_>,
        key: &SessionKey,
        columns: &Columns,
        limited: Option<&(PerUser, UserKey)>,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        let is_near = |stored: u64| stored.saturating_add(NEAR) > limits.max_sessions;
        let mut is_locked = self.counted_within(STALE_MS).is_some_and(is_near);
        let mut steps = Vec::new();
        if let Some((_, user)) = limited {
            steps.push(Step::In(self.locking(&name_of(user))));
        }
        if is_locked {
            steps.push(Step::In(self.locking(LIMIT_LOCK)));
        }
        steps.push(Step::In(self.finding(key)));
        if let Some((_, user)) = limited {
            steps.push(Step::In(self.finding_others(user)));
        }
        let is_counted = limits.max_sessions < u64::MAX;
        if is_counted {
            steps.push(Step::Beside(self.counting()));
        }
        let mut looked = self.looked(within, steps)?.into_iter().rev();
        let mut stored = match is_counted {
            true => self.note_counted(&looked.next().ok_or_else(garbled)?)?,
            false => 0,
        };
        let victims = match limited {
            None => Some(Vec::new()),
            Some((limit, _)) => {
                limit.make_room(others(&looked.next().ok_or_else(garbled)?)?, moment)
            }
        };
        if is_there(&looked.next().ok_or_else(garbled)?)? {
            return within.give_up(Insert::Occupied);
        }
        let Some(victims) = victims else { return within.give_up(Insert::UserFull) };
        if is_near(stored) && !is_locked {
            is_locked = true;
            let steps = [Step::In(self.locking(LIMIT_LOCK)), Step::Beside(self.counting())];
            let counted = self.looked(within, steps)?.pop().ok_or_else(garbled)?;
            stored = self.note_counted(&counted)?;
        }
        if is_locked && stored.saturating_sub(victims.len() as u64) >= limits.max_sessions {
            return within.give_up(Insert::Full);
        }
        let mut steps = Vec::new();
        if !victims.is_empty() {
            steps.push(Step::In(self.ending(&victims)));
        }
        steps.push(Step::In(self.inserting(key, columns)));
        match within.commit(steps)? {
            Ok(_) => Ok(Insert::Done(ended(victims, limited.map(|(_, user)| user)))),
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => Ok(Insert::Occupied),
            Err(refusal) => Err(refusal.failure(&self.hosts.server)),
        }
    }

    pub(super) fn save_record(
        &self,
        on: &mut MongodbConnection,
        save: &Save<'_>,
    ) -> Attempt<Rekey> {
        if save.new == Some(save.old) {
            // Its own key is not free either.
            return Ok(match self.look(on, save)? {
                Looked::Found { .. } => Rekey::Occupied,
                Looked::Not(outcome) => outcome,
            });
        }
        let columns = Columns::of(save.new.unwrap_or(save.old), save.record);
        self.check_length(&columns)?;
        let user = save.record.user();
        let staying = save.per_user.and(user.as_ref());
        let saving = self.lasting(self.saving(save, &columns, staying));
        match self.ask(on, saving)? {
            Ok(reply) => {
                if let Some(saved) = saved(&reply, save.record)? {
                    return Ok(Rekey::Done(saved));
                }
            }
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => return Ok(Rekey::Occupied),
            Err(refusal) => return Err(refusal.failure(&self.hosts.server)),
        }
        match self.look(on, save)? {
            Looked::Not(outcome) => Ok(outcome),
            // Another's user: there is a limit, and it takes a transaction.
            Looked::Found { user: before } if staying.is_some() && before != user => {
                self.transact(on, |within| self.save_within(within, save, &columns))
            }
            // It changed between the two commands, and has what is expected after all.
            Looked::Found { .. } => {
                Err(Failure::RolledBack(source("the record changed meanwhile")))
            }
        }
    }

    /// The one command; a user that has to stay is a part of what it looks for.
    fn saving(&self, save: &Save<'_>, columns: &Columns, staying: Option<&UserKey>) -> Document {
        let query = expected(save.old, save.expected_revision, save.moment)
            .with_some("u", staying.map(name_of).as_ref());
        bson! {
            "findAndModify": &self.sessions,
            "query": query,
            "update": replaced(save.new, columns),
            "new": true,
            "fields": bson! { "_id": false, "a": true },
        }
    }

    /// In a transaction that other logins of the same user come in the way of.
    fn save_within(
        &self,
        within: &mut Transaction<'_>,
        save: &Save<'_>,
        columns: &Columns,
    ) -> Attempt<Rekey> {
        let Some((limit, user)) = save.per_user.zip(save.record.user()) else {
            return Err(garbled());
        };
        let steps = [
            self.locking(&name_of(&user)),
            self.finding(save.old),
            self.finding(save.new.unwrap_or(save.old)),
            self.finding_others(&user),
        ];
        let looked = self.looked(within, steps.map(Step::In))?;
        let [_, old, new, of_user] = looked.as_slice() else { return Err(garbled()) };
        let user_before = match judged(old, save)? {
            Looked::Not(outcome) => return within.give_up(outcome),
            Looked::Found { user } => user,
        };
        if save.new.is_some() && is_there(new)? {
            return within.give_up(Rekey::Occupied);
        }
        let victims = match user_before.as_ref() == Some(&user) {
            true => Some(Vec::new()),
            false => limit.make_room(others(of_user)?, save.moment),
        };
        let Some(victims) = victims else { return within.give_up(Rekey::UserFull) };
        let mut steps = vec![Step::In(self.saving(save, columns, None))];
        if !victims.is_empty() {
            steps.push(Step::In(self.ending(&victims)));
        }
        match within.commit(steps)? {
            Ok(replies) => {
                let reply = replies.first().ok_or_else(garbled)?;
                // It was looked at in the transaction, and had what was expected.
                let saved = saved(reply, save.record)?.ok_or_else(garbled)?;
                Ok(Rekey::Done(Saved { ended: ended(victims, Some(&user)), ..saved }))
            }
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => Ok(Rekey::Occupied),
            Err(refusal) => Err(refusal.failure(&self.hosts.server)),
        }
    }

    /// The first part of a transaction. Two that make the same lock meet as a key that is taken.
    fn looked(
        &self,
        within: &mut Transaction<'_>,
        steps: impl IntoIterator<Item = Step>,
    ) -> Attempt<Vec<Reply>> {
        within.ask(steps).map_err(Failure::harmless)?.map_err(|refusal| match refusal.code {
            Refusal::DUPLICATE_KEY => {
                Failure::RolledBack(source("another made the same lock first"))
            }
            _ => refusal.failure(&self.hosts.server),
        })
    }

    fn look(&self, on: &mut MongodbConnection, save: &Save<'_>) -> Attempt<Looked> {
        let find = self.finding(save.old).with("readConcern", on_a_majority());
        judged(&self.carry_out(on, find)?, save)
    }

    /// Refuses a record that no document holds.
    fn check_length(&self, columns: &Columns) -> Attempt<()> {
        let length = columns.bytes.len();
        if length <= LONGEST {
            return Ok(());
        }
        let reason =
            format!("the record has {length} bytes, and the server holds {LONGEST} of one");
        let server = self.hosts.server.clone();
        Err(Error::Unavailable { server, source: source(reason) }.into())
    }
}

/// What is under the old key.
enum Looked {
    Found {
        user: Option<UserKey>,
    },
    /// What became of the save for that.
    Not(Rekey),
}

fn judged(reply: &Reply, save: &Save<'_>) -> Attempt<Looked> {
    let (documents, _) = reply.batch()?;
    let Some(head) = documents.first() else { return Ok(Looked::Not(Rekey::Missing)) };
    let is_live = !outline_of(*head)?.is_expired(save.moment);
    let is_expected = number(*head, "r")? == as_column(save.expected_revision);
    Ok(match (is_live, is_expected) {
        (false, _) => Looked::Not(Rekey::Missing),
        (true, false) => Looked::Not(Rekey::Conflict),
        (true, true) => Looked::Found { user: user_of(*head) },
    })
}

fn is_there(reply: &Reply) -> Attempt<bool> {
    Ok(!reply.batch()?.0.is_empty())
}

fn saved(reply: &Reply, record: &Record) -> Attempt<Option<Saved>> {
    let Some(value) = reply.value() else { return Ok(None) };
    let last_active = saved_at(number(value, "a")?, record);
    Ok(Some(Saved { last_active, ended: Vec::new() }))
}

/// The user's other records, as far as a limit goes by them.
fn others(reply: &Reply) -> Attempt<Vec<(SessionKey, Record)>> {
    let (heads, more) = reply.batch()?;
    if more.is_some() {
        return Err(Failure::not_now("the user has more sessions than one answer holds"));
    }
    heads.iter().map(|head: &View<'_>| Ok((key_of(*head)?, outline_of(*head)?))).collect()
}

fn ended(victims: Vec<SessionKey>, user: Option<&UserKey>) -> Vec<Ended> {
    victims.into_iter().map(|key| Ended { key, user: user.cloned() }).collect()
}
