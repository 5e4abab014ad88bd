//! The peers: the cheapest requests to the same server, an empty round trip and one value by key.
//!
//! They are bare clients over a socket, without a password, a pool or TLS. The peer of a file is a
//! write of one page and a sync.

mod file;
mod mysql;
mod postgres;
mod redis;

use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::servers::Outcome;

/// About the bytes of one record of the measured sessions.
const VALUE: usize = 350;

/// Where sessions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Postgres,
    Mysql,
    Redis,
}

/// A request of a bare client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainCall {
    RoundTrip,
    /// Reads a value by key.
    Read,
    /// Writes a value under a new key.
    Insert,
    /// Writes a value under an existing key.
    Update,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::Postgres, Self::Mysql, Self::Redis];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MariaDB",
            Self::Redis => "Redis",
        }
    }

    /// The environment variable that names a server of this kind.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            // It needs no server.
            Self::File => "",
            Self::Postgres => "SESSILE_TEST_POSTGRES_URL",
            Self::Mysql => "SESSILE_TEST_MYSQL_URL",
            Self::Redis => "SESSILE_TEST_REDIS_URL",
        }
    }

    pub(crate) const fn plain_calls(self) -> &'static [PlainCall] {
        match self {
            Self::File => &[PlainCall::Insert],
            _ => &[PlainCall::RoundTrip, PlainCall::Read, PlainCall::Insert, PlainCall::Update],
        }
    }

    pub(crate) const fn name_of(self, call: PlainCall) -> &'static str {
        match (self, call) {
            (Self::File, _) => "a bare write and sync",
            (Self::Redis, PlainCall::RoundTrip) => "a bare `PING`",
            (Self::Redis, PlainCall::Read) => "a bare `GET`",
            (Self::Redis, PlainCall::Insert) => "a bare `SET`, new key",
            (Self::Redis, PlainCall::Update) => "a bare `SET`",
            (_, PlainCall::RoundTrip) => "a bare `SELECT 1`",
            (_, PlainCall::Read) => "a bare `SELECT` by key",
            (_, PlainCall::Insert) => "a bare `INSERT`",
            (_, PlainCall::Update) => "a bare `UPDATE` by key",
        }
    }
}

/// One connection to a server, or one open file.
pub(crate) trait Client: Send {
    /// Makes a call and checks the result.
    fn call(&mut self, call: PlainCall) -> Outcome<()>;

    /// Removes everything that the bare clients of this process have stored.
    fn clean_up(&mut self) -> Outcome<()>;
}

pub(crate) fn connect(kind: Kind, url: &str, folder: &Path) -> Outcome<Box<dyn Client>> {
    Ok(match kind {
        Kind::File => Box::new(file::Client::open(folder)?),
        Kind::Postgres => Box::new(postgres::Client::connect(&Address::of(url)?)?),
        Kind::Mysql => Box::new(mysql::Client::connect(&Address::of(url)?)?),
        Kind::Redis => Box::new(redis::Client::connect(&Address::of(url)?)?),
    })
}

/// A number that is unique in this process.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A random id, as a session's is: neighbours in time are no neighbours in an index.
type Id = [u8; 16];

fn new_id() -> Outcome<Id> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    Ok(id)
}

/// The prefix of every name that the bare clients store.
fn prefix() -> String {
    format!("bench_{}_plain", std::process::id())
}

/// The parts of a URL that a bare client needs.
struct Address {
    user: String,
    server: String,
    database: String,
}

impl Address {
    fn of(url: &str) -> Outcome<Self> {
        let (_, rest) = url.split_once("://").ok_or("the address is not a URL")?;
        let rest = rest.split('?').next().unwrap_or(rest);
        let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        if login.contains(':') || url.starts_with("rediss:") {
            return Err("a bare client needs a login without a password or TLS".into());
        }
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { user: login.into(), server: server.into(), database: database.into() })
    }

    fn socket(&self) -> Outcome<BufReader<TcpStream>> {
        let socket = TcpStream::connect(&self.server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(BufReader::new(socket))
    }
}
