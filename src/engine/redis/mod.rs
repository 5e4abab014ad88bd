//! The engine on Redis or Valkey, a single server or a cluster.
//!
//! Invariant: each call is one script, and so one step on the server. The engine needs no client
//! library: [`wire`] speaks the protocol, and [`nodes`] follows moved slots and failovers.

mod ask;
mod calls;
mod keys;
mod listing;
mod nodes;
mod saving;
mod scripts;
mod value;
mod wire;

use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::contract::Engine;
use crate::engine::network::backend::{Attempt, Backend as _};
use crate::engine::network::options::{
    FORMAT_NAME, KNOWN, Options, Secured, format_text, server_in_words,
};
use crate::engine::network::server::Server;
use crate::engine::network::transport::location::{Location, invalid};
use crate::engine::redis::ask::{Effect, RedisConnection};
use crate::engine::redis::keys::Keys;
use crate::engine::redis::nodes::{Login, Nodes};
use crate::engine::redis::wire::Reply;
use crate::error::{Error, Result};

const DEFAULT_PORT: u16 = 6379;

/// The oldest supported version.
const OLDEST: (u32, u32) = (6, 2);

/// Stores sessions on a Redis or Valkey server, or on a cluster of them.
///
/// Every call is one script on the server: one step and one round trip. A store occupies one slot
/// of a cluster, so it lives on one primary and fails over with it; stores with other names are in
/// other slots.
///
/// # Durability
///
/// When a call returns, its change is in the memory of one primary. `appendonly` and `appendfsync`
/// determine which changes survive a crash; by default Redis loses all since its last snapshot. A
/// failover may undo the last changes, too. Logouts are such changes. With `replicas=1` in the URL,
/// a replica acknowledges each change except a touch before the call returns.
///
/// # Security
///
/// The server holds no session id, and holds user ids and content in clear. `redis://` is not
/// encrypted: use `rediss://` on a network that others can listen to.
///
/// # Examples
///
/// ```no_run
/// use sessile::SessionStore;
/// use sessile::engine::RedisEngine;
///
/// let engine = RedisEngine::connect("redis://localhost:6379/0?name=shop")?;
/// let store: SessionStore = SessionStore::builder().engine(engine).build()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct RedisEngine {
    server: Server<Redis>,
}

impl RedisEngine {
    /// Connects to a URL: `redis://[[user]:password@]host[:port][,host[:port]...][/database]`, or
    /// the same with `rediss://` for TLS. For a cluster, any of its nodes will do.
    ///
    /// | parameter | default | means |
    /// |---|---|---|
    /// | `name` | `sessile` | the beginning of the store's keys: stores with different names share nothing |
    /// | `timeout_ms` | 5000 | the time limit of a call, retries included |
    /// | `connections` | 16 | the most connections that are open at once |
    /// | `replicas` | 0 | how many replicas must acknowledge a change before the call returns |
    /// | `eviction` | `refuse` | `allow` accepts a server that may evict many sessions at any time, and the users' index, without which a logout of all of a user's sessions ends none |
    /// | `tls_ca` | | a file of certificates, in PEM, to trust instead of the system's |
    /// | `tls_cert`, `tls_key` | | files of this client's own certificate and of its key, in PEM |
    /// | `tls_name` | the host | the name that the server's certificate is for |
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a malformed URL or an unknown parameter.
    /// [`Error::Unavailable`] if no primary is reached, or it refuses the login, or the user
    /// cannot use every command that a store needs.
    /// [`Error::UnsupportedServer`] if it is too old or may evict sessions.
    /// [`Error::UnsupportedFormat`] if a newer version of this library stored the sessions there.
    pub fn connect(url: &str) -> Result<Self> {
        let server = Self::server(url)?;
        server.read(|redis, _| redis.ensure_writes())?;
        Ok(Self { server: server.open()? })
    }

    /// As [`connect`](Self::connect), but only if there is a store; `None` if there is none. It
    /// stores nothing. For a user who may only read, each change fails.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub fn connect_existing(url: &str) -> Result<Option<Self>> {
        let server = Self::server(url)?;
        let found = server.open_existing(|redis, on| redis.find_format(on))?;
        Ok(found.map(|server| Self { server }))
    }

    fn server(url: &str) -> Result<Server<Redis>> {
        let mut location = Location::parse(url, DEFAULT_PORT)?;
        let secured = match location.scheme.as_str() {
            "redis" => Secured::No,
            "rediss" => Secured::Yes,
            _ => return Err(invalid("needs the scheme `redis` or `rediss`")),
        };
        if location.user.is_some() && location.password.is_none() {
            return Err(invalid(
                "names a user without a password; say `redis://USER:PASSWORD@host`, or \
                 `redis://:PASSWORD@host` for the password of all",
            ));
        }
        let options = Options::take(&mut location, secured)?;
        let replicas = location.take("replicas")?.unwrap_or(0);
        let may_evict = match location.take::<String>("eviction")?.as_deref() {
            None | Some("refuse") => false,
            Some("allow") => true,
            Some(_) => return Err(invalid("needs `eviction` to be `allow` or `refuse`")),
        };
        location.finish(&format!("{KNOWN}, `replicas`, `eviction`"))?;
        let database = match location.path.as_str() {
            "" => 0,
            path => path.parse().map_err(|_| invalid("needs a database's number as its path"))?,
        };
        let server = server_in_words("Redis", &location);
        let login = Login {
            user: location.user,
            password: location.password,
            database,
            #[cfg(feature = "tls")]
            tls: options.tls,
        };
        let redis = Redis {
            nodes: Nodes::new(server.clone(), login, location.addresses, &options.name),
            server,
            keys: Keys::new(&options.name),
            digests: OnceLock::new(),
            hindrance: Mutex::new(None),
            replicas,
            // Half of the time that an answer may take.
            longest_wait: options.limits.timeout.mul_f32(0.2),
        };
        let server = Server::new(redis, options.limits);
        server.read(|redis, on| {
            let replies = [&b"server"[..], b"memory"].map(|section| {
                redis.command(on, Effect::Reads, &[b"INFO", section]).map(Reply::text)
            });
            let info: String =
                replies.into_iter().filter_map(|reply| reply.ok().flatten()).collect();
            redis.check_server(&info, may_evict)?;
            redis.load_scripts(on)?;
            redis.learn_rights(on)
        })?;
        Ok(server)
    }
}

impl Engine for RedisEngine {
    crate::forward_engine!(server);
}

/// A store on one server or cluster.
#[derive(Debug)]
pub(crate) struct Redis {
    /// The server in words.
    server: String,
    nodes: Nodes,
    keys: Keys,
    /// The digests of the scripts, once a node has loaded them.
    digests: OnceLock<Vec<String>>,
    /// The server's refusal, if the user cannot change what a store changes.
    hindrance: Mutex<Option<String>>,
    replicas: u32,
    /// The time that the server may wait for its replicas.
    longest_wait: Duration,
}

impl Redis {
    /// The format of the stored data; `None` if there is no store. Sessions without metadata are of
    /// a program that is running: somebody removed all keys under it, as `FLUSHALL` does.
    fn find_format(&self, on: &mut RedisConnection) -> Attempt<Option<Vec<u8>>> {
        let found = self.load_meta(on, FORMAT_NAME)?;
        if found.is_none() && self.stored(on)? > 0 {
            return Ok(Some(format_text().into_bytes()));
        }
        Ok(found)
    }

    /// Refuses a server that is too old, or that may evict sessions. A server that does not report
    /// its settings is accepted.
    fn check_server(&self, info: &str, may_evict: bool) -> Result<()> {
        let field = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim)
        };
        let unsupported = |found: String, needed: String| Error::UnsupportedServer {
            server: self.server.clone(),
            found,
            needed,
        };
        if let Some(found) = field("redis_version").filter(|version| is_too_old(version)) {
            let (major, minor) = OLDEST;
            return Err(unsupported(
                format!("version {found}"),
                format!("Redis {major}.{minor} or Valkey"),
            ));
        }
        match field("maxmemory_policy") {
            Some(policy) if policy.starts_with("allkeys") && !may_evict => Err(unsupported(
                format!("`maxmemory-policy {policy}`, which evicts sessions without a word"),
                "`noeviction`, or `eviction=allow` in the URL, where a logout of all of a user's \
                 sessions may then end none"
                    .into(),
            )),
            _ => Ok(()),
        }
    }
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_too_old_below_the_oldest() {
        for (version, expected) in [
            ("5.0.14", true),
            ("6.0.20", true),
            ("6.2.0", false),
            ("7.0.15", false),
            ("10.0", false),
        ] {
            assert_eq!(is_too_old(version), expected, "{version}");
        }
        assert!(!is_too_old("unstable"));
    }

    #[test]
    fn a_url_that_is_not_understood_is_refused_before_anything_is_asked() {
        for url in [
            "http://localhost",
            "redis://localhost/x",
            "redis://localhost?replica=1",
            "redis://localhost?eviction=perhaps",
            "redis://localhost?tls=on",
            "redis://ann@localhost",
        ] {
            assert!(
                matches!(RedisEngine::connect(url), Err(Error::InvalidSetting { .. })),
                "{url}"
            );
        }
    }
}
