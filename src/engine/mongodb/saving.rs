//! Storing records, within the limits.
//!
//! Invariant: no number of hosts can exceed a limit. Far below the limit, one command stores; near
//! it, a transaction makes a change that conflicts with all others near the limit, then reads and
//! stores. The lock of a user is taken before the lock of the store.

use std::time::Duration;

use crate::engine::limits::{Limits, PerUser};
use crate::engine::mongodb::bson::{Document, View, bson};
use crate::engine::mongodb::documents::{
    LONGEST, expected, key_of, lock_name, name_of, number, outline_of, replaced, user_of,
};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::transaction::{Step, Transaction};
use crate::engine::mongodb::wire::{MongodbConnection, Reply, garbled};
use crate::engine::mongodb::{Mongodb, on_a_majority};
use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::stored::columns::{Columns, as_column, saved_at};
use crate::engine::network::stored::last_count::{Asked, is_near};
use crate::engine::outcome::{Ended, Insert, Rekey, Saved};
use crate::error::Error;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

/// The lock near the limit on the number of sessions. No user has this name.
const LIMIT_LOCK: &str = "*";

/// Inserts count the records this often, so that the last count shows room for the next insert.
const COUNTED_EVERY: Duration = Duration::from_millis(250);

/// A save, under the old key or a new one.
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

    /// Inserts while the store's limit is out of reach.
    fn insert_far(
        &self,
        on: &mut MongodbConnection,
        key: &SessionKey,
        columns: &Columns,
        max: u64,
    ) -> Attempt<Insert> {
        let insert = self.lasting(self.inserting(key, columns));
        let mut commands = vec![self.here(insert)];
        if max < u64::MAX && !self.last_count.is_younger_than(COUNTED_EVERY) {
            commands.push(self.here(self.counting()));
        }
        let asked = Asked::now();
        let mut answers = on.ask(commands)?.into_iter();
        let done = answers.next().ok_or_else(garbled)?;
        if let Some(Ok(counted)) = answers.next() {
            self.note_counted(&counted, asked)?;
        }
        match done {
            Ok(_) => Ok(Insert::Done(Vec::new())),
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => Ok(Insert::Occupied),
            Err(refusal) => Err(refusal.failure(&self.hosts.server)),
        }
    }

    /// Whether the inserts in progress cannot reach the store's limit.
    fn is_far(&self, on: &mut MongodbConnection, max: u64) -> Attempt<bool> {
        if max == u64::MAX || self.last_count.shows_room(max) {
            return Ok(true);
        }
        let stored = self.count_all(on).map_err(Failure::harmless)?;
        Ok(!is_near(stored, max))
    }

    /// Counts the sessions, and remembers the number.
    pub(super) fn count_all(&self, on: &mut MongodbConnection) -> Attempt<u64> {
        let asked = Asked::now();
        let counted = self.carry_out(on, self.counting())?;
        self.note_counted(&counted, asked)
    }

    fn note_counted(&self, reply: &Reply, asked: Asked) -> Attempt<u64> {
        let stored = u64::try_from(number(reply.view(), "n")?).map_err(|_| garbled())?;
        self.last_count.note(stored, asked);
        Ok(stored)
    }

    /// Inserts in a transaction; others near the same limits conflict with it.
    fn insert_within(
        &self,
        within: &mut Transaction<'_>,
        key: &SessionKey,
        columns: &Columns,
        limited: Option<&(PerUser, UserKey)>,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        let mut is_locked = self.last_count.was_near(limits.max_sessions);
        let mut steps = Vec::new();
        if let Some((_, user)) = limited {
            steps.push(Step::In(self.locking(&lock_name(user))));
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
        let mut asked = Asked::now();
        let mut looked = self.looked(within, steps)?.into_iter().rev();
        let mut stored = match is_counted {
            true => self.note_counted(&looked.next().ok_or_else(garbled)?, asked)?,
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
        if is_near(stored, limits.max_sessions) && !is_locked {
            is_locked = true;
            let steps = [Step::In(self.locking(LIMIT_LOCK)), Step::Beside(self.counting())];
            asked = Asked::now();
            let counted = self.looked(within, steps)?.pop().ok_or_else(garbled)?;
            stored = self.note_counted(&counted, asked)?;
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
            Ok(_) => Ok(Insert::Done(Ended::over_a_limit(victims, limited.map(|(_, user)| user)))),
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
            // A rekey to the record's own key: that key is not free.
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
            // The record gets another user, whose limit needs a transaction.
            Looked::Found { user: before } if staying.is_some() && before != user => {
                self.transact(on, |within| self.save_within(within, save, &columns))
            }
            // The record changed between the two commands, and now has the expected revision.
            Looked::Found { .. } => {
                Err(Failure::RolledBack(source("the record changed meanwhile")))
            }
        }
    }

    /// The command that saves; if the user must stay, the filter contains the user.
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

    /// Saves in a transaction; other logins of the same user conflict with it.
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
            self.locking(&lock_name(&user)),
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
                // The record was read in the transaction, and had the expected revision.
                let saved = saved(reply, save.record)?.ok_or_else(garbled)?;
                Ok(Rekey::Done(Saved { ended: Ended::over_a_limit(victims, Some(&user)), ..saved }))
            }
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => Ok(Rekey::Occupied),
            Err(refusal) => Err(refusal.failure(&self.hosts.server)),
        }
    }

    /// Runs the first part of a transaction. Two that create the same lock at once conflict by its
    /// key.
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

    /// Refuses a record that is too long for a document.
    fn check_length(&self, columns: &Columns) -> Attempt<()> {
        let length = columns.bytes.len();
        if length <= LONGEST {
            return Ok(());
        }
        Err(Error::TooLarge { len: length, max: LONGEST }.into())
    }
}

/// The record under the old key.
enum Looked {
    Found {
        user: Option<UserKey>,
    },
    /// The outcome of the save, if that record prevents it.
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

/// The user's other records, with the fields that a limit needs.
fn others(reply: &Reply) -> Attempt<Vec<(SessionKey, Record)>> {
    let (heads, more) = reply.batch()?;
    if more.is_some() {
        return Err(Failure::not_now("the user has more sessions than one answer holds"));
    }
    heads.iter().map(|head: &View<'_>| Ok((key_of(*head)?, outline_of(*head)?))).collect()
}
