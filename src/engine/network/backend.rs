//! The interface of one kind of server; an engine is built on it.
//!
//! Invariant: each call is one attempt on one connection, and its [`Failure`] says what is known of
//! its effect. Pools, deadlines, retries and lost answers are not handled here:
//! [`Server`](super::server::Server) handles them, once for all kinds.

use std::fmt;
use std::time::Duration;

use crate::engine::check::{Checked, Inspect};
use crate::engine::limits::Limits;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::pool::Pooled;
use crate::engine::network::server::Server;
use crate::engine::outcome::{Ended, Insert, Listing, Rekey, Replace, Sweep, Visit};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The result of an attempt.
pub(crate) type Attempt<T> = std::result::Result<T, Failure>;

/// A record as a listing shows it: a damaged record is its error.
pub(crate) type Shown = (SessionKey, Result<Record>);

/// A connection of one kind of server.
pub(crate) trait Connection: Pooled + fmt::Debug + Send + 'static {
    /// Sets the deadline for the answers to the following requests.
    fn set_deadline(&mut self, deadline: Deadline);
}

/// A kind of server.
pub(crate) trait Backend: fmt::Debug + Send + Sync + Sized + 'static {
    type Connection: Connection;

    /// Which moment a scan and a check show.
    const LISTING: Listing;

    /// The server's name for errors, without credentials.
    fn server(&self) -> &str;

    /// Connects to a server that takes writes.
    fn connect(&self, deadline: Deadline) -> Attempt<Self::Connection>;

    /// Whether another host has become the primary, though the connections' server still takes
    /// writes, and does not know it.
    fn is_superseded(&self, _deadline: Deadline) -> bool {
        false
    }

    /// Returns the time of the server's clock.
    fn server_time(&self, on: &mut Self::Connection) -> Attempt<Timestamp>;

    fn insert(
        &self,
        on: &mut Self::Connection,
        key: &SessionKey,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Insert>;

    /// Returns the record under a key, expired or not.
    fn load(&self, on: &mut Self::Connection, key: &SessionKey) -> Attempt<Option<Record>>;

    fn extend(
        &self,
        on: &mut Self::Connection,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> Attempt<Option<Record>>;

    fn replace(
        &self,
        on: &mut Self::Connection,
        key: &SessionKey,
        expected_revision: u64,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Replace>;

    #[allow(clippy::too_many_arguments, reason = "they are those of the contract")]
    fn rekey(
        &self,
        on: &mut Self::Connection,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: &Record,
        moment: Moment,
        limits: Limits,
    ) -> Attempt<Rekey>;

    /// Removes a record; `None` if there is none, or it is not the owner's.
    fn remove(
        &self,
        on: &mut Self::Connection,
        key: &SessionKey,
        owner: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Option<Ended>>;

    fn remove_user(
        &self,
        on: &mut Self::Connection,
        user: &UserKey,
        moment: Moment,
    ) -> Attempt<Vec<Ended>>;

    fn remove_others(
        &self,
        on: &mut Self::Connection,
        keep: &SessionKey,
        moment: Moment,
    ) -> Attempt<Option<Vec<Ended>>>;

    fn rename_user(
        &self,
        on: &mut Self::Connection,
        old: &UserKey,
        new: &UserKey,
        moment: Moment,
    ) -> Attempt<u64>;

    /// Returns up to `limit` records of a user, after a key, in the order of the keys.
    fn user_page(
        &self,
        on: &mut Self::Connection,
        user: &UserKey,
        after: Option<&SessionKey>,
        limit: usize,
    ) -> Attempt<Page<Shown>>;

    /// Returns users after a user, in the order of the user keys, each with the number of their
    /// live records, which may be 0.
    fn users_page(
        &self,
        on: &mut Self::Connection,
        after: Option<&UserKey>,
        moment: Moment,
    ) -> Attempt<Page<(UserKey, u64)>>;

    /// Shows every record after a key.
    fn scan(
        &self,
        server: &Server<Self>,
        after: Option<&SessionKey>,
        visit: &mut Visit<'_>,
    ) -> Result<()>;

    fn check(
        &self,
        server: &Server<Self>,
        timeouts: &Timeouts,
        inspect: &mut Inspect<'_>,
    ) -> Result<Checked>;

    fn remove_expired(
        &self,
        on: &mut Self::Connection,
        moment: Moment,
        limit: usize,
    ) -> Attempt<Sweep>;

    /// Moves late index entries, beginning at a place; returns the next place, `None` at the end.
    fn reindex(
        &self,
        on: &mut Self::Connection,
        timeouts: &Timeouts,
        from: Option<Vec<u8>>,
    ) -> Attempt<Option<Vec<u8>>>;

    fn count(&self, server: &Server<Self>, moment: Moment) -> Result<u64>;

    fn clear(&self, on: &mut Self::Connection) -> Attempt<()>;

    fn load_meta(&self, on: &mut Self::Connection, name: &str) -> Attempt<Option<Vec<u8>>>;

    fn store_meta(&self, on: &mut Self::Connection, name: &str, value: &[u8]) -> Attempt<()>;

    fn init_meta(&self, on: &mut Self::Connection, name: &str, value: &[u8]) -> Attempt<Vec<u8>>;

    /// Returns the number of records, expired ones included.
    fn stored(&self, on: &mut Self::Connection) -> Attempt<u64>;
}

/// A part of a listing.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Whether there may be more after the last item.
    pub(crate) more: bool,
}
