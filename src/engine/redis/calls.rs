//! The calls of the contract, each as one script or command.
//!
//! Invariant: a call makes its changes in one script, so they happen wholly or not at all.

use std::time::Duration;

use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::network::backend::{Attempt, Backend, Page, Shown};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::server::Server;
use crate::engine::network::stored::session_key;
use crate::engine::outcome::{Ended, Insert, Listing, Rekey, Replace, Sweep, Visit};
use crate::engine::redis::Redis;
use crate::engine::redis::ask::{Effect, RedisConnection};
use crate::engine::redis::saving::{MomentText, Save, score};
use crate::engine::redis::scripts::{
    EXTEND, REINDEX, REMOVE, REMOVE_USER, RENAME, SWEEP, USER_PAGE, USERS_PAGE,
};
use crate::engine::redis::value::{self, digits, indexed, named};
use crate::engine::redis::wire::{Reply, garbled};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The bytes of records after which a page ends.
pub(super) const PAGE_BYTES: &str = "1048576";

const KEY_LEN: usize = 16;

impl Backend for Redis {
    type Connection = RedisConnection;

    const LISTING: Listing = Listing::Walk;

    fn server(&self) -> &str {
        &self.server
    }

    fn connect(&self, deadline: Deadline) -> Attempt<RedisConnection> {
        self.nodes.connect(self.replicas, deadline).map(RedisConnection::over)
    }

    fn server_time(&self, on: &mut RedisConnection) -> Attempt<Timestamp> {
        let reply = self.ask_primary(on, &[b"TIME"])?;
        let mut parts = reply.list().ok_or_else(garbled)?.into_iter();
        let mut part = || parts.next()?.text()?.parse::<u64>().ok();
        let (seconds, micros) = part().zip(part()).ok_or_else(garbled)?;
        Ok(Timestamp::from_millis(seconds.saturating_mul(1_000) + micros / 1_000))
    }

    fn insert(
        &self,
        on: &mut RedisConnection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        self.insert_record(on, key, record, moment, (limits.max_sessions, limits.per_user))
    }

    fn load(&self, on: &mut RedisConnection, key: &SessionKey) -> Attempt<Option<Record>> {
        let words: [&[u8]; 3] = [b"HGET", self.keys.bucket(key), key.as_bytes()];
        shown(key, self.command(on, Effect::Reads, &words)?)
    }

    fn extend(
        &self,
        on: &mut RedisConnection,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Attempt<Option<Record>> {
        let (inactivity, absolute) = moment.timeouts.as_millis();
        let now = moment.now.as_millis();
        // A time before 1970 is the empty text, which sorts before every number.
        let earlier = |millis| now.checked_sub(millis).map(digits).unwrap_or_default();
        let resolution = u64::try_from(resolution.as_millis()).unwrap_or(u64::MAX);
        let usual = resolution.min(inactivity / 10);
        let (idle, old, untouched) = (earlier(inactivity), earlier(absolute), earlier(usual));
        let resolution = digits(resolution);
        let moment = MomentText::of(moment);
        let arguments = [
            key.as_bytes(),
            moment.now.as_bytes(),
            idle.as_bytes(),
            old.as_bytes(),
            untouched.as_bytes(),
            moment.inactivity.as_bytes(),
            moment.absolute.as_bytes(),
            resolution.as_bytes(),
        ];
        let reply = self.script(on, Effect::Reads, EXTEND, &self.keys.of([key]), &arguments)?;
        shown(key, reply)
    }

    fn replace(
        &self,
        on: &mut RedisConnection,
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
        on: &mut RedisConnection,
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
        on: &mut RedisConnection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Option<Ended>> {
        let (moment, owner) = (MomentText::of(moment), owner.map(indexed).unwrap_or_default());
        let arguments = [
            key.as_bytes(),
            moment.now.as_bytes(),
            moment.inactivity.as_bytes(),
            moment.absolute.as_bytes(),
            &owner,
        ];
        let reply = self.script(on, Effect::Writes, REMOVE, &self.keys.of([key]), &arguments)?;
        match reply {
            Reply::Nil => Ok(None),
            Reply::Bytes(said) => {
                let (expired, name) = match said.strip_prefix(b"expired") {
                    Some(name) => (true, name),
                    None => (false, said.strip_prefix(b"live").ok_or_else(garbled)?),
                };
                Ok(Some(Ended { key: *key, user: named(name), expired }))
            }
            _ => Err(garbled()),
        }
    }

    fn remove_user(
        &self,
        on: &mut RedisConnection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Ended>> {
        Ok(self.remove_many(on, &indexed(user), &[], moment)?.unwrap_or_default())
    }

    fn remove_others(
        &self,
        on: &mut RedisConnection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        self.remove_many(on, &[], keep.as_bytes(), moment)
    }

    fn rename_user(
        &self,
        on: &mut RedisConnection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<u64> {
        let (old, new, moment) = (indexed(old), indexed(new), MomentText::of(moment));
        let arguments = [
            old.as_slice(),
            &new,
            moment.now.as_bytes(),
            moment.inactivity.as_bytes(),
            moment.absolute.as_bytes(),
        ];
        let reply = self.script(on, Effect::Writes, RENAME, &self.keys.all(), &arguments)?;
        count(&reply)
    }

    fn user_page(
        &self,
        on: &mut RedisConnection,
        user: &UserKey,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Attempt<Page<Shown>> {
        let after = after.map(|key| key.as_bytes().as_slice()).unwrap_or_default();
        let (name, limit) = (indexed(user), limit.to_string());
        let arguments = [name.as_slice(), after, limit.as_bytes(), PAGE_BYTES.as_bytes()];
        let reply = self.script(on, Effect::Reads, USER_PAGE, &self.keys.all(), &arguments)?;
        let mut found = reply.list().ok_or_else(garbled)?.into_iter();
        let more = found.next().as_ref().map_or(Err(garbled()), count)? == 1;
        let mut items = Vec::new();
        while let (Some(key), Some(value)) = (found.next(), found.next()) {
            let key = key.bytes().and_then(|key| session_key(&key)).ok_or_else(garbled)?;
            items.push((key, value::decode(&key, &value.bytes().ok_or_else(garbled)?)));
        }
        Ok(Page { items, more })
    }

    fn users_page(
        &self,
        on: &mut RedisConnection,
        after: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Page<(UserKey, u64)>> {
        let (after, moment) = (after.map(indexed).unwrap_or_default(), MomentText::of(moment));
        let arguments = [
            after.as_slice(),
            moment.now.as_bytes(),
            moment.inactivity.as_bytes(),
            moment.absolute.as_bytes(),
        ];
        let reply = self.script(on, Effect::Reads, USERS_PAGE, &self.keys.all(), &arguments)?;
        let mut found = reply.list().ok_or_else(garbled)?.into_iter();
        let more = found.next().as_ref().map_or(Err(garbled()), count)? == 1;
        let mut items = Vec::new();
        while let (Some(name), Some(live)) = (found.next(), found.next()) {
            let user = name.bytes().and_then(|name| named(&name)).ok_or_else(garbled)?;
            items.push((user, count(&live)?));
        }
        Ok(Page { items, more })
    }

    fn scan(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        self.walk(server, after, visit)
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
        on: &mut RedisConnection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        let (text, most) = (MomentText::of(moment), limit.to_string());
        let now = score(moment.now);
        let arguments = [
            text.now.as_bytes(),
            text.inactivity.as_bytes(),
            text.absolute.as_bytes(),
            most.as_bytes(),
            now.as_bytes(),
        ];
        let reply = self.script(on, Effect::Writes, SWEEP, &self.keys.all(), &arguments)?;
        let mut found = reply.list().ok_or_else(garbled)?.into_iter();
        let looked_at = found.next().as_ref().map_or(Err(garbled()), count)?;
        let removed = found.map(|gone| {
            let gone = gone.bytes().ok_or_else(garbled)?;
            let (key, name) = gone.split_at_checked(KEY_LEN).ok_or_else(garbled)?;
            let key = session_key(key).ok_or_else(garbled)?;
            Ok(Ended { key, user: named(name), expired: true })
        });
        Ok(Sweep {
            removed: removed.collect::<Attempt<_>>()?,
            more: looked_at == limit as u64,
            busy: true,
        })
    }

    fn reindex(
        &self,
        on: &mut RedisConnection,
        timeouts: &Timeouts,
        from: Option<Vec<u8>>,
    ) -> Attempt<Option<Vec<u8>>> {
        let (inactivity, absolute) = timeouts.as_millis();
        let (inactivity, absolute) = (digits(inactivity), digits(absolute));
        let from = from.unwrap_or_else(|| b"0 0".to_vec());
        let mut place = from.split(|byte| *byte == b' ');
        let (bucket, cursor) = place.next().zip(place.next()).ok_or_else(garbled)?;
        let arguments = [inactivity.as_bytes(), absolute.as_bytes(), bucket, cursor];
        let reply = self.script(on, Effect::Writes, REINDEX, &self.keys.all(), &arguments)?;
        let mut place = reply.list().ok_or_else(garbled)?.into_iter().filter_map(Reply::bytes);
        let (bucket, cursor) = place.next().zip(place.next()).ok_or_else(garbled)?;
        let is_over = bucket == b"256";
        Ok((!is_over).then(|| [bucket.as_slice(), b" ", cursor.as_slice()].concat()))
    }

    fn count(&self, server: &Server<Self>, moment: Moment) -> Result<u64> {
        self.count_live(server, moment)
    }

    fn clear(&self, on: &mut RedisConnection) -> Attempt<()> {
        let mut words: Vec<&[u8]> = vec![b"UNLINK"];
        words.extend(self.keys.all());
        self.command(on, Effect::Writes, &words).map(drop)
    }

    fn load_meta(&self, on: &mut RedisConnection, name: &str) -> Attempt<Option<Vec<u8>>> {
        let words: [&[u8]; 3] = [b"HGET", &self.keys.meta, name.as_bytes()];
        Ok(self.command(on, Effect::Reads, &words)?.bytes())
    }

    fn store_meta(&self, on: &mut RedisConnection, name: &str, value: &[u8]) -> Attempt<()> {
        let words: [&[u8]; 4] = [b"HSET", &self.keys.meta, name.as_bytes(), value];
        self.command(on, Effect::Writes, &words).map(drop)
    }

    fn init_meta(&self, on: &mut RedisConnection, name: &str, value: &[u8]) -> Attempt<Vec<u8>> {
        // A server without free memory refuses `HSETNX`, even if the value exists.
        if let Some(found) = self.load_meta(on, name)? {
            return Ok(found);
        }
        let words: [&[u8]; 4] = [b"HSETNX", &self.keys.meta, name.as_bytes(), value];
        self.command(on, Effect::Writes, &words)?;
        self.load_meta(on, name)?.ok_or_else(garbled)
    }

    fn stored(&self, on: &mut RedisConnection) -> Attempt<u64> {
        count(&self.command(on, Effect::Reads, &[b"ZCARD", self.keys.expiry()])?)
    }
}

impl Redis {
    fn remove_many(
        &self,
        on: &mut RedisConnection,
        user: &[u8],
        keep: &[u8],
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        let moment = MomentText::of(moment);
        let arguments = [
            user,
            keep,
            moment.now.as_bytes(),
            moment.inactivity.as_bytes(),
            moment.absolute.as_bytes(),
        ];
        let reply = self.script(on, Effect::Writes, REMOVE_USER, &self.keys.all(), &arguments)?;
        let Reply::List(found) = reply else { return Ok(None) };
        let mut found = found.into_iter().filter_map(Reply::bytes);
        let user = named(&found.next().ok_or_else(garbled)?);
        let mut ended = Vec::new();
        for expired in [false, true] {
            let keys = found.next().ok_or_else(garbled)?;
            let keys = keys.chunks_exact(KEY_LEN).filter_map(session_key);
            ended.extend(keys.map(|key| Ended { key, user: user.clone(), expired }));
        }
        Ok(Some(ended))
    }
}

/// A number that counts something.
pub(super) fn count(reply: &Reply) -> Attempt<u64> {
    reply.number().and_then(|number| u64::try_from(number).ok()).ok_or_else(garbled)
}

fn shown(key: &SessionKey, reply: Reply) -> Attempt<Option<Record>> {
    match reply {
        Reply::Nil => Ok(None),
        Reply::Bytes(value) => Ok(Some(value::decode(key, &value)?)),
        _ => Err(garbled()),
    }
}
