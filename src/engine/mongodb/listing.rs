//! Passes over many records: listings, counts, and the index by deadline.
//!
//! Invariant: a record that exists throughout a listing is shown exactly once. No cursor and no
//! snapshot is kept on the server between two pages, so a listing may take any time.

use std::ops::ControlFlow;

use crate::engine::check::{Checked, Inspect};
use crate::engine::mongodb::bson::{Document, Value, View, bson, list};
use crate::engine::mongodb::commands::ended;
use crate::engine::mongodb::documents::{
    bounded, expired, head, is_live, key_of, live, name_of, number, outline_of, user_of,
};
use crate::engine::mongodb::transaction::Step;
use crate::engine::mongodb::wire::MongodbConnection;
use crate::engine::mongodb::{Mongodb, on_a_majority, one_moment};
use crate::engine::network::backend::{Attempt, Page};
use crate::engine::network::server::Server;
use crate::engine::network::stored::columns::{clamped, next_key};
use crate::engine::network::stored::report;
use crate::engine::outcome::{Sweep, Visit};
use crate::error::Result;
use crate::key::SessionKey;
use crate::session::user::UserKey;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The most records in a page.
const LARGEST_PAGE: usize = 1_024;

/// How many records a page of users reads.
const OF_USERS: usize = 1_000;

/// How many records one step of a reindexing reads.
const REINDEXED: usize = 1_000;

impl Mongodb {
    /// Shows every record after a key, in the order of the keys.
    pub(super) fn walk(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        show: &mut Visit<'_>,
    ) -> Result<()> {
        let mut after = after.copied();
        loop {
            let page = server.read(|mongodb, on| {
                let filter = match &after {
                    Some(after) => bson! { "k": bson! { "$gt": after } },
                    None => bson! {},
                };
                mongodb.page(on, filter, 1, LARGEST_PAGE, on_a_majority())
            })?;
            let Some((last, _)) = page.items.last() else { return Ok(()) };
            after = Some(*last);
            for (key, record) in page.items {
                if show(key, record)?.is_break() {
                    return Ok(());
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Counts the live records: those whose index entries have not passed, and live ones whose
    /// have.
    pub(super) fn count_live(&self, server: &Server<Self>, moment: Moment) -> Result<u64> {
        let now = clamped(moment.now.as_millis());
        server.read(|mongodb, on| {
            let passed = bson! { "x": bson! { "$lte": now }, "$expr": live(moment) };
            let live = bson! { "$or": list![bson! { "x": bson! { "$gt": now } }, passed] };
            let counting = mongodb.counting_those(live).with("readConcern", one_moment());
            mongodb.carry_out(on, counting)?.counted()
        })
    }

    /// Returns users after a user, each with the number of live records.
    pub(super) fn users_after(
        &self,
        on: &mut MongodbConnection,
        after: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Page<(UserKey, u64)>> {
        let after = after.map(name_of).unwrap_or_default();
        let find = bson! {
            "find": &self.sessions,
            "filter": bson! { "u": bson! { "$gt": &after } },
            "sort": bson! { "u": 1, "k": 1 },
            "projection": head(),
            "limit": bounded(OF_USERS),
            "batchSize": bounded(OF_USERS),
            "readConcern": one_moment(),
        };
        let reply = self.carry_out(on, find)?;
        let (heads, _) = reply.batch()?;
        let more = heads.len() == OF_USERS;
        let mut users: Vec<(UserKey, u64)> = Vec::new();
        for head in heads {
            let Some(user) = user_of(head) else { continue };
            let live = u64::from(is_live(head, moment));
            match users.last_mut().filter(|(last, _)| *last == user) {
                Some((_, count)) => *count += live,
                None => users.push((user, live)),
            }
        }
        // The last user's records may continue after the page.
        if let Some((user, _)) = users.pop_if(|_| more).filter(|_| users.is_empty()) {
            let those = bson! { "u": &name_of(&user), "$expr": live(moment) };
            let counting = self.counting_those(those).with("readConcern", one_moment());
            let count = self.carry_out(on, counting)?.counted()?;
            users.push((user, count));
        }
        Ok(Page { items: users, more })
    }

    pub(super) fn compare(
        &self,
        server: &Server<Self>,
        timeouts: &Timeouts,
        inspect: &mut Inspect<'_>,
    ) -> Result<Checked> {
        // A document is in each index by its own fields, so no index entry can be wrong.
        let entries = |those: fn() -> Document| {
            server.read(|mongodb, on| {
                let counting = mongodb.counting_those(those());
                mongodb.carry_out(on, counting.with("readConcern", one_moment()))?.counted()
            })
        };
        let checked = Checked {
            expiry_entries: entries(|| bson! { "x": bson! { "$exists": true } })?,
            user_entries: entries(|| bson! { "u": bson! { "$exists": true } })?,
        };
        self.walk(server, None, &mut |key, record| {
            report(key, record, timeouts, inspect)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(checked)
    }

    /// One step of a sweep: the first records whose index entries have passed.
    pub(super) fn sweep(
        &self,
        on: &mut MongodbConnection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep> {
        let due = || bson! { "$lte": clamped(moment.now.as_millis()) };
        let find = bson! {
            "find": &self.sessions,
            "filter": bson! { "x": due() },
            "sort": bson! { "x": 1 },
            "projection": head(),
            "limit": bounded(limit),
            "batchSize": bounded(limit),
            "readConcern": on_a_majority(),
        };
        let reply = self.carry_out(on, find)?;
        let (heads, _) = reply.batch()?;
        let more = heads.len() == limit;
        let (early, over): (Vec<_>, Vec<_>) =
            heads.into_iter().partition(|head| is_live(*head, moment));
        self.move_entries(on, &early, &moment.timeouts)?;
        let keys = over.into_iter().map(key_of).collect::<Attempt<Vec<_>>>()?;
        if keys.is_empty() {
            return Ok(Sweep { removed: Vec::new(), more, busy: true });
        }
        // Others may have touched or swept the records meanwhile, so the transaction removes only
        // records that are expired in its snapshot.
        let those = || {
            let keys: Vec<_> = keys.iter().map(Value::from).collect();
            bson! { "k": bson! { "$in": keys }, "x": due(), "$expr": expired(moment) }
        };
        let removed = self.transact(on, |within| {
            let steps = [self.heads_of(those()), self.deleting(those())];
            let replies = self.refused(within.commit(steps.map(Step::In))?)?;
            ended(replies.first(), None, moment)
        })?;
        Ok(Sweep { removed, more, busy: true })
    }

    /// Moves the late index entries of the records that one step reads.
    pub(super) fn move_late(
        &self,
        on: &mut MongodbConnection,
        timeouts: &Timeouts,
        from: Option<Vec<u8>>,
    ) -> Attempt<Option<Vec<u8>>> {
        let from = from.unwrap_or_else(|| vec![0; 16]);
        let find = bson! {
            "find": &self.sessions,
            "filter": bson! { "k": bson! { "$gte": from.as_slice() } },
            "sort": bson! { "k": 1 },
            "projection": head(),
            "limit": bounded(REINDEXED),
            "batchSize": bounded(REINDEXED),
            "readConcern": on_a_majority(),
        };
        let reply = self.carry_out(on, find)?;
        let (heads, _) = reply.batch()?;
        let Some(last) = heads.last().map(|head| key_of(*head)).transpose()? else {
            return Ok(None);
        };
        let is_full = heads.len() == REINDEXED;
        let mut late = Vec::new();
        for head in heads {
            let deadline = outline_of(head)?.deadline(timeouts);
            if clamped(deadline.as_millis()) < number(head, "x")? {
                late.push(head);
            }
        }
        self.move_entries(on, &late, timeouts)?;
        Ok(next_key(&last).filter(|_| is_full).map(|key| key.as_bytes().to_vec()))
    }

    /// Moves index entries to their records' deadlines, if revision and index entry are unchanged.
    fn move_entries(
        &self,
        on: &mut MongodbConnection,
        heads: &[View<'_>],
        timeouts: &Timeouts,
    ) -> Attempt<()> {
        let mut updates = Vec::new();
        for head in heads {
            let deadline = clamped(outline_of(*head)?.deadline(timeouts).as_millis());
            let seen = bson! {
                "k": &key_of(*head)?, "r": number(*head, "r")?, "x": number(*head, "x")?,
            };
            let update = bson! { "q": seen, "u": bson! { "$set": bson! { "x": deadline } } };
            updates.push(Value::from(update));
        }
        if updates.is_empty() {
            return Ok(());
        }
        let update = bson! {
            "update": &self.sessions,
            "updates": updates,
            "ordered": false,
        };
        self.carry_out(on, self.lasting(update)).map(drop)
    }
}
