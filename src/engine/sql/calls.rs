//! The calls of the contract that dialects implement alike, each as one statement or transaction.
//!
//! Invariant: a call makes its changes in one transaction, so they happen wholly or not at all.

use std::time::Duration;

use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::network::backend::{Attempt, Backend, Connection, Page, Shown};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::server::Server;
use crate::engine::network::stored::columns::{MomentColumns, clamped, first_key, next_key, time};
use crate::engine::network::stored::{session_key, user_key};
use crate::engine::outcome::{Ended, Insert, Listing, Rekey, Replace, Sweep, Visit};
use crate::engine::sql::Sql;
use crate::engine::sql::dialect::{Dialect, Step};
use crate::engine::sql::rows::{
    Outcome as _, Row as _, ended, found, garbled, more_after, named_value, number_stored,
    one_count, rows_of, shown,
};
use crate::engine::sql::saving::Save;
use crate::engine::sql::statements::{Common, PAGE_BYTES};
use crate::engine::sql::value::Value;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The number of users in a page.
const USERS: i64 = 500;

/// How many records one step of a reindexing reads.
const REINDEXED: i64 = 1_000;

impl<D: Dialect> Backend for Sql<D> {
    type Connection = D::Connection;

    const LISTING: Listing = Listing::Snapshot;

    fn server(&self) -> &str {
        &self.server
    }

    fn connect(&self, deadline: Deadline) -> Attempt<D::Connection> {
        self.dialect.connect(deadline)
    }

    fn is_superseded(&self, deadline: Deadline) -> bool {
        self.dialect.is_superseded(deadline)
    }

    fn server_time(&self, on: &mut D::Connection) -> Attempt<Timestamp> {
        let rows = self.rows(on, Common::Now, &[])?;
        match rows.first().ok_or_else(garbled)?.number(0) {
            Some(now) => Ok(time(now)),
            None => Err(Failure::not_now("the server accepts no writes any more")),
        }
    }

    fn insert(
        &self,
        on: &mut D::Connection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        self.sum_if_due(on)?;
        self.insert_record(on, key, record, moment, limits)
    }

    fn load(&self, on: &mut D::Connection, key: &SessionKey) -> Attempt<Option<Record>> {
        found(key, self.rows(on, Common::Load, &[Value::Key(key)])?.first())
    }

    fn extend(
        &self,
        on: &mut D::Connection,
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
        let steps: Vec<Step<'_, D::Text>> =
            D::EXTEND.iter().map(|text| (*text, &values[..])).collect();
        let outcomes = self.carry_out(on, &steps)?;
        match outcomes.last().and_then(|outcome| outcome.rows().first()) {
            Some(row) if row.bool(5) == Some(true) => {
                Err(Failure::RolledBack(source("the record changed meanwhile")))
            }
            row => found(key, row),
        }
    }

    fn replace(
        &self,
        on: &mut D::Connection,
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
        on: &mut D::Connection,
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
        on: &mut D::Connection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Option<Ended>> {
        self.sum_if_due(on)?;
        let rows = D::remove(self, on, key, owner, moment)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let user = row.bytes(0).and_then(user_key);
        let is_live = row.bool(1).ok_or_else(garbled)?;
        Ok(Some(Ended { key: *key, user, expired: !is_live }))
    }

    fn remove_user(
        &self,
        on: &mut D::Connection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Ended>> {
        self.sum_if_due(on)?;
        let rows = D::remove_user(self, on, user, moment)?;
        rows.iter().map(|row| ended(row, 0, Some(user.clone()))).collect()
    }

    fn remove_others(
        &self,
        on: &mut D::Connection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        self.sum_if_due(on)?;
        D::remove_others(self, on, keep, moment)
    }

    fn rename_user(
        &self,
        on: &mut D::Connection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<u64> {
        one_count(&D::rename_user(self, on, old, new, moment)?)
    }

    fn user_page(
        &self,
        on: &mut D::Connection,
        user: &UserKey,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Attempt<Page<Shown>> {
        let Some(from) = first_key(after) else {
            return Ok(Page { items: Vec::new(), more: false });
        };
        let user = Value::Bytes(user.as_bytes());
        let limit = limit as i64;
        let values = [user, Value::Key(&from), Value::Number(limit), Value::Number(PAGE_BYTES)];
        let rows = self.rows(on, Common::OfUser, &values)?;
        let items = rows.iter().map(shown).collect::<Attempt<Vec<_>>>()?;
        Ok(Page { more: more_after(&rows, limit)?, items })
    }

    fn users_page(
        &self,
        on: &mut D::Connection,
        after: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Page<(UserKey, u64)>> {
        let [now, inactivity, absolute] = Value::of(moment);
        let after = Value::Bytes(after.map(UserKey::as_bytes).unwrap_or_default());
        let values = [after, now, inactivity, absolute, Value::Number(USERS)];
        let rows = self.rows(on, Common::Users, &values)?;
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
        on: &mut D::Connection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        self.sum_if_due(on)?;
        D::remove_expired(self, on, moment, limit)
    }

    fn reindex(
        &self,
        on: &mut D::Connection,
        timeouts: &Timeouts,
        from: Option<Vec<u8>>,
    ) -> Attempt<Option<Vec<u8>>> {
        let from = from.unwrap_or_else(|| vec![0; 16]);
        let from = session_key(&from).ok_or_else(garbled)?;
        let moved = D::reindex(self, on, timeouts, &from, REINDEXED)?;
        let next = moved.and_then(|(last, is_full)| next_key(&last).filter(|_| is_full));
        Ok(next.map(|key| key.as_bytes().to_vec()))
    }

    fn count(&self, server: &Server<Self>, moment: Moment) -> Result<u64> {
        server.read(|sql, on| {
            let outcomes = sql.carry_out(on, &[(Common::CountLive, &Value::of(moment))])?;
            number_stored(outcomes.first())
        })
    }

    fn clear(&self, on: &mut D::Connection) -> Attempt<()> {
        on.set_deadline(Deadline::after(self.clearing));
        D::clear(self, on)
    }

    fn load_meta(&self, on: &mut D::Connection, name: &str) -> Attempt<Option<Vec<u8>>> {
        Ok(named_value(&self.rows(on, Common::LoadMeta, &[Value::Text(name)])?))
    }

    fn store_meta(&self, on: &mut D::Connection, name: &str, value: &[u8]) -> Attempt<()> {
        self.rows(on, Common::StoreMeta, &[Value::Text(name), Value::Bytes(value)]).map(drop)
    }

    fn init_meta(&self, on: &mut D::Connection, name: &str, value: &[u8]) -> Attempt<Vec<u8>> {
        let (name, value) = (Value::Text(name), Value::Bytes(value));
        let (storing, loading) = ([name, value], [name]);
        let steps: [Step<'_>; 2] = [(Common::InitMeta, &storing), (Common::LoadMeta, &loading)];
        let outcomes = self.carry_out(on, &steps)?;
        let found = rows_of(&outcomes, 1).first().and_then(|row| row.bytes(0));
        found.map(<[u8]>::to_vec).ok_or_else(garbled)
    }

    fn stored(&self, on: &mut D::Connection) -> Attempt<u64> {
        number_stored(self.carry_out(on, &[(Common::Stored, &[])])?.first())
    }
}
