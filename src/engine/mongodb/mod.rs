//! The engine on MongoDB: a replica set, or a cluster behind routers.
//!
//! Invariant: what a call has shown or acknowledged is on a majority of the servers, so that no
//! failover takes it back. A call is one command or one transaction. It speaks the protocol itself:
//! so a call has one deadline, whatever the server does, and it is known whether a request was
//! handed over.

mod bson;
mod calls;
mod commands;
mod documents;
mod listing;
mod login;
mod refusal;
mod saving;
mod transaction;
mod wire;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::contract::Engine;
use crate::engine::mongodb::bson::{Document, bson, list};
use crate::engine::mongodb::commands::UNSEEN;
use crate::engine::mongodb::login::{Hosts, Login};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::saving::Counted;
use crate::engine::mongodb::wire::{Answer, MongodbConnection, Reply, garbled};
use crate::engine::network::backend::{Attempt, Backend as _};
use crate::engine::network::options::{FORMAT_NAME, KNOWN, Options, Secured, server_in_words};
use crate::engine::network::server::{Limits, Repeat, Server};
use crate::engine::network::transport::location::{Location, invalid};
use crate::error::Result;

const DEFAULT_PORT: u16 = 27_017;

/// The database, if the URL names none.
const DEFAULT_DATABASE: &str = "sessile";

/// How many times as long as other calls ending everything may take: it waits for transactions.
const CLEARING: u32 = 12;

/// How long ending a transaction that was left behind may take, at the least.
const LEAST_ABANDONING: Duration = Duration::from_millis(100);

/// Keeps sessions on a MongoDB replica set, or on a sharded cluster's routers.
///
/// The store's collections are `NAME_sessions`, `NAME_users` and `NAME_meta`, in the database of
/// the URL; they are made where they are missing. Every call is one command or one short
/// transaction.
///
/// **It has never been run against a real server, only against a stand-in that speaks the
/// protocol.**
///
/// # Durability
///
/// An answer means that the change is on the disks of a majority of the replica set, and what is
/// read is as well: so it survives power loss and a failover.
///
/// # Security
///
/// The server holds no session id, and holds user ids and content in clear. A connection to another
/// machine is in TLS, and the server's certificate is verified, unless the URL says `tls=off`.
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
    /// Connects by a URL: `mongodb://[user:password@]host[:port][,host[:port]...][/database]`. Of a
    /// replica set any members will do: the primary is found and followed.
    ///
    /// | parameter | default | means |
    /// |---|---|---|
    /// | `name` | `sessile` | what the names of the store's collections begin with |
    /// | `timeout_ms` | 5000 | how long a call takes at the most, other attempts included |
    /// | `connections` | 16 | how many connections are open at the most |
    /// | `replicaSet` | | what the replica set has to be called |
    /// | `authSource` | the database, or `admin` | the database that knows the user |
    /// | `directConnection` | `false` | `true` leaves alone the members that the hosts of the URL name |
    /// | `tls` | | `on` or `off`; by default on, unless the server is on this machine |
    /// | `tls_ca` | | a file of certificates, in PEM, to trust instead of the system's |
    ///
    /// `w=majority`, `retryWrites=true` and `appName` are taken, and change nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a URL that is none or has a parameter that is unknown, and for
    /// `mongodb+srv://`. [`Error::Unavailable`] if no primary is reached, or it refuses the login or
    /// the collections. [`Error::UnsupportedServer`] if it is too old, or a server alone, or of another
    /// replica set. [`Error::UnsupportedFormat`] if a newer version of this library keeps sessions
    /// there.
    ///
    /// [`Error::InvalidSetting`]: crate::Error::InvalidSetting
    /// [`Error::Unavailable`]: crate::Error::Unavailable
    /// [`Error::UnsupportedServer`]: crate::Error::UnsupportedServer
    /// [`Error::UnsupportedFormat`]: crate::Error::UnsupportedFormat
    pub fn connect(url: &str) -> Result<Self> {
        let (mongodb, limits) = Mongodb::parse(url)?;
        let server = Server::new(mongodb, limits);
        server.write(Repeat::Idempotent, |mongodb, on, _| {
            mongodb.make_collections(on)?;
            mongodb.count_all(on).map(drop)
        })?;
        Ok(Self { server: server.open()? })
    }

    /// Takes the store's collections away, with every session and every setting in them. Other
    /// engines on the store fail from then on, or make them again.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the server cannot be used, or does not
    /// let the user do so.
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
    /// How many sessions there were when somebody looked.
    counted: Mutex<Option<Counted>>,
    /// Sessions whose last transactions were left behind, and the numbers of those.
    left: Mutex<Vec<([u8; 16], i64)>>,
    /// How long the longest records were that listings have met of late.
    long: AtomicUsize,
    /// How long a change may wait for what others hold, in milliseconds.
    patience: i32,
    /// How long ending everything may take, and ending a transaction that was left behind.
    clearing: Duration,
    abandoning: Duration,
}

/// What a change waits for.
fn acknowledged() -> Document {
    bson! { "w": "majority", "j": true }
}

/// What is read: what is on a majority.
fn on_a_majority() -> Document {
    bson! { "level": "majority" }
}

/// What is read of several documents: one moment that is on a majority.
fn one_moment() -> Document {
    bson! { "level": "snapshot" }
}

/// What the sessions are found by: each key once, by deadline, and each user's by key.
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
    fn parse(url: &str) -> Result<(Self, Limits)> {
        if url.starts_with("mongodb+srv:") {
            return Err(invalid(
                "leaves its hosts to be looked up in DNS, which is not done here; name them, as in \
                 `mongodb://USER:PASSWORD@HOST1:27017,HOST2:27017/DATABASE?replicaSet=NAME&tls=on&\
                 authSource=admin`: `nslookup -type=SRV _mongodb._tcp.HOST` shows the hosts, and \
                 `-type=TXT HOST` the parameters",
            ));
        }
        let mut location = Location::parse(url, DEFAULT_PORT)?;
        if location.scheme != "mongodb" {
            return Err(invalid("needs the scheme `mongodb`"));
        }
        let options = Options::take(&mut location, Secured::Default)?;
        let set = location.take("replicaSet")?;
        let known_in = location.take::<String>("authSource")?;
        for (name, only) in [("w", "majority"), ("retryWrites", "true")] {
            if location.take::<String>(name)?.is_some_and(|value| value != only) {
                return Err(invalid(format!("needs `{name}` to be `{only}`, or left out")));
            }
        }
        location.take::<String>("appName")?;
        let is_direct = location.take("directConnection")?.unwrap_or(false);
        location
            .finish(&format!("{KNOWN}, `tls`, `replicaSet`, `authSource`, `directConnection`"))?;
        let forbidden = |letter: char| letter.is_control() || "/\\. \"$*<>:|?".contains(letter);
        if location.path.contains(forbidden) || location.path.len() > 63 {
            return Err(invalid("names a database that no server can have"));
        }
        if location.user.is_some() && location.password.is_none() {
            return Err(invalid("names a user without a password"));
        }
        let is_named = !location.path.is_empty();
        let source = known_in.unwrap_or_else(|| match is_named {
            true => location.path.clone(),
            false => "admin".into(),
        });
        let hosts = Hosts {
            server: server_in_words("MongoDB", &location),
            login: Login {
                user: location.user,
                password: location.password,
                source,
                #[cfg(feature = "tls")]
                tls: options.tls,
            },
            seeds: location.addresses,
            set,
            is_direct,
            learned: Mutex::default(),
        };
        let name = &options.name;
        let collection = |kind: &str| format!("{name}_{kind}");
        let mongodb = Self {
            hosts,
            database: if is_named { location.path } else { DEFAULT_DATABASE.into() },
            sessions: collection("sessions"),
            users: collection("users"),
            meta: collection("meta"),
            counted: Mutex::new(None),
            left: Mutex::default(),
            long: AtomicUsize::new(UNSEEN),
            patience: i32::try_from(options.limits.lock().as_millis()).unwrap_or(i32::MAX),
            clearing: options.limits.timeout * CLEARING,
            abandoning: (options.limits.timeout / 10).max(LEAST_ABANDONING),
        };
        Ok((mongodb, options.limits))
    }

    /// A command on the store's database.
    fn here(&self, command: Document) -> Document {
        command.with("$db", &self.database)
    }

    fn ask(&self, on: &mut MongodbConnection, command: Document) -> Attempt<Answer> {
        on.ask([self.here(command)])?.pop().ok_or_else(garbled)
    }

    /// One command of which no error is expected.
    fn carry_out(&self, on: &mut MongodbConnection, command: Document) -> Attempt<Reply> {
        self.ask(on, command)?.map_err(|refusal| refusal.failure(&self.hosts.server))
    }

    /// Makes the collections, unless they are there. Several hosts may do so at once. What is
    /// stored in the last one tells that all are.
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

    /// What makes a collection for sessions, with its indexes.
    fn making(&self, name: &str) -> Document {
        bson! { "createIndexes": name, "indexes": indexes(), "writeConcern": acknowledged() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn refusal(url: &str) -> String {
        let error = MongodbEngine::connect(url).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{url}: {error:?}");
        error.to_string()
    }

    #[test]
    fn a_url_that_is_not_understood_is_refused_before_anything_is_asked() {
        for url in [
            "redis://localhost",
            "mongodb://localhost/a.b",
            "mongodb://localhost/a%00b",
            "mongodb://u@localhost/shop",
            "mongodb://localhost/shop?w=1",
            "mongodb://localhost/shop?retryWrites=false",
            "mongodb://localhost/shop?readPreference=secondary",
        ] {
            refusal(url);
        }
        let said = refusal("mongodb+srv://u:hidden@cluster.example.com/shop");
        assert!(said.contains("HOST1:27017,HOST2:27017") && !said.contains("hidden"), "{said}");
    }

    #[test]
    fn a_user_is_known_in_the_database_unless_the_url_says_otherwise() {
        let source = |url: &str| Mongodb::parse(url).unwrap().0.hosts.login.source;
        assert_eq!(source("mongodb://u:p@localhost/shop"), "shop");
        assert_eq!(source("mongodb://u:p@localhost/shop?authSource=admin"), "admin");
        assert_eq!(source("mongodb://u:p@localhost"), "admin");
        let (mongodb, _) = Mongodb::parse("mongodb://localhost?name=a&w=majority").unwrap();
        assert_eq!((mongodb.database.as_str(), mongodb.meta.as_str()), ("sessile", "a_meta"));
    }
}
