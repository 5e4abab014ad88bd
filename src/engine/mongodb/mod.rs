//! The engine on MongoDB: a replica set, or a cluster behind routers.
//!
//! Invariant: every shown or acknowledged state is on a majority of the servers, so that no
//! failover undoes it. A call is one command or one transaction. The engine speaks the protocol
//! itself: so a call has one deadline, whatever the server does, and the engine knows whether a
//! request was sent.
//!
//! Left out: a TTL index, which has another clock and maintains no counts; the driver's retries,
//! since a lost answer is looked up; `$$NOW`, since a call has its moment.

mod bson;
mod calls;
mod commands;
mod documents;
mod listing;
mod login;
mod refusal;
mod saving;
mod transaction;
mod url;
mod wire;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::contract::Engine;
use crate::engine::mongodb::bson::{Document, bson, list};
use crate::engine::mongodb::login::Hosts;
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::wire::{Answer, MongodbConnection, Reply, garbled};
use crate::engine::network::backend::{Attempt, Backend as _};
use crate::engine::network::dns::SystemDns;
use crate::engine::network::options::FORMAT_NAME;
use crate::engine::network::server::{Repeat, Server};
use crate::engine::network::stored::last_count::LastCount;
use crate::error::Result;

/// Stores sessions on a MongoDB replica set, or on a sharded cluster's routers.
///
/// The store's collections are `NAME_sessions`, `NAME_users` and `NAME_meta`, in the database of
/// the URL; missing collections are created. Every call is one command or one short transaction.
///
/// **This engine has never run against a real server, only against a stand-in that speaks the
/// protocol.**
///
/// # Durability
///
/// When a call returns, its change is on the disks of a majority of the replica set, and every
/// record that it returned is on a majority too: so both survive power loss and a failover.
///
/// # Security
///
/// The server holds no session id, and holds user ids and content in clear. A connection to another
/// machine uses TLS, and the server's certificate is verified, unless the URL says `tls=off`.
/// Answers of DNS are not signed: after `mongodb+srv://`, only TLS stops a forged one from leading
/// to another server.
///
/// # Examples
///
/// ```no_run
/// use sessile::SessionStore;
/// use sessile::engine::MongodbEngine;
///
/// let engine = MongodbEngine::connect("mongodb://shop:secret@one,two,three/shop?replicaSet=rs0")?;
/// let store: SessionStore = SessionStore::builder().engine(engine).build()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct MongodbEngine {
    server: Server<Mongodb>,
}

impl MongodbEngine {
    /// Connects to a URL: `mongodb://[user:password@]host[:port][,host[:port]...][/database]`. For
    /// a replica set, any of its members will do: the engine finds and follows the primary.
    ///
    /// `mongodb+srv://[user:password@]HOST[/database]` looks the hosts up in DNS, by MongoDB's
    /// specification: hosts and ports are in the SRV records of `_mongodb._tcp.HOST`, and a TXT
    /// record of HOST may set `authSource` and `replicaSet` where the URL does not. The hosts must
    /// be below the parent domain of HOST, which is HOST without its first label, or all of HOST if
    /// that has only one dot or none. TLS is on unless the URL says `tls=off`. The name servers are
    /// those of `/etc/resolv.conf`, on Windows those of the network adapters. The look-up happens
    /// here, once, and takes at most `timeout_ms`. It is not repeated: the members of a replica set
    /// name each other, and the engine follows them. New routers of a cluster are found by the next
    /// `connect`.
    ///
    /// | parameter | default | means |
    /// |---|---|---|
    /// | `name` | `sessile` | the beginning of the names of the store's collections |
    /// | `timeout_ms` | 5000 | the time limit of a call, retries included |
    /// | `connections` | 16 | the most connections that are open at once |
    /// | `replicaSet` | | the required name of the replica set |
    /// | `authSource` | the database, or `admin` | the database that knows the user |
    /// | `directConnection` | `false` | `true` uses only the hosts of the URL, not the members they name |
    /// | `srvServiceName` | `mongodb` | the name of the service in DNS, for `mongodb+srv://` |
    /// | `tls` | | `on` or `off`; by default on, unless the server is on this machine |
    /// | `tls_ca` | | a file of certificates, in PEM, to trust instead of the system's |
    /// | `tls_cert`, `tls_key` | | files of this client's own certificate and of its key, in PEM |
    /// | `tls_name` | the host | the name that the server's certificate is for |
    ///
    /// `w=majority`, `retryWrites=true`, `readPreference=primary`, `authMechanism=SCRAM-SHA-256`,
    /// `loadBalanced=false` and `appName` are accepted, and change nothing. A load balancer,
    /// `loadBalanced=true`, is not supported. `ssl` and `tls` may also be `true` or `false`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a malformed URL or an unknown parameter, and if DNS has no
    /// hosts for it, or hosts or options that are not allowed. [`Error::Unavailable`] if no name
    /// server answers, no primary is reached, or it refuses the login or the collections.
    /// [`Error::UnsupportedServer`] if it is too old, is not in a replica set,
    /// or is in another one. [`Error::UnsupportedFormat`] if a newer version of this library stored
    /// the sessions there.
    ///
    /// [`Error::InvalidSetting`]: crate::Error::InvalidSetting
    /// [`Error::Unavailable`]: crate::Error::Unavailable
    /// [`Error::UnsupportedServer`]: crate::Error::UnsupportedServer
    /// [`Error::UnsupportedFormat`]: crate::Error::UnsupportedFormat
    pub fn connect(url: &str) -> Result<Self> {
        let (mongodb, limits) = Mongodb::parse(url, &SystemDns)?;
        let server = Server::new(mongodb, limits);
        server.write(Repeat::Idempotent, |mongodb, on, _| {
            mongodb.make_collections(on)?;
            mongodb.count_all(on).map(drop)
        })?;
        Ok(Self { server: server.open()? })
    }

    /// As [`connect`](Self::connect), but only if there is a store; `None` if there is none. It
    /// creates nothing, and so needs no right to.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub fn connect_existing(url: &str) -> Result<Option<Self>> {
        let (mongodb, limits) = Mongodb::parse(url, &SystemDns)?;
        let found = Server::new(mongodb, limits).open_existing(|mongodb, on| {
            let format = mongodb.load_meta(on, FORMAT_NAME)?;
            if format.is_some() {
                mongodb.count_all(on)?;
            }
            Ok(format)
        })?;
        Ok(found.map(|server| Self { server }))
    }

    /// Removes the store's collections, with every session and every setting in them. After that,
    /// other engines on the store fail, or create the collections again.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the server cannot be used, or does not
    /// permit this user to do it.
    pub fn drop_collections(&self) -> Result<()> {
        self.server.write(Repeat::Never, |mongodb, on, _| {
            for name in [&mongodb.sessions, &mongodb.users, &mongodb.meta] {
                let drop = bson! { "drop": name, "writeConcern": acknowledged() };
                match mongodb.ask(on, drop)? {
                    Err(refusal) if refusal.code != Refusal::NAMESPACE_NOT_FOUND => {
                        return Err(refusal.failure(&mongodb.hosts.server));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }
}

impl Engine for MongodbEngine {
    crate::forward_engine!(server);
}

/// A store on one replica set.
#[derive(Debug)]
pub(crate) struct Mongodb {
    hosts: Hosts,
    database: String,
    sessions: String,
    users: String,
    meta: String,
    /// The last count of the sessions.
    last_count: LastCount,
    /// The sessions of abandoned transactions, with the transactions' numbers.
    left: Mutex<Vec<([u8; 16], i64)>>,
    /// The length of the longest record in recent listings.
    long: AtomicUsize,
    /// How long a change may wait for locks, in milliseconds.
    patience: i32,
    /// The time limits for clearing the store, and for aborting an abandoned transaction.
    clearing: Duration,
    abandoning: Duration,
}

/// The write concern of a change.
fn acknowledged() -> Document {
    bson! { "w": "majority", "j": true }
}

/// The read concern of one document: on a majority.
fn on_a_majority() -> Document {
    bson! { "level": "majority" }
}

/// The read concern of several documents: one moment that is on a majority.
fn one_moment() -> Document {
    bson! { "level": "snapshot" }
}

/// The indexes of the sessions: unique by key, by deadline, and by user and key.
fn indexes() -> bson::Value<'static> {
    let partial = bson! { "u": bson! { "$exists": true } };
    list![
        bson! { "key": bson! { "k": 1 }, "name": "key", "unique": true },
        bson! { "key": bson! { "x": 1 }, "name": "deadline" },
        bson! { "key": bson! { "u": 1, "k": 1 }, "name": "user" }
            .with("partialFilterExpression", partial),
    ]
}

impl Mongodb {
    /// A command on the store's database.
    fn here(&self, command: Document) -> Document {
        command.with("$db", &self.database)
    }

    fn ask(&self, on: &mut MongodbConnection, command: Document) -> Attempt<Answer> {
        on.ask([self.here(command)])?.pop().ok_or_else(garbled)
    }

    /// Runs one command; an error is a failure.
    fn carry_out(&self, on: &mut MongodbConnection, command: Document) -> Attempt<Reply> {
        self.ask(on, command)?.map_err(|refusal| refusal.failure(&self.hosts.server))
    }

    /// Creates the collections, unless they exist. Several hosts may do so at once. The value
    /// stored last shows that all of them exist.
    fn make_collections(&self, on: &mut MongodbConnection) -> Attempt<()> {
        if self.load_meta(on, FORMAT_NAME)?.is_some() {
            return Ok(());
        }
        self.carry_out(on, self.making(&self.sessions))?;
        for name in [&self.users, &self.meta] {
            let make = bson! { "create": name, "writeConcern": acknowledged() };
            match self.ask(on, make)? {
                Err(refusal) if refusal.code != Refusal::NAMESPACE_EXISTS => {
                    return Err(refusal.failure(&self.hosts.server));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The command that creates a collection for sessions, with its indexes.
    fn making(&self, name: &str) -> Document {
        bson! { "createIndexes": name, "indexes": indexes(), "writeConcern": acknowledged() }
    }
}
