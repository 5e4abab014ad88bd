//! From a host to a logged-in connection, on a server that takes writes.
//!
//! Invariant: the server's message about a login is not passed on, because it contains the user's
//! name.

mod greeting;
mod proof;
mod rsa;

use std::time::Duration;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::hosts::{Host, find_primary};
use crate::engine::network::transport::location::{Address, Secret};
use crate::engine::network::transport::stream::Stream;
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::Tls;
use crate::engine::sql::dialect::Dialect as _;
use crate::engine::sql::mysql::Mysql;
use crate::engine::sql::mysql::answer::Refusal;
use crate::engine::sql::mysql::login::greeting::{Greeting, login_request, until_zero};
use crate::engine::sql::mysql::login::proof::{Method, encrypted, in_clear};
use crate::engine::sql::mysql::login::rsa::PublicKey;
use crate::engine::sql::mysql::packets::Packets;
use crate::engine::sql::mysql::statements::{ROLE, SETTINGS};
use crate::engine::sql::mysql::value::write_statement;
use crate::engine::sql::mysql::wire::MysqlConnection;
use crate::engine::sql::rows::{Row as _, garbled};
use crate::engine::sql::value::Value;
use crate::error::Error;

/// Where to log in, and as which user.
#[derive(Debug)]
pub(super) struct Login {
    /// The server in words.
    pub(super) server: String,
    pub(super) addresses: Vec<Address>,
    pub(super) user: Secret,
    pub(super) password: Option<Secret>,
    pub(super) database: String,
    /// The time limit for a lock: at least a second, the server's unit.
    pub(super) lock_timeout: Duration,
    /// The time limit for a statement that only reads.
    pub(super) read_timeout: Duration,
    /// The time limit for a pause in a transaction that has written, in MariaDB.
    pub(super) idle_timeout: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

impl Login {
    /// Connects to the first host that takes writes.
    pub(super) fn connect(&self, deadline: Deadline) -> Attempt<MysqlConnection> {
        let addresses = &self.addresses;
        find_primary(addresses, addresses.len(), deadline, |address, deadline| {
            self.connect_to(address, deadline).map(Host::Primary)
        })
    }

    fn connect_to(&self, address: &Address, deadline: Deadline) -> Attempt<MysqlConnection> {
        let mut on = Packets::over(Stream::connect(address, deadline)?);
        on.set_deadline(deadline);
        let packet = on.next()?;
        if let Some((0xff, rest)) = packet.split_first() {
            return Err(self.refused(&Refusal::parse(rest)));
        }
        let greeting = Greeting::parse(&packet).ok_or_else(|| {
            self.unavailable("the server does not speak the protocol of MySQL 4.1 or newer")
        })?;
        let mut on = self.secured(on, &greeting, &address.host)?;
        self.authenticate(&mut on, &greeting)?;
        let mut on = MysqlConnection::over(on);
        self.prepare(&mut on)?;
        Ok(on)
    }

    #[cfg(feature = "tls")]
    fn secured(&self, mut on: Packets, greeting: &Greeting, host: &str) -> Attempt<Packets> {
        let Some(tls) = &self.tls else { return Ok(on) };
        if !greeting.has_tls {
            return Err(Failure::not_done("the server has no TLS; say `tls=off` to do without"));
        }
        on.send(&greeting::tls_request())?;
        on.map_stream(|stream| stream.into_tls(tls, host))
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unnecessary_wraps, reason = "with TLS it may fail")]
    fn secured(&self, on: Packets, _: &Greeting, _: &str) -> Attempt<Packets> {
        Ok(on)
    }

    const fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    fn authenticate(&self, on: &mut Packets, greeting: &Greeting) -> Attempt<()> {
        let mut challenge = greeting.challenge.clone();
        // The server asks for another method later, if it needs one.
        let mut method = match Method::named(&greeting.method) {
            None | Some(Method::Clear) => Method::Native,
            Some(method) => method,
        };
        let proof = method.proof(self.password.as_ref(), &challenge);
        let user = self.user.expose();
        on.send(&login_request(self.is_secured(), user, &proof, &self.database, method))?;
        loop {
            let packet = on.next()?;
            match packet.split_first() {
                Some((0x00, _)) => return Ok(()),
                Some((0xff, rest)) => return Err(self.refused(&Refusal::parse(rest))),
                // The server asks for another method, with new random bytes.
                Some((0xfe, rest)) => {
                    let (name, data) = until_zero(rest).unwrap_or_default();
                    method = self.allowed(name)?;
                    challenge = data.strip_suffix(&[0]).unwrap_or(data).to_vec();
                    on.send(&method.proof(self.password.as_ref(), &challenge))?;
                }
                Some((0x01, rest)) if method == Method::CachingSha2 => match rest {
                    // The server has cached the password.
                    [3] => {}
                    [4] => self.send_password(on, &challenge)?,
                    _ => return Err(garbled()),
                },
                _ => return Err(garbled()),
            }
        }
    }

    fn allowed(&self, name: &[u8]) -> Attempt<Method> {
        match Method::named(name) {
            Some(Method::Clear) if !self.is_secured() => Err(self.unavailable(
                "the server asks for the password in clear, which is not sent but in TLS",
            )),
            Some(method) => Ok(method),
            None => {
                let name: String = String::from_utf8_lossy(name).chars().take(40).collect();
                Err(self.unavailable(&format!(
                    "the server asks for a login by `{name}`, perhaps since it does not know the \
                     user; `caching_sha2_password` and `mysql_native_password` are supported"
                )))
            }
        }
    }

    /// Sends the password itself: in TLS, or encrypted for the server's key.
    fn send_password(&self, on: &mut Packets, challenge: &[u8]) -> Attempt<()> {
        let password = self.password.as_ref().map(Secret::expose).unwrap_or_default();
        if self.is_secured() {
            return on.send(&in_clear(password));
        }
        on.send(&[2])?;
        let packet = on.next()?;
        let key = packet.strip_prefix(&[1]).and_then(PublicKey::parse);
        let key = key.ok_or_else(|| self.unavailable("the server has no key to log in with"))?;
        match encrypted(password, challenge, &key)? {
            Some(encrypted) => on.send(&encrypted),
            None => Err(self.unavailable("the password is too long for the server's key")),
        }
    }

    /// Applies the connection's settings, and checks that the server takes writes.
    fn prepare(&self, on: &mut MysqlConnection) -> Attempt<()> {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX).max(1);
        let (lock, idle) = (seconds(self.lock_timeout), seconds(self.idle_timeout));
        let millis = i64::try_from(self.read_timeout.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut text = String::new();
        for setting in SETTINGS {
            let values = [Value::Number(lock), Value::Number(millis), Value::Number(idle)];
            write_statement(setting, &values, &mut text);
            text.push(';');
        }
        text.push_str(ROLE);
        let outcomes =
            on.query(&text)?.map_err(|refusal| Mysql::refused(&self.server, &refusal))?;
        let [.., cluster, role] = &outcomes[..] else { return Err(garbled()) };
        if cluster.rows.first().is_some_and(|row| row.bytes(1) == Some(b"ON")) {
            on.note_cluster();
        }
        let row = role.rows.first().ok_or_else(garbled)?;
        let longest = row.number(0).and_then(|most| usize::try_from(most).ok());
        on.limit_requests(longest.ok_or_else(garbled)?);
        let is_off = |column| matches!(row.bytes(column), Some(b"0" | b"OFF"));
        match is_off(1) && is_off(2) {
            true => Ok(()),
            false => Err(Failure::not_now("the server is a replica, which takes no writes")),
        }
    }

    fn unavailable(&self, reason: &str) -> Failure {
        Error::Unavailable { server: self.server.clone(), source: source(reason) }.into()
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        if let Some(failure) = refusal.of_the_connection().or_else(|| refusal.of_the_moment()) {
            return failure;
        }
        match refusal.code {
            // Of the whole server, or of this user.
            1045 if !self.is_secured() => {
                self.unavailable("the server refuses the user or the password, or asks for TLS")
            }
            1044 | 1045 | 1698 | 1862 | 3118 | 4151 => {
                self.unavailable("the server refuses the user or the password")
            }
            1049 => self.unavailable("the server has no database of the name in the URL"),
            1129 => self.unavailable("the server has blocked this machine after failed logins"),
            3955 => self.unavailable("the server has blocked this user after failed logins"),
            3159 => self.unavailable("the server asks for TLS: say `tls=on` in the URL"),
            1130 => self.unavailable("the server takes no logins from this machine"),
            code => self.unavailable(&format!("the server refuses the login (error {code})")),
        }
    }
}
