//! From a host to a logged-in connection, on a server that takes writes.
//!
//! Invariant: the server's message about a login is not passed on, because it contains the user's
//! name. The password itself leaves this machine only in TLS.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;

use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::hosts::{Host, find_primary, look_at_others};
use crate::engine::network::transport::location::{Address, Secret};
use crate::engine::network::transport::stream::Stream;
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::Tls;
use crate::engine::sql::postgres::newest::{Newest, Timeline};
use crate::engine::sql::postgres::refusal::Refusal;
use crate::engine::sql::postgres::wire::{Message, PostgresConnection};
use crate::engine::sql::rows::garbled;
use crate::error::Error;

/// Where to log in, and as which user.
#[derive(Debug)]
pub(super) struct Login {
    /// The server in words.
    pub(super) server: String,
    pub(super) addresses: Vec<Address>,
    pub(super) user: Secret,
    pub(super) password: Option<Secret>,
    /// A secret, because it is the user's name if the URL names no database.
    pub(super) database: Secret,
    /// Whether a prepared statement still exists for the next batch.
    pub(super) keeps_statements: bool,
    /// The time limit for a lock.
    pub(super) lock_timeout: Duration,
    /// The time limit for a statement.
    pub(super) statement_timeout: Duration,
    /// The newest primary that was seen, if there are several hosts.
    pub(super) newest: Newest,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

/// A host that takes writes, and a connection to it.
struct Primary {
    on: PostgresConnection,
    address: Address,
    /// If the URL names several hosts, and the server tells it.
    timeline: Option<Timeline>,
}

const FORMER: &str = "the server is a former primary, from which another one has taken over";

impl Login {
    /// Connects to the first host that takes writes, unless another host took over from it.
    pub(super) fn connect(&self, deadline: Deadline) -> Attempt<PostgresConnection> {
        let addresses = &self.addresses;
        let found = find_primary(addresses, addresses.len(), deadline, |address, deadline| {
            self.visit(address, deadline).map(Host::Primary)
        })?;
        match found.timeline.filter(|timeline| !self.newest.is_recent(*timeline)) {
            Some(timeline) => {
                let newer = self.newer(timeline, Some(&found.address), deadline);
                Ok(newer.map_or(found.on, |newer| newer.on))
            }
            None => Ok(found.on),
        }
    }

    /// Whether a host took over from the one that was the newest primary when a connection was
    /// made: a former primary goes on by itself, and tells nobody.
    pub(super) fn is_superseded(&self, deadline: Deadline) -> bool {
        let timeline = self.newest.timeline();
        timeline.is_some_and(|timeline| {
            !self.newest.is_recent(timeline) && self.newer(timeline, None, deadline).is_some()
        })
    }

    /// Asks the hosts but one for a primary that took over from one with this timeline, for at most
    /// half of the time, and notes which is the newest.
    fn newer(
        &self,
        timeline: Timeline,
        but: Option<&Address>,
        deadline: Deadline,
    ) -> Option<Primary> {
        let others: Vec<_> = self.addresses.iter().filter(|host| Some(*host) != but).collect();
        let (mut newest, mut found) = (timeline, None);
        look_at_others(&others, deadline, |host, soon| {
            if let Ok(other) = self.visit(host, soon)
                && let Some(timeline) = other.timeline.filter(|other| other.follows(newest))
            {
                newest = timeline;
                found = Some(other);
            }
            ControlFlow::Continue(())
        });
        self.newest.note(newest);
        found
    }

    /// Connects to a host that takes writes, and that no host is known to have taken over from.
    fn visit(&self, address: &Address, deadline: Deadline) -> Attempt<Primary> {
        let mut on = self.connect_to(address, deadline)?;
        let timeline = match self.addresses.len() {
            0 | 1 => None,
            _ => Timeline::of(&mut on)?,
        };
        match timeline.is_some_and(|timeline| self.newest.follows(timeline)) {
            true => Err(Failure::not_now(FORMER)),
            false => Ok(Primary { on, address: address.clone(), timeline }),
        }
    }

    fn connect_to(&self, address: &Address, deadline: Deadline) -> Attempt<PostgresConnection> {
        let stream = Stream::connect(address, deadline)?;
        #[cfg(feature = "tls")]
        let stream = match &self.tls {
            Some(tls) => secured(stream, tls, &address.host)?,
            None => stream,
        };
        let mut on = PostgresConnection::over(stream, self.keeps_statements);
        on.set_deadline(deadline);
        let mut request = BytesMut::new();
        let parameters = [
            ("user", self.user.expose()),
            ("database", self.database.expose()),
            ("client_encoding", "UTF8"),
            ("application_name", "sessile"),
        ];
        frontend::startup_message(parameters, &mut request)
            .map_err(|_| Failure::not_done("the URL holds a zero byte"))?;
        on.send(&request)?;
        self.authenticate(&mut on, self.is_secured() || address.is_loopback())?;
        match on.simple(&self.settings())? {
            Ok(Some(answer)) if answer == b"on" => Err(takes_no_writes(&mut on)?),
            Ok(_) => Ok(on),
            Err(refusal) => Err(self.refused(&refusal)),
        }
    }

    /// Applies the connection's settings, and asks whether the server takes writes. With a pooler,
    /// nothing is set: its server connection would keep the settings for other clients.
    fn settings(&self) -> String {
        const ROLE: &str = "show transaction_read_only";
        match self.keeps_statements {
            // A warning tells of standbys that were given up. A statement outside of a transaction
            // that is declared has the default level.
            true => format!(
                "set lock_timeout = {}; set statement_timeout = {}; \
                 set default_transaction_isolation = 'read committed'; \
                 set client_min_messages = warning; {ROLE}",
                self.lock_timeout.as_millis().max(1),
                self.statement_timeout.as_millis().max(1)
            ),
            false => ROLE.into(),
        }
    }

    const fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    fn authenticate(&self, on: &mut PostgresConnection, is_private: bool) -> Attempt<()> {
        loop {
            let Message { tag, body } = on.message()?;
            match tag {
                b'R' => self.answer(on, &body, is_private)?,
                // BackendKeyData
                b'K' => {}
                // ReadyForQuery
                b'Z' => return Ok(()),
                b'E' => return Err(self.refused(&Refusal::parse(&body))),
                _ => return Err(garbled()),
            }
        }
    }

    /// Sends the proof that the server asks for: nothing, the password, its MD5, or SCRAM. Whoever
    /// stands between this machine and the server can ask for the password, so only a connection
    /// that `is_private` carries it.
    fn answer(&self, on: &mut PostgresConnection, asked: &[u8], is_private: bool) -> Attempt<()> {
        let (kind, rest) = asked.split_first_chunk::<4>().ok_or_else(garbled)?;
        match u32::from_be_bytes(*kind) {
            0 => Ok(()),
            3 if !is_private => Err(self.unavailable(
                "the server asks for the password in clear, which is not sent but in TLS",
            )),
            3 => self.send_password(on, self.password()?.expose().as_bytes()),
            5 => {
                let salt = rest.try_into().map_err(|_| garbled())?;
                let (user, password) = (self.user.expose(), self.password()?.expose());
                let hash = md5_hash(user.as_bytes(), password.as_bytes(), salt);
                self.send_password(on, hash.as_bytes())
            }
            10 => self.prove(on, rest),
            _ => Err(self.unavailable("the server asks for a login that is not supported")),
        }
    }

    fn send_password(&self, on: &mut PostgresConnection, proof: &[u8]) -> Attempt<()> {
        let mut request = BytesMut::new();
        frontend::password_message(proof, &mut request)
            .map_err(|_| Failure::not_done("the URL holds a zero byte"))?;
        on.send(&request)
    }

    fn prove(&self, on: &mut PostgresConnection, mechanisms: &[u8]) -> Attempt<()> {
        let offered =
            mechanisms.split(|byte| *byte == 0).any(|one| one == SCRAM_SHA_256.as_bytes());
        if !offered {
            return Err(self.unavailable("the server asks for a login that is not supported"));
        }
        let unproven = |_| self.unavailable("the server does not know the password itself");
        let password = self.password()?.expose().as_bytes();
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        let mut request = BytesMut::new();
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut request)
            .map_err(unproven)?;
        on.send(&request)?;
        scram.update(&self.scram_answer(on, 11)?).map_err(unproven)?;
        request.clear();
        frontend::sasl_response(scram.message(), &mut request).map_err(unproven)?;
        on.send(&request)?;
        scram.finish(&self.scram_answer(on, 12)?).map_err(unproven)
    }

    fn scram_answer(&self, on: &mut PostgresConnection, expected: u32) -> Attempt<Vec<u8>> {
        let Message { tag, body } = on.message()?;
        match (tag, body.split_first_chunk::<4>()) {
            (b'E', _) => Err(self.refused(&Refusal::parse(&body))),
            (b'R', Some((kind, rest))) if u32::from_be_bytes(*kind) == expected => {
                Ok(rest.to_vec())
            }
            _ => Err(garbled()),
        }
    }

    fn password(&self) -> Attempt<&Secret> {
        let missing = || self.unavailable("the server asks for a password, and the URL has none");
        self.password.as_ref().ok_or_else(missing)
    }

    fn unavailable(&self, reason: &str) -> Failure {
        Error::Unavailable { server: self.server.clone(), source: source(reason) }.into()
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        match refusal.code.as_str() {
            "57P03" => Failure::not_now("the server is starting or stopping"),
            "53300" => Failure::not_now("the server has as many clients as it may"),
            // No rule of the server matches the connection, or there is no such user.
            "28000" => {
                self.unavailable("the server refuses the user or the password, or asks for TLS")
            }
            code if code.starts_with("28") => {
                self.unavailable("the server refuses the user or the password")
            }
            "3D000" => self.unavailable("the server has no database of the name in the URL"),
            code => self.unavailable(&format!("the server refuses the login (SQLSTATE {code})")),
        }
    }
}

/// Why a server whose transactions only read takes no writes.
fn takes_no_writes(on: &mut PostgresConnection) -> Attempt<Failure> {
    let is_standby = on.simple("select pg_is_in_recovery()")?;
    Ok(Failure::not_now(match is_standby {
        Ok(Some(answer)) if answer == b"f" => {
            "the server's `default_transaction_read_only` is on, so it takes no writes"
        }
        _ => "the server is a standby, which takes no writes",
    }))
}

/// Asks the server to switch to TLS.
#[cfg(feature = "tls")]
fn secured(mut stream: Stream, tls: &Tls, host: &str) -> Attempt<Stream> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.send(&request)?;
    stream.fill(1)?;
    // Bytes after the one-byte answer were sent without TLS; they make the answer garbled.
    let answer = stream.buffered().to_vec();
    stream.consume(answer.len());
    match answer.as_slice() {
        b"S" => stream.into_tls(tls, host),
        b"N" => Err(Failure::not_done("the server has no TLS; say `tls=off` to do without")),
        _ => Err(garbled()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::network::transport::listening::{connected, said_by};

    #[test]
    fn the_password_itself_is_sent_to_no_other_machine_without_tls() {
        let login = Login {
            server: "a server".into(),
            addresses: Vec::new(),
            user: "u".into(),
            password: Some("hidden".into()),
            database: "shop".into(),
            keeps_statements: true,
            lock_timeout: Duration::ZERO,
            statement_timeout: Duration::ZERO,
            newest: Newest::default(),
            #[cfg(feature = "tls")]
            tls: None,
        };
        for is_private in [false, true] {
            let (stream, peer) = connected();
            let mut on = PostgresConnection::over(stream, true);
            let done = login.answer(&mut on, &[0, 0, 0, 3], is_private);
            drop(on);
            let is_refused = matches!(done, Err(Failure::Answered(Error::Unavailable { .. })));
            assert_eq!((is_refused, done.is_ok()), (!is_private, is_private), "{done:?}");
            let said = said_by(peer);
            assert_eq!(said.windows(6).any(|word| word == b"hidden"), is_private);
        }
    }
}
