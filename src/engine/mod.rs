//! The storage of records: the contract, and the engines of this crate.
//!
//! An engine sees [`SessionKey`](crate::SessionKey)s, records and moments in time. It never sees a
//! session id, and never decodes content: the rules of sessions are in the store, once for all
//! engines.

pub(crate) mod attachment;
pub(crate) mod check;
pub(crate) mod contract;
pub(crate) mod durability;
pub(crate) mod forward;
pub(crate) mod limits;
pub(crate) mod memory;
#[cfg(feature = "mongodb")]
pub(crate) mod mongodb;
#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
#[cfg_attr(
    not(all(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis")),
    allow(dead_code, reason = "each kind of server needs a part of it")
)]
pub(crate) mod network;
pub(crate) mod outcome;
pub(crate) mod redb;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod sql;
pub(crate) mod waker;

pub use crate::record::Record;
pub use crate::record::content::ContentKind;
pub use crate::session::user::UserKey;
pub use crate::time::clock::Timestamp;
pub use crate::time::moment::Moment;
pub use attachment::{Attachment, Attachments};
pub use check::{Checked, Finding, Inspect, Problem};
pub use contract::Engine;
pub use limits::{Limits, PerUser, UserLimit};
pub use memory::MemoryEngine;
#[cfg(feature = "mongodb")]
pub use mongodb::MongodbEngine;
pub use outcome::{
    Ended, EngineStats, Insert, Listing, Rekey, Replace, Saved, Sweep, Visit, VisitUser,
};
pub use redb::engine::RedbEngine;
pub use redb::options::RedbOptions;
#[cfg(feature = "redis")]
pub use redis::RedisEngine;
#[cfg(feature = "mysql")]
pub use sql::mysql::MysqlEngine;
#[cfg(feature = "postgres")]
pub use sql::postgres::PostgresEngine;
pub use waker::Waker;
