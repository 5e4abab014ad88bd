//! The engine on MySQL and MariaDB.
//!
//! Invariant: each call is one statement or one transaction, sent as one text, on a cluster as a
//! text for each statement; the statement that loads a record is prepared on each connection. The
//! engine speaks the protocol itself: so a call has one deadline, whatever the server does, and the
//! engine knows whether a request was sent.

mod answer;
mod calls;
mod login;
mod packets;
mod prepared;
mod requests;
mod statements;
mod value;
mod wire;

use crate::engine::contract::Engine;
use crate::engine::network::backend::Attempt;
use crate::engine::network::options::{KNOWN, Options, Secured, server_in_words};
use crate::engine::network::server::{Repeat, Server};
use crate::engine::network::transport::location::{Location, invalid};
use crate::engine::sql::Sql;
use crate::engine::sql::dialect;
use crate::engine::sql::mysql::login::Login;
use crate::engine::sql::mysql::statements::{LOAD, SERVER, TABLES, Text};
use crate::engine::sql::mysql::wire::MysqlConnection;
use crate::engine::sql::rows::Row as _;
use crate::error::{Error, Result};

const DEFAULT_PORT: u16 = 3306;

/// The oldest supported versions of MySQL and of MariaDB.
const OLDEST: [(&str, (u32, u32)); 2] = [("MySQL", (8, 0)), ("MariaDB", (10, 6))];

/// Stores sessions on a MySQL or MariaDB server.
///
/// The store's tables are `NAME_sessions`, `NAME_users`, `NAME_counts` and `NAME_meta`, in the
/// database of the URL; missing tables are created. Every call is one statement or one short
/// transaction.
///
/// # Durability
///
/// When a call returns, its transaction is committed: with the server's default settings it
/// survives power loss. Whether it survives a failover depends on the replication: an asynchronous
/// replica may lack the last changes, logouts included.
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
/// use sessile::engine::MysqlEngine;
///
/// let engine = MysqlEngine::connect("mysql://shop:secret@localhost/shop?name=sessions")?;
/// let store: SessionStore = SessionStore::builder().engine(engine).build()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct MysqlEngine {
    server: Server<Sql<Mysql>>,
}

impl MysqlEngine {
    /// Connects to a URL: `mysql://user[:password]@host[:port][,host[:port]...]/database`. Of
    /// several hosts, the first that takes writes is used.
    ///
    /// | parameter | default | means |
    /// |---|---|---|
    /// | `name` | `sessile` | the beginning of the names of the store's tables |
    /// | `timeout_ms` | 5000 | the time limit of a call, retries included |
    /// | `connections` | 16 | the most connections that are open at once; one more while listings hold them all |
    /// | `tls` | | `on` or `off`; by default on, unless the server is on this machine |
    /// | `tls_ca` | | a file of certificates, in PEM, to trust instead of the system's |
    /// | `tls_cert`, `tls_key` | | files of this client's own certificate and of its key, in PEM |
    /// | `tls_name` | the host | the name that the server's certificate is for |
    ///
    /// `ssl-mode=REQUIRED`, `VERIFY_CA` and `VERIFY_IDENTITY` mean `tls=on`, and
    /// `ssl-mode=DISABLED` means `tls=off`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a malformed URL or an unknown parameter.
    /// [`Error::Unavailable`] if no server that takes writes is reached, or it refuses the login or
    /// the tables. [`Error::UnsupportedServer`] if it is too old, or a table of the store is in an
    /// engine without transactions. [`Error::UnsupportedFormat`] if a newer version of this library
    /// stored the sessions there.
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

    fn server(url: &str) -> Result<Server<Sql<Mysql>>> {
        let mut location = Location::parse(url, DEFAULT_PORT)?;
        if location.scheme != "mysql" {
            return Err(invalid("needs the scheme `mysql`"));
        }
        let options = Options::take(&mut location, Secured::Default)?;
        location.finish(&format!("{KNOWN}, `tls`"))?;
        let server = server_in_words("MySQL", &location);
        let user =
            location.user.ok_or_else(|| invalid("needs a user, as in `mysql://user@host/shop`"))?;
        if location.path.is_empty() {
            return Err(invalid("needs a database, as in `mysql://user@host/shop`"));
        }
        let texts_hold_a_zero = |text: &str| text.contains('\0');
        if texts_hold_a_zero(user.expose()) || texts_hold_a_zero(&location.path) {
            return Err(invalid("holds a zero byte"));
        }
        let login = Login {
            server: server.clone(),
            database: location.path,
            user,
            password: location.password,
            addresses: location.addresses,
            lock_timeout: options.limits.lock(),
            read_timeout: options.limits.statement(),
            idle_timeout: options.limits.idle(),
            #[cfg(feature = "tls")]
            tls: options.tls,
        };
        let load = LOAD.replace("{}", &options.name);
        let read_limit = format!(
            "/*M!100101 set statement max_statement_time = {:.3} for */ ",
            options.limits.statement().as_secs_f64()
        );
        let mysql = Mysql { login, load, read_limit };
        let sql = Sql::new(server, mysql, options.name, options.limits);
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

impl Engine for MysqlEngine {
    crate::forward_engine!(server);
}

/// The dialect, and where to log in.
#[derive(Debug)]
pub(crate) struct Mysql {
    login: Login,
    /// The text of the statement that loads a record.
    load: String,
    /// The time limit for a statement that only reads, before it. MySQL skips this comment: it has
    /// the limit from the settings of the connection.
    read_limit: String,
}

/// One statement, with its values.
type Step<'a> = dialect::Step<'a, Text>;

impl Sql<Mysql> {
    /// Refuses a server that is too old, and tables that somebody gave an engine without
    /// transactions.
    fn check_server(&self, on: &mut MysqlConnection) -> Attempt<()> {
        let text = SERVER.replace("{}", &self.name);
        let outcomes = on.query(&text)?.map_err(|refusal| self.refused(&refusal))?;
        let row = outcomes.first().and_then(|outcome| outcome.rows.first());
        let text = |column| {
            let bytes = row.and_then(|row| row.bytes(column)).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (version, unsafe_tables) = (text(0), text(1));
        let (found, needed) = if is_too_old(&version) {
            let oldest = OLDEST.map(|(kind, (major, minor))| format!("{kind} {major}.{minor}"));
            (format!("version {version}"), oldest.join(" or ") + ", or newer")
        } else if !unsafe_tables.is_empty() {
            let found = format!("tables in an engine without transactions: {unsafe_tables}");
            (found, "`alter table ... engine=InnoDB` for each of them".into())
        } else {
            return Ok(());
        };
        Err(Error::UnsupportedServer { server: self.server.clone(), found, needed }.into())
    }

    /// Creates the tables, unless they exist, and counts the sessions again if somebody emptied the
    /// counts. Several hosts may do so at once.
    fn make_tables(&self, on: &mut MysqlConnection) -> Attempt<()> {
        match self.has_counts(on)? {
            Some(true) => return Ok(()),
            Some(false) => return self.count_again(on),
            None => {}
        }
        for text in TABLES {
            let made = on.query(&text.replace("{}", &self.name))?;
            made.map_err(|refusal| self.refused(&refusal))?;
        }
        self.count_again(on)?;
        // The connection was made before the tables.
        on.prepare_load(&self.dialect.load)
    }
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next().and_then(|digits| digits.parse::<u32>().ok());
    let [(_, mysql), (kind, mariadb)] = OLDEST;
    let oldest = if version.contains(kind) { mariadb } else { mysql };
    number().zip(number()).is_some_and(|found| found < oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_too_old_below_the_oldest_of_its_kind() {
        for (version, expected) in [
            ("5.7.44-log", true),
            ("8.0.36", false),
            ("8.4.0", false),
            ("9.1.0", false),
            ("10.5.23-MariaDB", true),
            ("10.6.1-MariaDB-log", false),
            ("10.11.19-MariaDB-0+deb12u1", false),
            ("11.4.2-MariaDB", false),
        ] {
            assert_eq!(is_too_old(version), expected, "{version}");
        }
        assert!(!is_too_old("unknown"));
    }

    #[test]
    fn a_url_that_is_not_understood_is_refused_before_anything_is_asked() {
        for url in [
            "postgres://u@localhost/shop",
            "mysql://localhost/shop",
            "mysql://u@localhost",
            "mysql://u%00@localhost/shop",
            "mysql://u@localhost/shop?ssl-mode=preferred",
        ] {
            let refused = MysqlEngine::connect(url);
            assert!(matches!(refused, Err(Error::InvalidSetting { .. })), "{url}");
        }
    }
}
