//! Listings of all records: bucket by bucket, each page as of one moment.
//!
//! Invariant: a record that exists throughout is shown exactly once. Memory use is bounded by the
//! keys of one bucket, a 256th of the store's keys, and one page of records.

use std::ops::ControlFlow;

use crate::engine::check::{Checked, Finding, Inspect, Problem};
use crate::engine::network::server::Server;
use crate::engine::network::stored::session_key;
use crate::engine::outcome::Visit;
use crate::engine::redis::Redis;
use crate::engine::redis::ask::Effect;
use crate::engine::redis::calls::{PAGE_BYTES, count};
use crate::engine::redis::saving::{MomentText, score};
use crate::engine::redis::scripts::{COUNT, PAGE, STRAYS};
use crate::engine::redis::value;
use crate::engine::redis::wire::garbled;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// How many records are requested at a time.
const PAGE_LEN: usize = 256;

/// A record with its key and its index entries.
struct Examined {
    key: SessionKey,
    record: Result<Record>,
    in_expiry: bool,
    in_users: bool,
}

impl Redis {
    pub(super) fn walk(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        self.examine(server, after, &mut |one| visit(one.key, one.record))
    }

    /// Shows every record after a key, in the order of the keys.
    fn examine(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        show: &mut dyn FnMut(Examined) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let [first, ..] = after.map_or([0; 16], |key| *key.as_bytes());
        for bucket in self.filled(server, first)? {
            let mut keys = self.keys_of(server, bucket)?;
            keys.retain(|key| after.is_none_or(|after| key > after));
            keys.sort_unstable();
            let mut rest = keys.as_slice();
            while !rest.is_empty() {
                let (page, looked_at) = self.page(server, bucket, rest)?;
                rest = rest.get(looked_at.max(1)..).unwrap_or_default();
                for one in page {
                    if show(one)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The buckets with records, beginning at `first`. A bucket that is filled later holds no
    /// record that existed throughout.
    fn filled(&self, server: &Server<Self>, first: u8) -> Result<Vec<u8>> {
        server.read(|redis, on| {
            let buckets = (first..=u8::MAX).map(|bucket| redis.keys.bucket_at(bucket));
            let lengths = redis.commands(on, buckets.map(|bucket| [b"HLEN".as_slice(), bucket]))?;
            let mut filled = Vec::new();
            for (bucket, length) in (first..=u8::MAX).zip(&lengths) {
                if count(length)? > 0 {
                    filled.push(bucket);
                }
            }
            Ok(filled)
        })
    }

    fn keys_of(&self, server: &Server<Self>, bucket: u8) -> Result<Vec<SessionKey>> {
        server.read(|redis, on| {
            let words: [&[u8]; 2] = [b"HKEYS", redis.keys.bucket_at(bucket)];
            let keys = redis.command(on, Effect::Reads, &words)?.list().ok_or_else(garbled)?;
            let keys = keys
                .into_iter()
                .map(|key| key.bytes().and_then(|key| session_key(&key)).ok_or_else(garbled));
            keys.collect()
        })
    }

    /// Returns the records of the first keys, as many as fit a page, and how many keys those were.
    fn page(
        &self,
        server: &Server<Self>,
        bucket: u8,
        keys: &[SessionKey],
    ) -> Result<(Vec<Examined>, usize)> {
        server.read(|redis, on| {
            let mut arguments: Vec<&[u8]> = vec![PAGE_BYTES.as_bytes()];
            let some = keys.get(..PAGE_LEN).unwrap_or(keys);
            arguments.extend(some.iter().map(|key| key.as_bytes().as_slice()));
            let names = [redis.keys.expiry(), redis.keys.users(), redis.keys.bucket_at(bucket)];
            let reply = redis.script(on, Effect::Reads, PAGE, &names, &arguments)?;
            let mut found = reply.list().ok_or_else(garbled)?.into_iter();
            let looked_at = found.next().as_ref().map_or(Err(garbled()), count)?;
            let mut page = Vec::new();
            for key in some {
                let (Some(value), Some(expiry), Some(owner)) =
                    (found.next(), found.next(), found.next())
                else {
                    break;
                };
                // A record that was removed after its key was read did not exist throughout.
                let Some(value) = value.bytes() else { continue };
                page.push(Examined {
                    key: *key,
                    record: value::decode(key, &value),
                    in_expiry: count(&expiry)? == 1,
                    in_users: count(&owner)? == 1,
                });
            }
            Ok((page, usize::try_from(looked_at).unwrap_or(usize::MAX)))
        })
    }

    pub(super) fn compare(
        &self,
        server: &Server<Self>,
        timeouts: &Timeouts,
        inspect: &mut Inspect<'_>,
    ) -> Result<Checked> {
        self.show_strays(server, 1, inspect)?;
        self.show_strays(server, 2, inspect)?;
        self.examine(server, None, &mut |one| {
            let Examined { key, record, in_expiry, in_users } = one;
            let record = match record {
                Ok(record) => record,
                Err(Error::DamagedRecord { key, reason }) => {
                    inspect(Finding::Problem(Problem::DamagedRecord { key, reason }))?;
                    return Ok(ControlFlow::Continue(()));
                }
                Err(error) => return Err(error),
            };
            let mut problem = |problem| inspect(Finding::Problem(problem));
            if !in_expiry {
                problem(Problem::NotInExpiry { key, deadline: record.index_deadline() })?;
            }
            if let Some(late) = Problem::of_deadline(key, &record, timeouts) {
                problem(late)?;
            }
            if let (false, Some(user)) = (in_users, record.user_id()) {
                problem(Problem::NotInUsers { key, user })?;
            }
            inspect(Finding::Record(key, record))?;
            Ok(ControlFlow::Continue(()))
        })?;
        let entries = |name: &[u8]| {
            server.read(|redis, on| count(&redis.command(on, Effect::Reads, &[b"ZCARD", name])?))
        };
        Ok(Checked {
            expiry_entries: entries(self.keys.expiry())?,
            user_entries: entries(self.keys.users())?,
        })
    }

    fn show_strays(
        &self,
        server: &Server<Self>,
        index: u8,
        inspect: &mut Inspect<'_>,
    ) -> Result<()> {
        let mut cursor = b"0".to_vec();
        loop {
            let strays = server.read(|redis, on| {
                let number = index.to_string();
                let arguments = [number.as_bytes(), cursor.as_slice()];
                let keys = redis.keys.all();
                let reply = redis.script(on, Effect::Reads, STRAYS, &keys, &arguments)?;
                let strays = reply.list().ok_or_else(garbled)?.into_iter();
                strays.map(|stray| stray.bytes().ok_or_else(garbled)).collect()
            })?;
            let mut strays = Vec::into_iter(strays);
            cursor = strays.next().unwrap_or_else(|| b"0".to_vec());
            while let (Some(member), Some(score)) = (strays.next(), strays.next()) {
                if let Some(problem) = stray(index, &member, &score) {
                    inspect(Finding::Problem(problem))?;
                }
            }
            if cursor == b"0" {
                return Ok(());
            }
        }
    }

    pub(super) fn count_live(&self, server: &Server<Self>, moment: Moment) -> Result<u64> {
        const LOOK: u64 = 5_000;
        const MOST_STARTS: u32 = 100;
        let (text, now) = (MomentText::of(moment), score(moment.now));
        let (mut passed_before, mut starts) = (None, 0);
        let (mut offset, mut expired) = (0, 0);
        loop {
            let (stored, passed, looked_at, found) = server.read(|redis, on| {
                let offset = u64::to_string(&offset);
                let arguments = [
                    text.now.as_bytes(),
                    text.inactivity.as_bytes(),
                    text.absolute.as_bytes(),
                    now.as_bytes(),
                    offset.as_bytes(),
                ];
                let keys = redis.keys.all();
                let reply = redis.script(on, Effect::Reads, COUNT, &keys, &arguments)?;
                let mut found = reply.list().ok_or_else(garbled)?.into_iter();
                let mut next = || found.next().as_ref().map_or(Err(garbled()), count);
                Ok((next()?, next()?, next()?, next()?))
            })?;
            // A sweep moves the entries behind those that it takes: the count starts again. While
            // passed sessions end all the time, the number is near enough in the end.
            if passed_before.is_some_and(|before| before != passed) && starts < MOST_STARTS {
                starts += 1;
                (passed_before, offset, expired) = (None, 0, 0);
                continue;
            }
            passed_before = Some(passed);
            offset += looked_at;
            expired += found;
            if looked_at < LOOK {
                return Ok(u64::saturating_sub(stored, expired));
            }
        }
    }
}

fn stray(index: u8, member: &[u8], score: &[u8]) -> Option<Problem> {
    let (user, key) = member.split_at_checked(member.len().checked_sub(16)?)?;
    let key = session_key(key)?;
    if index == 2 {
        let user = value::named(user).and_then(|user| user.to_id());
        return Some(Problem::StrayInUsers { key, user });
    }
    let score: f64 = std::str::from_utf8(score).ok()?.parse().ok()?;
    Some(Problem::StrayInExpiry { key, deadline: Timestamp::from_millis(score as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_count_is_as_long_as_the_script_makes_it() {
        assert!(COUNT.text.contains("ARGV[5], 5000)"));
    }
}
