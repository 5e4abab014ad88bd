//! Storing records, within the limits.
//!
//! Invariant: no number of hosts can exceed a limit. Far below the limit, one round trip counts and
//! stores; near it, a transaction takes locks that all others near it need as well, then reads and
//! stores. The lock of a user is taken before the lock of the store.

use crate::engine::limits::{Limits, PerUser};
use crate::engine::network::backend::Attempt;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::stored::columns::{
    Columns, MomentColumns, as_column, outlined, saved_at,
};
use crate::engine::network::stored::last_count::{NEAR, is_near};
use crate::engine::network::stored::{lock_of, session_key};
use crate::engine::outcome::{Ended, Insert, Rekey, Saved};
use crate::engine::sql::Sql;
use crate::engine::sql::counts::shard_of;
use crate::engine::sql::dialect::{Dialect, Step};
use crate::engine::sql::rows::{Outcome, Row as _, garbled, number_stored};
use crate::engine::sql::statements::{Common, LIMIT_LOCK};
use crate::engine::sql::value::Value;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::moment::Moment;

/// A save, under the old key or a new one.
pub(super) struct Save<'a> {
    pub(super) old: &'a SessionKey,
    pub(super) new: Option<&'a SessionKey>,
    pub(super) expected_revision: u64,
    pub(super) record: &'a Record,
    pub(super) moment: Moment,
    pub(super) per_user: Option<PerUser>,
}

/// The columns as values of an insert.
pub(super) fn inserted<'a>(key: &'a SessionKey, columns: &'a Columns) -> Vec<Value<'a>> {
    vec![
        Value::Key(key),
        Value::Number(columns.revision),
        Value::Number(columns.last_active),
        Value::Number(columns.index_deadline),
        Value::Number(columns.created_at),
        Value::MaybeNumber(columns.inactivity),
        Value::MaybeNumber(columns.absolute),
        Value::MaybeBytes(columns.user.as_deref()),
        Value::Bytes(&columns.bytes),
    ]
}

impl<D: Dialect> Sql<D> {
    pub(super) fn insert_record(
        &self,
        on: &mut D::Connection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        let columns = Columns::of(key, record);
        let far = limits.max_sessions.saturating_sub(NEAR);
        let is_limited = limits.per_user.is_some() && columns.user.is_some();
        if !is_limited && self.last_count.shows_room(limits.max_sessions) {
            return self.insert_in_room(on, key, &columns);
        }
        if far > 0 && !is_limited {
            let far = i64::try_from(far).unwrap_or(i64::MAX);
            if let Some(done) = D::insert_far(self, on, key, &columns, far)? {
                return Ok(done);
            }
        }
        self.insert_within(on, key, &columns, record, moment, limits)
    }

    /// Inserts while the store's limit is out of reach, which needs no look at the counts.
    ///
    /// From 32 threads, inserts are 1.1 to 1.3 times as fast on MariaDB as with a sum of the counts
    /// in each (`bash tests/servers/run --bench mysql`).
    fn insert_in_room(
        &self,
        on: &mut D::Connection,
        key: &SessionKey,
        columns: &Columns,
    ) -> Attempt<Insert> {
        let values = inserted(key, columns);
        if let Some(statement) = D::INSERT_COUNTED {
            return self.inserted_by(on, &[(statement, &values[..])]);
        }
        let counted = [Value::Number(shard_of(key)), Value::Number(1)];
        let steps: [Step<'_>; 4] = [
            (Common::Begin, &[]),
            (Common::Insert, &values),
            (Common::Count, &counted),
            (Common::Commit, &[]),
        ];
        self.inserted_by(on, &steps)
    }

    /// Runs the statements that insert a record. Returns no ended sessions.
    fn inserted_by<T: Copy + Into<D::Text>>(
        &self,
        on: &mut D::Connection,
        steps: &[Step<'_, T>],
    ) -> Attempt<Insert> {
        match self.batch(on, steps)? {
            Ok(_) => Ok(Insert::Done(Vec::new())),
            Err(refusal) if D::is_taken(&refusal) => Ok(Insert::Occupied),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// Inserts in a transaction; other transactions near the same limits wait for it.
    fn insert_within(
        &self,
        on: &mut D::Connection,
        key: &SessionKey,
        columns: &Columns,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        let limited = limits.per_user.zip(record.user());
        let lock = limited.as_ref().map_or([0; 2], |(_, user)| lock_of(user));
        let lock = [Value::Bytes(&lock)];
        let name = [Value::Bytes(limited.as_ref().map_or(&[][..], |(_, user)| user.as_bytes()))];
        let this = [Value::Key(key)];
        let mut steps: Vec<Step<'_>> = vec![(Common::Exists, &this), (Common::Stored, &[])];
        if limited.is_some() {
            steps.insert(0, (Common::LockUser, &lock));
            steps.push((Common::Others, &name));
        }
        let mut looked = self.begin(on, &steps)?.into_iter().rev();
        let victims = match &limited {
            None => Some(Vec::new()),
            Some((limit, _)) => limit.make_room(others(looked.next().as_ref())?, moment),
        };
        let mut stored = number_stored(looked.next().as_ref())?;
        if looked.next().is_some_and(|found| !found.rows().is_empty()) {
            return self.give_up(on, Insert::Occupied);
        }
        let Some(victims) = victims else { return self.give_up(on, Insert::UserFull) };
        let is_near = is_near(stored, limits.max_sessions);
        if is_near {
            let lock = [Value::Number(LIMIT_LOCK)];
            let steps: [Step<'_>; 2] = [(Common::LockLimit, &lock), (Common::Stored, &[])];
            let counted = self.carry_out(on, &steps).map_err(Failure::harmless)?;
            stored = number_stored(counted.get(1))?;
        }
        if stored.saturating_sub(victims.len() as u64) >= limits.max_sessions {
            return self.give_up(on, Insert::Full);
        }
        let shard = if is_near && D::COUNTS_UNDER_LOCK { LIMIT_LOCK } else { shard_of(key) };
        let counted = [
            Value::Number(shard),
            Value::Number(1 - i64::try_from(victims.len()).unwrap_or(i64::MAX)),
        ];
        let (ending, values) = ([Value::Keys(&victims)], inserted(key, columns));
        let mut steps: Vec<Step<'_>> = Vec::new();
        if !victims.is_empty() {
            steps.push((Common::DeleteKeys, &ending));
        }
        steps.extend([(Common::Insert, &values[..]), (Common::Count, &counted[..])]);
        steps.push((Common::Commit, &[]));
        let done = self.inserted_by(on, &steps)?;
        Ok(match done {
            Insert::Done(_) => Insert::Done(Ended::over_a_limit(victims, record.user().as_ref())),
            other => other,
        })
    }

    pub(super) fn save_record(&self, on: &mut D::Connection, save: &Save<'_>) -> Attempt<Rekey> {
        if save.new == Some(save.old) {
            // A rekey to the record's own key: that key is not free.
            return Ok(match self.look(on, save, Common::Look)? {
                Looked::Found { .. } => Rekey::Occupied,
                Looked::Not(outcome) => outcome,
            });
        }
        let columns = Columns::of(save.new.unwrap_or(save.old), save.record);
        let user_stays = save.per_user.is_some() && columns.user.is_some();
        match self.save(on, save, &columns, user_stays)? {
            Some(done) => Ok(done),
            None => match self.look(on, save, Common::Look)? {
                Looked::Not(outcome) => Ok(outcome),
                // The record gets another user, whose limit needs a transaction.
                Looked::Found { user } if user_stays && user != columns.user => {
                    self.save_within(on, save, &columns)
                }
                // The record changed between the two statements, and now has the expected revision.
                Looked::Found { .. } => {
                    Err(Failure::RolledBack(source("the record changed meanwhile")))
                }
            },
        }
    }

    /// Saves with one statement; `None` if it changed no row.
    fn save(
        &self,
        on: &mut D::Connection,
        save: &Save<'_>,
        columns: &Columns,
        user_stays: bool,
    ) -> Attempt<Option<Rekey>> {
        let (text, values) = saving(save, columns, user_stays);
        match self.batch(on, &[(text, &values)])? {
            Ok(outcomes) => Ok(Self::saved(outcomes.first(), save.record)
                .map(|saved| Rekey::Done(Saved { ended: Vec::new(), ..saved }))),
            Err(refusal) if D::is_taken(&refusal) => Ok(Some(Rekey::Occupied)),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// Saves in a transaction; other logins of the same user wait for it.
    fn save_within(
        &self,
        on: &mut D::Connection,
        save: &Save<'_>,
        columns: &Columns,
    ) -> Attempt<Rekey> {
        let Some((limit, user)) = save.per_user.zip(save.record.user()) else {
            return Err(garbled());
        };
        let (lock, name) = (lock_of(&user), [Value::Bytes(user.as_bytes())]);
        let lock = [Value::Bytes(&lock)];
        let looking = looking(save);
        let new = [Value::Key(save.new.unwrap_or(save.old))];
        let steps: [Step<'_>; 4] = [
            (Common::LockUser, &lock),
            (Common::LookAndLock, &looking),
            (Common::Exists, &new),
            (Common::Others, &name),
        ];
        self.sum_if_due(on)?;
        let looked = self.begin(on, &steps)?;
        let user_before = match judged(looked.get(1), save)? {
            Looked::Not(outcome) => return self.give_up(on, outcome),
            Looked::Found { user } => user,
        };
        if save.new.is_some() && looked.get(2).is_some_and(|found| !found.rows().is_empty()) {
            return self.give_up(on, Rekey::Occupied);
        }
        let victims = match user_before == columns.user {
            true => Some(Vec::new()),
            false => limit.make_room(others(looked.get(3))?, save.moment),
        };
        let Some(victims) = victims else { return self.give_up(on, Rekey::UserFull) };
        let (text, values) = saving(save, columns, false);
        let fewer = -i64::try_from(victims.len()).unwrap_or(i64::MAX);
        let counted = [Value::Number(shard_of(save.old)), Value::Number(fewer)];
        let ending = [Value::Keys(&victims)];
        let mut steps: Vec<Step<'_>> = vec![(text, &values)];
        if !victims.is_empty() {
            steps.extend([(Common::DeleteKeys, &ending[..]), (Common::Count, &counted[..])]);
        }
        steps.push((Common::Commit, &[]));
        match self.batch(on, &steps)? {
            Ok(outcomes) => match Self::saved(outcomes.first(), save.record) {
                Some(saved) => Ok(Rekey::Done(Saved {
                    ended: Ended::over_a_limit(victims, Some(&user)),
                    ..saved
                })),
                // The row was locked, and had the expected revision.
                None => Err(garbled()),
            },
            Err(refusal) if D::is_taken(&refusal) => Ok(Rekey::Occupied),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    fn look(&self, on: &mut D::Connection, save: &Save<'_>, text: Common) -> Attempt<Looked> {
        let outcomes = self.carry_out(on, &[(text, &looking(save))])?;
        judged(outcomes.first(), save)
    }

    fn saved(outcome: Option<&D::Outcome>, record: &Record) -> Option<Saved> {
        let last_active = D::activity(outcome?)?;
        Some(Saved { last_active: saved_at(last_active, record), ended: Vec::new() })
    }

    /// Begins a transaction that writes, with its first steps; returns the outcome of each. The
    /// server ends it if the next ones do not come: this host may lose power.
    pub(super) fn begin(
        &self,
        on: &mut D::Connection,
        steps: &[Step<'_>],
    ) -> Attempt<Vec<D::Outcome>> {
        let limit = [Value::Text(&self.idle_limit)];
        let mut all: Vec<Step<'_, D::Text>> = vec![(Common::Begin.into(), &[])];
        all.extend(D::IDLE_LIMIT.map(|text| (text, &limit[..])));
        let before = all.len();
        all.extend(steps.iter().map(|(text, values)| ((*text).into(), *values)));
        let mut outcomes = self.carry_out(on, &all).map_err(Failure::harmless)?;
        Ok(outcomes.split_off(before.min(outcomes.len())))
    }

    /// Rolls back a transaction, and returns the outcome.
    fn give_up<T>(&self, on: &mut D::Connection, outcome: T) -> Attempt<T> {
        match D::say(on, "rollback").map_err(Failure::harmless)? {
            Ok(()) => Ok(outcome),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }
}

/// The record under the old key.
enum Looked {
    Found {
        user: Option<Vec<u8>>,
    },
    /// The outcome of the save, if that record prevents it.
    Not(Rekey),
}

fn looking<'a>(save: &Save<'a>) -> [Value<'a>; 4] {
    let moment = MomentColumns::of(save.moment);
    [
        Value::Key(save.old),
        Value::Number(moment.now),
        Value::Number(moment.inactivity),
        Value::Number(moment.absolute),
    ]
}

fn judged(outcome: Option<&impl Outcome>, save: &Save<'_>) -> Attempt<Looked> {
    let Some(row) = outcome.and_then(|outcome| outcome.rows().first()) else {
        return Ok(Looked::Not(Rekey::Missing));
    };
    let (revision, live) = row.number(0).zip(row.bool(2)).ok_or_else(garbled)?;
    Ok(match (live, revision == as_column(save.expected_revision)) {
        (false, _) => Looked::Not(Rekey::Missing),
        (true, false) => Looked::Not(Rekey::Conflict),
        (true, true) => Looked::Found { user: row.bytes(1).map(<[u8]>::to_vec) },
    })
}

fn saving<'a>(save: &Save<'a>, columns: &'a Columns, user_stays: bool) -> (Common, Vec<Value<'a>>) {
    let moment = MomentColumns::of(save.moment);
    let mut values = vec![
        Value::Key(save.old),
        Value::Number(as_column(save.expected_revision)),
        Value::Number(moment.now),
        Value::Number(moment.inactivity),
        Value::Number(moment.absolute),
        Value::Number(columns.revision),
        Value::Number(columns.last_active),
        Value::Number(columns.index_deadline),
        Value::Number(columns.created_at),
        Value::MaybeNumber(columns.inactivity),
        Value::MaybeNumber(columns.absolute),
        Value::MaybeBytes(columns.user.as_deref()),
        Value::Bytes(&columns.bytes),
        Value::Bool(user_stays),
    ];
    match save.new {
        None => (Common::Replace, values),
        Some(new) => {
            values.push(Value::Key(new));
            (Common::Rekey, values)
        }
    }
}

/// The user's other records, with the columns that a limit needs.
fn others<O: Outcome>(outcome: Option<&O>) -> Attempt<Vec<(SessionKey, Record)>> {
    let rows = outcome.map(Outcome::rows).unwrap_or_default();
    let other = |row: &O::Row| {
        let key = session_key(row.bytes(0)?)?;
        let record = outlined(row.number(1)?, row.number(2)?, row.number(3), row.number(4))?;
        Some((key, record))
    };
    rows.iter().map(|row| other(row).ok_or_else(garbled)).collect()
}
