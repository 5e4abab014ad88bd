//! The engine on PostgreSQL, and on servers with its protocol and SQL: CockroachDB, YugabyteDB.
//!
//! Invariant: each call is one statement or one transaction. The engine speaks the protocol itself,
//! with `postgres-protocol`: so a call has one deadline, whatever the server does, and needs no
//! async runtime.

mod calls;
mod login;
mod newest;
mod refusal;
mod statements;
mod value;
mod wire;

use crate::engine::contract::Engine;
use crate::engine::network::backend::Attempt;
use crate::engine::network::options::{KNOWN, Options, Secured, server_in_words};
use crate::engine::network::server::{Repeat, Server};
use crate::engine::network::transport::location::{Location, Secret, invalid};
use crate::engine::sql::Sql;
use crate::engine::sql::dialect;
use crate::engine::sql::postgres::login::Login;
use crate::engine::sql::postgres::newest::Newest;
use crate::engine::sql::postgres::statements::{META, ONE_LOCK, SERVER, TABLES, TUNING, Text};
use crate::engine::sql::postgres::wire::PostgresConnection;
use crate::error::{Error, Result};

const DEFAULT_PORT: u16 = 5432;

/// The oldest supported version.
const OLDEST: u32 = 11;

/// Stores sessions on a PostgreSQL server, or on a server with its protocol and SQL.
///
/// The store's tables are `NAME_sessions`, `NAME_users`, `NAME_counts` and `NAME_meta`, in the
/// schemas of the user's search path; missing tables are created in its first schema. Every call is
/// one statement or one short transaction.
///
/// # Durability
///
/// When a call returns, its transaction is committed: with the server's default settings it
/// survives power loss. Whether it survives a failover depends on `synchronous_commit` and
/// `synchronous_standby_names`.
///
/// # Security
///
/// The server holds no session id, and holds user ids and content in clear. A connection to another
/// machine uses TLS, and the server's certificate is verified, unless the URL says `tls=off`.
///
/// # Examples
///
/// ```no_run
/// use sessile::SessionStore;
/// use sessile::engine::PostgresEngine;
///
/// let engine = PostgresEngine::connect("postgres://shop:secret@localhost/shop?name=sessions")?;
/// let store: SessionStore = SessionStore::builder().engine(engine).build()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct PostgresEngine {
    server: Server<Sql<Postgres>>,
}

impl PostgresEngine {
    /// Connects to a URL: `postgres://user[:password]@host[:port][,host[:port]...][/database]`. Of
    /// several hosts, the first that takes writes is used, unless another one has taken over from
    /// it.
    ///
    /// | parameter | default | means |
    /// |---|---|---|
    /// | `name` | `sessile` | the beginning of the names of the store's tables |
    /// | `timeout_ms` | 5000 | the time limit of a call, retries included |
    /// | `connections` | 16 | the most connections that are open at once; one more while listings hold them all |
    /// | `statements` | `kept` | `unnamed` for a pooler that shares connections between statements |
    /// | `tls` | | `on` or `off`; by default on, unless the server is on this machine |
    /// | `tls_ca` | | a file of certificates, in PEM, to trust instead of the system's |
    /// | `tls_cert`, `tls_key` | | files of this client's own certificate and of its key, in PEM |
    /// | `tls_name` | the host | the name that the server's certificate is for |
    ///
    /// `sslmode=require`, `verify-ca` and `verify-full` mean `tls=on`, and `sslmode=disable` means
    /// `tls=off`. `target_session_attrs=read-write` is accepted, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a malformed URL or an unknown parameter.
    /// [`Error::Unavailable`] if no server that takes writes is reached, or it refuses the login or
    /// the tables. [`Error::UnsupportedServer`] if it is too old, or a table of the store is
    /// unlogged. [`Error::UnsupportedFormat`] if a newer version of this library stored the
    /// sessions there.
    pub fn connect(url: &str) -> Result<Self> {
        let server = Self::server(url)?;
        server.write(Repeat::Idempotent, |sql, on, _| {
            sql.check_server(on)?;
            sql.make_tables(on)
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
        let found = Self::server(url)?.open_existing(|sql, on| {
            sql.check_server(on)?;
            Ok(sql.format_in_tables(on)?.flatten())
        })?;
        Ok(found.map(|server| Self { server }))
    }

    fn server(url: &str) -> Result<Server<Sql<Postgres>>> {
        let mut location = Location::parse(url, DEFAULT_PORT)?;
        if !matches!(location.scheme.as_str(), "postgres" | "postgresql") {
            return Err(invalid("needs the scheme `postgres` or `postgresql`"));
        }
        let options = Options::take(&mut location, Secured::Default)?;
        let keeps_statements = match location.take::<String>("statements")?.as_deref() {
            None | Some("kept") => true,
            Some("unnamed") => false,
            Some(_) => return Err(invalid("needs `statements` to be `kept` or `unnamed`")),
        };
        location.take_only("target_session_attrs", "read-write")?;
        location.finish(&format!("{KNOWN}, `statements`, `tls`"))?;
        let server = server_in_words("PostgreSQL", &location);
        let user =
            location.user.ok_or_else(|| invalid("needs a user, as in `postgres://user@host`"))?;
        let login = Login {
            server: server.clone(),
            database: match location.path.as_str() {
                "" => user.clone(),
                path => Secret::from(path),
            },
            user,
            password: location.password,
            addresses: location.addresses,
            keeps_statements,
            lock_timeout: options.limits.lock(),
            statement_timeout: options.limits.statement(),
            newest: Newest::default(),
            #[cfg(feature = "tls")]
            tls: options.tls,
        };
        let sql = Sql::new(server, Postgres { login }, options.name, options.limits);
        Ok(Server::new(sql, options.limits))
    }

    /// Removes the store's tables, with every session and every setting in them. After that, other
    /// engines on the store fail.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the server cannot be used, or does not permit this user to do it.
    pub fn drop_tables(&self) -> Result<()> {
        self.server.write(Repeat::Never, |sql, on, _| sql.drop_tables(on))
    }
}

impl Engine for PostgresEngine {
    crate::forward_engine!(server);
}

/// The dialect, and where to log in.
#[derive(Debug)]
pub(crate) struct Postgres {
    login: Login,
}

/// One statement, with its values.
type Step<'a> = dialect::Step<'a, Text>;

impl Sql<Postgres> {
    /// Refuses a server that is too old, and tables that a crash would empty: the number of
    /// sessions would not fit the rest.
    fn check_server(&self, on: &mut PostgresConnection) -> Attempt<()> {
        let text = SERVER.replace("{}", &self.name);
        let said = on.simple(&text)?.map_err(|refusal| self.refused(&refusal))?;
        let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
        let (version, unlogged) = said.split_once('\n').unwrap_or((&said, ""));
        let (found, needed) = if is_too_old(version) {
            (format!("version {version}"), format!("PostgreSQL {OLDEST} or newer"))
        } else if !unlogged.is_empty() {
            let found = format!("tables that a crash empties: {unlogged}");
            (found, "`alter table ... set logged` for each of them".into())
        } else {
            return Ok(());
        };
        Err(Error::UnsupportedServer { server: self.server.clone(), found, needed }.into())
    }

    /// Creates a table or an index. If two connections create the same one at once, the slower one
    /// gets an error in spite of `if not exists`; its next try finds the other's.
    fn make(&self, on: &mut PostgresConnection, text: &str) -> Attempt<()> {
        const MEETINGS: [&str; 4] = ["23505", "42P07", "42710", "XX000"];
        const MOST: u32 = 20;
        let mut met = 0;
        loop {
            match on.simple(text)? {
                Ok(_) => return Ok(()),
                Err(refusal) if met < MOST && MEETINGS.contains(&refusal.code.as_str()) => met += 1,
                Err(refusal) => return Err(self.refused(&refusal)),
            }
        }
    }

    /// Creates the tables, unless they exist, adds the changes of the number of sessions up, and
    /// counts the sessions again if somebody emptied the counts, or restored them over others.
    /// Several hosts may do so at once.
    fn make_tables(&self, on: &mut PostgresConnection) -> Attempt<()> {
        match self.has_counts(on)? {
            // A program that ends soon never makes the changes after which it would add them up.
            Some(true) => return self.add_up(on),
            Some(false) => {
                self.count_again(on)?;
                let _ = on.simple(&ONE_LOCK.replace("{}", &self.name))?;
                return Ok(());
            }
            None => {}
        }
        for text in TABLES {
            self.make(on, &text.replace("{}", &self.name))?;
        }
        for text in TUNING {
            // Most calls do without the setting, and not every server knows it.
            let _ = on.simple(&text.replace("{}", &self.name))?;
        }
        self.make(on, &META.replace("{}", &self.name))?;
        self.count_again(on)
    }
}

fn is_too_old(version: &str) -> bool {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u32>().is_ok_and(|major| major < OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_too_old_below_the_oldest() {
        for (version, expected) in
            [("9.6.24", true), ("10.3", true), ("11.2-YB-2.20", false), ("15.20 (Debian)", false)]
        {
            assert_eq!(is_too_old(version), expected, "{version}");
        }
        assert!(!is_too_old("unknown"));
    }

    #[test]
    fn a_url_that_is_not_understood_is_refused_before_anything_is_asked() {
        for url in [
            "mysql://u@localhost",
            "postgres://localhost",
            "postgres://u@localhost?sslmode=prefer",
            "postgres://u@localhost?target_session_attrs=any",
            "postgres://u@localhost?statements=some",
        ] {
            let refused = PostgresEngine::connect(url);
            assert!(matches!(refused, Err(Error::InvalidSetting { .. })), "{url}");
        }
    }
}
