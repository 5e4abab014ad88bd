//! Every call of the contract as one statement or transaction.
//!
//! Invariant: a call changes something in one transaction alone, so that it happens wholly or not at
//! all.

use std::time::Duration;

use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::network::backend::{Attempt, Backend, Connection, Page, Removal, Shown};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::server::Server;
use crate::engine::network::stored::{session_key, user_key};
use crate::engine::outcome::{Ended, Insert, Listing, Rekey, Replace, Sweep, Visit};
use crate::engine::sql::Sql;
use crate::engine::sql::columns::{MomentColumns, clamped, first_key, next_key, time};
use crate::engine::sql::dialect::Dialect as _;
use crate::engine::sql::mysql::statements::Text;
use crate::engine::sql::mysql::wire::MysqlConnection;
use crate::engine::sql::mysql::{Mysql, Step};
use crate::engine::sql::rows::{
    Row as _, found, garbled, key_of, one_count, one_number, rows_of, shown,
};
use crate::engine::sql::saving::{Save, shard_of};
use crate::engine::sql::value::Value;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// How many users a page holds.
const USERS: i64 = 500;

/// How many records one step of a reindexing looks at.
const REINDEXED: i64 = 1_000;

impl Backend for Sql<Mysql> {
    type Connection = MysqlConnection;

    const LISTING: Listing = Listing::Snapshot;

    fn server(&self) -> &str {
        &self.server
    }

    fn connect(&self, deadline: Deadline) -> Attempt<MysqlConnection> {
        self.dialect.connect(deadline)
    }

    fn server_time(&self, on: &mut MysqlConnection) -> Attempt<Timestamp> {
        one_number(&self.rows(on, Text::Now, &[])?).map(time)
    }

    fn insert(
        &self,
        on: &mut MysqlConnection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        self.insert_record(on, key, record, moment, limits)
    }

    fn load(&self, on: &mut MysqlConnection, key: &SessionKey) -> Attempt<Option<Record>> {
        found(key, self.rows(on, Text::Load, &[Value::Key(key)])?.first())
    }

    fn extend(
        &self,
        on: &mut MysqlConnection,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Attempt<Option<Record>> {
        let columns = MomentColumns::of(moment);
        let resolution = u64::try_from(resolution.as_millis()).unwrap_or(u64::MAX);
        let values = [
            Value::Key(key),
            Value::Number(columns.now),
            Value::Number(clamped(resolution)),
            Value::Number(columns.inactivity),
            Value::Number(columns.absolute),
        ];
        // The row that the first has touched is the one that the second shows, or a later one.
        let steps: [Step<'_>; 2] = [(Text::Touch, &values), (Text::ShowLive, &values)];
        let outcomes = self.carry_out(on, &steps)?;
        match outcomes.last().and_then(|outcome| outcome.rows.first()) {
            Some(row) if row.bool(5) == Some(true) => {
                Err(Failure::RolledBack(source("the record changed meanwhile")))
            }
            row => found(key, row),
        }
    }

    fn replace(
        &self,
        on: &mut MysqlConnection,
        key: &SessionKey,
        expected_revision: u64,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Replace> {
        let per_user = limits.per_user;
        let save = Save { old: key, new: None, expected_revision, record, moment, per_user };
        Ok(match self.save_record(on, &save)? {
            Rekey::Done(saved) => Replace::Done(saved),
            Rekey::Conflict => Replace::Conflict,
            Rekey::UserFull => Replace::UserFull,
            Rekey::Missing | Rekey::Occupied => Replace::Missing,
        })
    }

    fn rekey(
        &self,
        on: &mut MysqlConnection,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Rekey> {
        let (new, per_user) = (Some(new), limits.per_user);
        self.save_record(on, &Save { old, new, expected_revision, record, moment, per_user })
    }

    fn remove(
        &self,
        on: &mut MysqlConnection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Removal> {
        let [now, inactivity, absolute] = of(moment);
        let owner = Value::MaybeBytes(owner.map(UserKey::as_bytes));
        let looking = [Value::Key(key), owner, now, inactivity, absolute];
        let removing = [Value::Key(key), owner];
        let counting = [Value::Key(key), owner, Value::Number(shard_of(key))];
        let steps: [Step<'_>; 5] = [
            (Text::Begin, &[]),
            (Text::LookToRemove, &looking),
            (Text::CountRemoved, &counting),
            (Text::Remove, &removing),
            (Text::Commit, &[]),
        ];
        let outcomes = self.carry_out(on, &steps)?;
        let Some(row) = rows_of(&outcomes, 1).first() else { return Ok(Removal::Absent) };
        Ok(match row.bool(1).ok_or_else(garbled)? {
            false => Removal::Expired,
            true => Removal::Ended(Ended { key: *key, user: row.bytes(0).and_then(user_key) }),
        })
    }

    fn remove_user(
        &self,
        on: &mut MysqlConnection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Ended>> {
        let [now, inactivity, absolute] = of(moment);
        let name = [Value::Bytes(user.as_bytes())];
        let looking = [Value::Bytes(user.as_bytes()), now, inactivity, absolute];
        let steps: [Step<'_>; 6] = [
            (Text::Begin, &[]),
            (Text::MarkUser, &name),
            (Text::MarkedLive, &looking),
            (Text::CountMarked, &name),
            (Text::DeleteMarked, &name),
            (Text::Commit, &[]),
        ];
        let outcomes = self.carry_out(on, &steps)?;
        let ended = rows_of(&outcomes, 2).iter().map(|row| {
            let key = key_of(row, 0)?;
            Ok(Ended { key, user: Some(user.clone()) })
        });
        ended.collect()
    }

    fn remove_others(
        &self,
        on: &mut MysqlConnection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        let [now, inactivity, absolute] = of(moment);
        let this = [Value::Key(keep)];
        let looking = [Value::Key(keep), now, inactivity, absolute];
        let steps: [Step<'_>; 7] = [
            (Text::Begin, &[]),
            (Text::LookToKeep, &looking),
            (Text::MarkOthers, &looking),
            (Text::OthersLive, &looking),
            (Text::CountOthers, &this),
            (Text::DeleteOthers, &this),
            (Text::Commit, &[]),
        ];
        let outcomes = self.carry_out(on, &steps)?;
        let Some(kept) = rows_of(&outcomes, 1).first() else { return Ok(None) };
        let user = kept.bytes(0).and_then(user_key);
        let ended = rows_of(&outcomes, 3).iter().map(|row| {
            let key = key_of(row, 0)?;
            Ok(Ended { key, user: user.clone() })
        });
        ended.collect::<Attempt<Vec<_>>>().map(Some)
    }

    fn rename_user(
        &self,
        on: &mut MysqlConnection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<u64> {
        let [now, inactivity, absolute] = of(moment);
        let (old, new) = (Value::Bytes(old.as_bytes()), Value::Bytes(new.as_bytes()));
        let (name, looking, renaming) = ([old], [old, now, inactivity, absolute], [old, new]);
        let steps: [Step<'_>; 5] = [
            (Text::Begin, &[]),
            (Text::MarkUser, &name),
            (Text::CountMarkedLive, &looking),
            (Text::RenameMarked, &renaming),
            (Text::Commit, &[]),
        ];
        let outcomes = self.carry_out(on, &steps)?;
        one_count(rows_of(&outcomes, 2))
    }

    fn user_page(
        &self,
        on: &mut MysqlConnection,
        user: &UserKey,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Attempt<Page<Shown>> {
        let Some(from) = first_key(after) else {
            return Ok(Page { items: Vec::new(), more: false });
        };
        let user = Value::Bytes(user.as_bytes());
        let values = [user, Value::Key(&from), Value::Number(limit as i64)];
        let rows = self.rows(on, Text::OfUser, &values)?;
        let items = rows.iter().map(shown).collect::<Attempt<Vec<_>>>()?;
        Ok(Page { more: items.len() == limit, items })
    }

    fn users_page(
        &self,
        on: &mut MysqlConnection,
        after: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Page<(UserKey, u64)>> {
        let [now, inactivity, absolute] = of(moment);
        let after = Value::Bytes(after.map(UserKey::as_bytes).unwrap_or_default());
        let values = [after, now, inactivity, absolute, Value::Number(USERS)];
        let rows = self.rows(on, Text::Users, &values)?;
        let items = rows.iter().map(|row| {
            let user = row.bytes(0).and_then(user_key);
            let sessions = row.number(1).and_then(|sessions| u64::try_from(sessions).ok());
            user.zip(sessions).ok_or_else(garbled)
        });
        let items = items.collect::<Attempt<Vec<_>>>()?;
        Ok(Page { more: items.len() == USERS as usize, items })
    }

    fn scan(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        self.show(server, after, visit)
    }

    fn check(
        &self,
        server: &Server<Self>,
        timeouts: &Timeouts,
        inspect: &mut Inspect<'_>,
    ) -> Result<Checked> {
        self.compare(server, timeouts, inspect)
    }

    fn remove_expired(
        &self,
        on: &mut MysqlConnection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        let [now, inactivity, absolute] = of(moment);
        let rows = self.rows(on, Text::Due, &[now, Value::Number(limit as i64)])?;
        let more = rows.len() == limit;
        let keys = rows.iter().map(|row| key_of(row, 0)).collect::<Attempt<Vec<_>>>()?;
        if keys.is_empty() {
            return Ok(Sweep { removed: Vec::new(), more: false, busy: true });
        }
        let these = [Value::Keys(&keys)];
        let judging = [now, inactivity, absolute, Value::Keys(&keys)];
        let steps: [Step<'_>; 7] = [
            (Text::Begin, &[]),
            (Text::MarkDue, &judging),
            (Text::MarkedKeys, &these),
            (Text::CountMarkedKeys, &these),
            (Text::DeleteMarkedKeys, &these),
            (Text::MoveEarly, &judging),
            (Text::Commit, &[]),
        ];
        let outcomes = self.carry_out(on, &steps)?;
        let removed = rows_of(&outcomes, 2)
            .iter()
            .map(|row| Ok(Ended { key: key_of(row, 0)?, user: row.bytes(1).and_then(user_key) }));
        Ok(Sweep { removed: removed.collect::<Attempt<Vec<_>>>()?, more, busy: true })
    }

    fn reindex(
        &self,
        on: &mut MysqlConnection,
        timeouts: &Timeouts,
        from: Option<Vec<u8>>,
    ) -> Attempt<Option<Vec<u8>>> {
        let from = from.unwrap_or_else(|| vec![0; 16]);
        let from = session_key(&from).ok_or_else(garbled)?;
        let (inactivity, absolute) = timeouts.as_millis();
        let page = self.rows(on, Text::PageEnd, &[Value::Key(&from), Value::Number(REINDEXED)])?;
        let row = page.first().ok_or_else(garbled)?;
        let Some(last) = row.bytes(0).and_then(session_key) else { return Ok(None) };
        let values = [
            Value::Key(&from),
            Value::Key(&last),
            Value::Number(clamped(inactivity)),
            Value::Number(clamped(absolute)),
        ];
        self.rows(on, Text::Reindex, &values)?;
        let is_full = row.number(1) == Some(REINDEXED);
        Ok(next_key(&last).filter(|_| is_full).map(|key| key.as_bytes().to_vec()))
    }

    fn count(&self, server: &Server<Self>, moment: Moment) -> Result<u64> {
        server.read(|sql, on| one_count(&sql.rows(on, Text::CountLive, &of(moment))?))
    }

    /// Row by row, so that it is one transaction with the count. What is added meanwhile waits.
    fn clear(&self, on: &mut MysqlConnection) -> Attempt<()> {
        on.set_deadline(Deadline::after(self.clearing));
        let steps: [Step<'_>; 6] = [
            (Text::Repeatable, &[]),
            (Text::Begin, &[]),
            (Text::LockAll, &[]),
            (Text::ClearRows, &[]),
            (Text::CountCleared, &[]),
            (Text::Commit, &[]),
        ];
        self.carry_out(on, &steps).map(drop)
    }

    fn load_meta(&self, on: &mut MysqlConnection, name: &str) -> Attempt<Option<Vec<u8>>> {
        let rows = self.rows(on, Text::LoadMeta, &[Value::Text(name)])?;
        Ok(rows.first().and_then(|row| row.bytes(0)).map(<[u8]>::to_vec))
    }

    fn store_meta(&self, on: &mut MysqlConnection, name: &str, value: &[u8]) -> Attempt<()> {
        self.rows(on, Text::StoreMeta, &[Value::Text(name), Value::Bytes(value)]).map(drop)
    }

    fn init_meta(&self, on: &mut MysqlConnection, name: &str, value: &[u8]) -> Attempt<Vec<u8>> {
        let (name, value) = (Value::Text(name), Value::Bytes(value));
        let (storing, loading) = ([name, value], [name]);
        let steps: [Step<'_>; 2] = [(Text::InitMeta, &storing), (Text::LoadMeta, &loading)];
        let outcomes = self.carry_out(on, &steps)?;
        let found = rows_of(&outcomes, 1).first().and_then(|row| row.bytes(0));
        found.map(<[u8]>::to_vec).ok_or_else(garbled)
    }

    fn stored(&self, on: &mut MysqlConnection) -> Attempt<u64> {
        one_count(&self.rows(on, Text::Stored, &[])?)
    }
}

/// Now, and the two timeouts.
fn of(moment: Moment) -> [Value<'static>; 3] {
    let columns = MomentColumns::of(moment);
    [columns.now, columns.inactivity, columns.absolute].map(Value::Number)
}
