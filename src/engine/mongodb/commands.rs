//! The commands that the calls consist of.
//!
//! Invariant: a command outside a transaction states its own read concern or write concern.

use std::sync::atomic::Ordering;

use crate::engine::mongodb::bson::{Document, bson, list};
use crate::engine::mongodb::documents::{
    bounded, head, inserted, is_expired, key_of, name_of, number, shown, user_of, whole,
};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::transaction::Part;
use crate::engine::mongodb::wire::{MongodbConnection, Reply, garbled};
use crate::engine::mongodb::{Mongodb, acknowledged};
use crate::engine::network::backend::{Attempt, Page, Shown};
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::stored::columns::Columns;
use crate::engine::outcome::Ended;
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::time::moment::Moment;

/// A page ends with the record that exceeds this number of bytes.
const PAGE_BYTES: i64 = 2 * 1024 * 1024;

/// The assumed length of a record before any was read.
pub(super) const UNSEEN: usize = 512 * 1024;

impl Mongodb {
    /// A change outside a transaction. It waits until it is on a majority. Its wait for locks is
    /// shorter than the wait for its answer.
    pub(super) fn lasting(&self, command: Document) -> Document {
        command.with("writeConcern", acknowledged()).with("maxTimeMS", self.patience)
    }

    /// Returns the records that fit, in the order of their keys, as of one moment. The limit is
    /// `PAGE_BYTES` divided by the longest recent record, between `least` and `most`.
    pub(super) fn page(
        &self,
        on: &mut MongodbConnection,
        filter: Document,
        least: usize,
        most: usize,
        concern: Document,
    ) -> Attempt<Page<Shown>> {
        let long = self.long.load(Ordering::Relaxed).max(1);
        let limit = most.min((PAGE_BYTES as usize / long).max(least));
        // `sum`: the bytes of all records up to this one, counting its own `sum` field.
        let window = bson! { "documents": list!["unbounded", "current"] };
        let sum = bson! { "$sum": bson! { "$bsonSize": "$$ROOT" }, "window": window };
        let before = bson! { "$subtract": list!["$sum", bson! { "$bsonSize": "$$ROOT" }] };
        let fits = bson! { "$lt": list![before, PAGE_BYTES] };
        let pipeline = list![
            bson! { "$match": filter },
            bson! { "$sort": bson! { "k": 1 } },
            bson! { "$limit": bounded(limit) },
            bson! { "$setWindowFields": bson! {
                "sortBy": bson! { "k": 1 }, "output": bson! { "sum": sum },
            } },
            bson! { "$match": bson! { "$expr": fits } },
            bson! { "$project": whole() },
        ];
        let aggregate = bson! {
            "aggregate": &self.sessions,
            "pipeline": pipeline,
            "cursor": bson! { "batchSize": bounded(limit) },
            "readConcern": concern,
        };
        let reply = self.carry_out(on, aggregate)?;
        let (documents, cursor) = reply.batch()?;
        if let Some(longest) = documents.iter().map(|one| one.len()).max() {
            self.long.store(longest.max(long / 2), Ordering::Relaxed);
        }
        let is_cut = match documents.last() {
            Some(last) => number(*last, "sum")? >= PAGE_BYTES,
            None => false,
        };
        let items = documents.into_iter().map(shown).collect::<Attempt<Vec<_>>>()?;
        // An answer holds at most 16 MiB; the next page asks for the rest by key.
        if let Some(cursor) = cursor {
            let kill = bson! { "killCursors": &self.sessions, "cursors": list![cursor] };
            self.carry_out(on, kill)?;
        }
        Ok(Page { more: cursor.is_some() || is_cut || items.len() == limit, items })
    }

    /// A command that counts the documents of a filter.
    pub(super) fn counting_those(&self, those: Document) -> Document {
        let pipeline = list![bson! { "$match": those }, bson! { "$count": "n" }];
        bson! { "aggregate": &self.sessions, "pipeline": pipeline, "cursor": bson! {} }
    }

    /// A command that finds the heads of a filter's records.
    pub(super) fn heads_of(&self, those: Document) -> Document {
        bson! {
            "find": &self.sessions,
            "filter": those,
            "sort": bson! { "k": 1 },
            "projection": head(),
            "batchSize": i32::MAX,
        }
    }

    pub(super) fn deleting(&self, those: Document) -> Document {
        bson! { "delete": &self.sessions, "deletes": list![bson! { "q": those, "limit": 0 }] }
    }

    /// Changes a value about the store, which is created if missing; returns the new value.
    pub(super) fn change_meta(
        &self,
        on: &mut MongodbConnection,
        name: &str,
        update: Document,
    ) -> Attempt<Vec<u8>> {
        let change = bson! {
            "findAndModify": &self.meta,
            "query": bson! { "_id": name },
            "update": update,
            "upsert": true,
            "new": true,
        };
        match self.ask(on, self.lasting(change))? {
            Ok(reply) => {
                let value = reply.value().and_then(|value| value.bytes("v"));
                value.map(<[u8]>::to_vec).ok_or_else(garbled)
            }
            Err(refusal) if refusal.code == Refusal::DUPLICATE_KEY => {
                Err(Failure::RolledBack(source("another made the same value first")))
            }
            Err(refusal) => Err(refusal.failure(&self.hosts.server)),
        }
    }

    /// A command for the server's own count of the sessions, which reads no session.
    pub(super) fn counting(&self) -> Document {
        bson! { "count": &self.sessions }
    }

    pub(super) fn inserting(&self, key: &SessionKey, columns: &Columns) -> Document {
        bson! { "insert": &self.sessions, "documents": list![inserted(key, columns)] }
    }

    /// A command that finds the head of the record under a key.
    pub(super) fn finding(&self, key: &SessionKey) -> Document {
        bson! {
            "find": &self.sessions,
            "filter": bson! { "k": key },
            "projection": head(),
            "limit": 1,
            "singleBatch": true,
        }
    }

    /// A command that finds the heads of a user's records.
    pub(super) fn finding_others(&self, user: &UserKey) -> Document {
        bson! {
            "find": &self.sessions,
            "filter": bson! { "u": &name_of(user) },
            "projection": head(),
            "batchSize": i32::MAX,
        }
    }

    /// A change that every transaction near the same limit must make, so that two of them conflict.
    pub(super) fn locking(&self, name: &str) -> Document {
        let lock = bson! {
            "q": bson! { "_id": name },
            "u": bson! { "$inc": bson! { "n": 1_i64 } },
            "upsert": true,
        };
        bson! { "update": &self.users, "updates": list![lock] }
    }

    pub(super) fn ending(&self, keys: &[SessionKey]) -> Document {
        let keys: Vec<_> = keys.iter().map(Into::into).collect();
        let filter = bson! { "k": bson! { "$in": keys } };
        bson! { "delete": &self.sessions, "deletes": list![bson! { "q": filter, "limit": 0 }] }
    }

    /// Returns a part of a transaction; a refusal of it is a failure.
    pub(super) fn refused(&self, part: Part) -> Attempt<Vec<Reply>> {
        part.map_err(|refusal| refusal.failure(&self.hosts.server))
    }
}

/// Returns the sessions that ended, from the heads that a transaction found before their removal;
/// all of one user, or each of its own.
pub(super) fn ended(
    found: Option<&Reply>,
    user: Option<&UserKey>,
    moment: Moment,
) -> Attempt<Vec<Ended>> {
    let (documents, more) = found.ok_or_else(garbled)?.batch()?;
    if more.is_some() {
        return Err(Failure::lost("more sessions ended than one answer can name"));
    }
    let ended = documents.into_iter().map(|head| {
        let user = user.cloned().or_else(|| user_of(head));
        Ok(Ended { key: key_of(head)?, user, expired: is_expired(head, moment) })
    });
    ended.collect()
}
