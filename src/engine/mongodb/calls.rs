//! The calls of the contract, each as one command or transaction.
//!
//! Invariant: a call makes its changes in one command on one document, or in one transaction, so
//! they happen wholly or not at all.

use std::time::Duration;

use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::mongodb::bson::{bson, list};
use crate::engine::mongodb::commands::ended;
use crate::engine::mongodb::documents::{
    due, found, head, is_expired, is_live, live, name_of, number, user_of, whole,
};
use crate::engine::mongodb::saving::Save;
use crate::engine::mongodb::transaction::Step;
use crate::engine::mongodb::wire::{MongodbConnection, garbled};
use crate::engine::mongodb::{Mongodb, acknowledged, on_a_majority, one_moment};
use crate::engine::network::backend::{Attempt, Backend, Connection, Page, Shown};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::server::Server;
use crate::engine::network::stored::columns::{clamped, time};
use crate::engine::outcome::{Ended, Insert, Listing, Rekey, Replace, Sweep, Visit};
use crate::error::Result;
use crate::key::SessionKey;
use crate::random::{SystemRandom, draw};
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The number of a user's records that a page may hold however long recent records are, so that a
/// listing of a few sessions shows one moment.
const WHOLE: usize = 32;

impl Backend for Mongodb {
    type Connection = MongodbConnection;

    const LISTING: Listing = Listing::Walk;

    fn server(&self) -> &str {
        &self.hosts.server
    }

    fn connect(&self, deadline: Deadline) -> Attempt<MongodbConnection> {
        let mut on = self.hosts.connect(deadline)?;
        self.take_over(&mut on)?;
        Ok(on)
    }

    fn server_time(&self, on: &mut MongodbConnection) -> Attempt<Timestamp> {
        number(self.carry_out(on, bson! { "hello": 1 })?.view(), "localTime").map(time)
    }

    fn insert(
        &self,
        on: &mut MongodbConnection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert> {
        self.insert_record(on, key, record, moment, limits)
    }

    fn load(&self, on: &mut MongodbConnection, key: &SessionKey) -> Attempt<Option<Record>> {
        let find = bson! {
            "find": &self.sessions,
            "filter": bson! { "k": key },
            "projection": whole(),
            "limit": 1,
            "singleBatch": true,
            "readConcern": on_a_majority(),
        };
        let reply = self.carry_out(on, find)?;
        found(key, reply.batch()?.0.first().copied())
    }

    fn extend(
        &self,
        on: &mut MongodbConnection,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Attempt<Option<Record>> {
        let resolution = u64::try_from(resolution.as_millis()).unwrap_or(u64::MAX);
        let touched = list![due(moment, resolution), clamped(moment.now.as_millis()), "$a"];
        let touch = bson! { "$set": bson! { "a": bson! { "$cond": touched } } };
        let extend = bson! {
            "findAndModify": &self.sessions,
            "query": bson! { "k": key, "$expr": live(moment) },
            "update": list![touch],
            "new": true,
            "fields": whole(),
        };
        found(key, self.carry_out(on, self.lasting(extend))?.value())
    }

    fn replace(
        &self,
        on: &mut MongodbConnection,
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
        on: &mut MongodbConnection,
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
        on: &mut MongodbConnection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Option<Ended>> {
        let remove = bson! {
            "findAndModify": &self.sessions,
            "query": bson! { "k": key }.with_some("u", owner.map(name_of).as_ref()),
            "remove": true,
            "fields": head(),
        };
        let reply = self.carry_out(on, self.lasting(remove))?;
        Ok(reply.value().map(|gone| Ended {
            key: *key,
            user: user_of(gone),
            expired: is_expired(gone, moment),
        }))
    }

    fn remove_user(
        &self,
        on: &mut MongodbConnection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Ended>> {
        let of_user = || bson! { "u": &name_of(user) };
        self.transact(on, |within| {
            let steps = [self.heads_of(of_user()), self.deleting(of_user())];
            let replies = self.refused(within.commit(steps.map(Step::In))?)?;
            ended(replies.first(), Some(user), moment)
        })
    }

    fn remove_others(
        &self,
        on: &mut MongodbConnection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>> {
        self.transact(on, |within| {
            let find = bson! {
                "find": &self.sessions,
                "filter": bson! { "k": keep },
                "projection": head(),
                "limit": 1,
                "singleBatch": true,
            };
            let looked = within.carry_out([Step::In(find)])?.pop().ok_or_else(garbled)?;
            let kept = looked.batch()?.0.first().copied();
            let Some(kept) = kept.filter(|kept| is_live(*kept, moment)) else {
                return within.give_up(None);
            };
            let Some(user) = user_of(kept) else { return within.give_up(Some(Vec::new())) };
            let others = || bson! { "u": &name_of(&user), "k": bson! { "$ne": keep } };
            // Of two calls that end each other's session, one must conflict: a snapshot alone lets
            // both commit. No field of the record changes.
            let write = bson! { "q": bson! { "k": keep }, "u": bson! { "$inc": bson! { "n": 1 } } };
            let write = bson! { "update": &self.sessions, "updates": list![write] };
            let steps = [write, self.heads_of(others()), self.deleting(others())];
            let replies = self.refused(within.commit(steps.map(Step::In))?)?;
            ended(replies.get(1), Some(&user), moment).map(Some)
        })
    }

    fn rename_user(
        &self,
        on: &mut MongodbConnection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<u64> {
        let of_user = || bson! { "u": &name_of(old) };
        // A field holds a revision in two's complement. The greatest stays unchanged.
        let is = |revision: i64| bson! { "$eq": list!["$r", revision] };
        let add = bson! { "$add": list!["$r", 1_i64] };
        let wrapped = bson! { "$cond": list![is(i64::MAX), i64::MIN, add] };
        let next = list![is(-1), "$r", wrapped];
        self.transact(on, |within| {
            let renamed = bson! { "u": &name_of(new), "r": bson! { "$cond": next.clone() } };
            let update = bson! {
                "q": of_user(),
                "u": list![bson! { "$set": renamed }],
                "multi": true,
            };
            let steps = [
                self.counting_those(of_user().with("$expr", live(moment))),
                bson! { "update": &self.sessions, "updates": list![update] },
            ];
            let replies = self.refused(within.commit(steps.map(Step::In))?)?;
            replies.first().ok_or_else(garbled)?.counted()
        })
    }

    fn user_page(
        &self,
        on: &mut MongodbConnection,
        user: &UserKey,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Attempt<Page<Shown>> {
        let after = after.map(|after| bson! { "$gt": after });
        let filter = bson! { "u": &name_of(user) }.with_some("k", after);
        self.page(on, filter, WHOLE, limit, one_moment())
    }

    fn users_page(
        &self,
        on: &mut MongodbConnection,
        after: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Page<(UserKey, u64)>> {
        self.users_after(on, after, moment)
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
        on: &mut MongodbConnection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        self.sweep(on, moment, limit)
    }

    fn reindex(
        &self,
        on: &mut MongodbConnection,
        timeouts: &Timeouts,
        from: Option<Vec<u8>>,
    ) -> Attempt<Option<Vec<u8>>> {
        self.move_late(on, timeouts, from)
    }

    fn count(&self, server: &Server<Self>, moment: Moment) -> Result<u64> {
        self.count_live(server, moment)
    }

    /// Replaces the collection by an empty one in one step.
    fn clear(&self, on: &mut MongodbConnection) -> Attempt<()> {
        on.set_deadline(Deadline::after(self.clearing));
        let number = u128::from_be_bytes(draw(&SystemRandom)?);
        let next = format!("{}_{number:032x}", self.sessions);
        let rename = bson! {
            "renameCollection": &format!("{}.{next}", self.database),
            "to": &format!("{}.{}", self.database, self.sessions),
            "dropTarget": true,
            "writeConcern": acknowledged(),
            "$db": "admin",
        };
        for answer in on.ask([self.here(self.making(&next)), rename])? {
            answer.map_err(|refusal| refusal.failure(&self.hosts.server))?;
        }
        self.last_count.forget();
        Ok(())
    }

    fn load_meta(&self, on: &mut MongodbConnection, name: &str) -> Attempt<Option<Vec<u8>>> {
        let find = bson! {
            "find": &self.meta,
            "filter": bson! { "_id": name },
            "limit": 1,
            "singleBatch": true,
            "readConcern": on_a_majority(),
        };
        let reply = self.carry_out(on, find)?;
        let (documents, _) = reply.batch()?;
        Ok(documents.first().and_then(|one| one.bytes("v")).map(<[u8]>::to_vec))
    }

    fn store_meta(&self, on: &mut MongodbConnection, name: &str, value: &[u8]) -> Attempt<()> {
        self.change_meta(on, name, bson! { "$set": bson! { "v": value } }).map(drop)
    }

    fn init_meta(&self, on: &mut MongodbConnection, name: &str, value: &[u8]) -> Attempt<Vec<u8>> {
        self.change_meta(on, name, bson! { "$setOnInsert": bson! { "v": value } })
    }

    fn stored(&self, on: &mut MongodbConnection) -> Attempt<u64> {
        let stored = number(self.carry_out(on, self.counting())?.view(), "n")?;
        Ok(u64::try_from(stored).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;
    use crate::engine::contract::Engine;
    use crate::engine::network::dns::SystemDns;

    /// Answers seven times, like a primary whose clock shows another time from the fifth answer on.
    fn answer(listener: &TcpListener, times: [i64; 2]) {
        let (mut client, _) = listener.accept().unwrap();
        for number in 1..=7_i32 {
            let mut head = [0; 16];
            if client.read_exact(&mut head).is_err() {
                return;
            }
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            client.read_exact(&mut vec![0; length - head.len()]).unwrap();
            let hello = bson! {
                "ok": 1, "maxWireVersion": 21, "setName": "rs0", "isWritablePrimary": true,
                "localTime": times[usize::from(number > 4)],
            };
            let body = hello.into_bytes();
            let length = 21 + i32::try_from(body.len()).unwrap();
            let head = [length, 0, number, 2013, 0].map(i32::to_le_bytes).concat();
            client.write_all(&[&head[..], &[0], &body].concat()).unwrap();
        }
    }

    #[test]
    fn the_first_call_after_a_suspension_has_the_servers_time() {
        const LATER: i64 = 10_000_000;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("mongodb://{}?timeout_ms=60000", listener.local_addr().unwrap());
        thread::scope(|scope| {
            let (mongodb, limits) = Mongodb::parse(&url, &SystemDns).unwrap();
            let server = Server::new(mongodb, limits);
            scope.spawn(|| answer(&listener, [1_000_000, LATER]));
            server.compare_clocks(true).unwrap();
            let time = || server.server_time().unwrap().unwrap().as_millis() as i64;
            assert!(time() < LATER, "no comparison is due");
            server.clock.be_suspended();
            assert!(time() >= LATER);
        });
    }
}
