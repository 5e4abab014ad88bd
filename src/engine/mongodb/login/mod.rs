//! Finding the host to use, the primary of a replica set or a router of a cluster, and logging in.
//!
//! Invariant: a host is used only if it reported itself as primary when the connection was made,
//! and no newer election is known. Remembered hosts only decide where to look first.

mod scram;

use parking_lot::Mutex;

use crate::engine::mongodb::bson::{Found, Value, View, bson};
use crate::engine::mongodb::login::scram::Scram;
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::mongodb::wire::{MongodbConnection, Reply, garbled};
use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::hosts::{self, Host, MOST_KNOWN, SHARES, find_primary};
use crate::engine::network::transport::location::{Address, Secret};
use crate::engine::network::transport::stream::Stream;
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::Tls;
use crate::error::Error;
use crate::random::{SystemRandom, draw};

/// The protocol number of the oldest supported version, and that version.
const OLDEST: (i64, &str) = (13, "MongoDB 5.0");

/// The login of a connection.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: Option<Secret>,
    pub(super) password: Option<Secret>,
    /// The database that knows the user.
    pub(super) source: String,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

/// The hosts of a replica set or a cluster.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The server in words.
    pub(super) server: String,
    pub(super) login: Login,
    pub(super) seeds: Vec<Address>,
    /// The required name of the replica set, if the URL gives one.
    pub(super) set: Option<String>,
    /// Whether only the hosts of the URL are used.
    pub(super) is_direct: bool,
    pub(super) learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
pub(super) struct Learned {
    hosts: hosts::Learned,
    /// The newest known election; only its winner reports it.
    election: Option<Election>,
}

/// An election, and the version of the set's configuration; later ones are greater.
type Election = ([u8; 12], i64);

/// The role that a host reports.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Primary(Option<Election>),
    Router,
    Secondary(Option<Address>),
}

impl Hosts {
    /// Connects to the primary, and logs in.
    pub(super) fn connect(&self, deadline: Deadline) -> Attempt<MongodbConnection> {
        find_primary(&self.candidates(), SHARES, deadline, |host, left| {
            let found = self.visit(host, left);
            found.inspect_err(|failure| self.learned.lock().hosts.forget_refusing(host, failure))
        })
    }

    fn candidates(&self) -> Vec<Address> {
        self.learned.lock().hosts.candidates(&self.seeds)
    }

    fn visit(&self, address: &Address, deadline: Deadline) -> Attempt<Host<MongodbConnection>> {
        let stream = Stream::connect(address, deadline)?;
        #[cfg(feature = "tls")]
        let stream = match &self.login.tls {
            Some(tls) => stream.into_tls(tls, &address.host)?,
            None => stream,
        };
        let session = draw(&SystemRandom)?;
        let mut on = MongodbConnection::over(stream, deadline, session);
        let driver = bson! { "name": "sessile", "version": env!("CARGO_PKG_VERSION") };
        let client = bson! {
            "application": bson! { "name": "sessile" },
            "driver": driver,
            "os": bson! { "type": std::env::consts::OS },
        };
        let hello = bson! { "hello": 1, "client": client, "$db": "admin" };
        let hello = self.one(&mut on, hello)?;
        let election = match self.judge(hello.view())? {
            Role::Secondary(Some(primary)) if primary != *address => {
                return Ok(Host::Elsewhere(primary));
            }
            Role::Secondary(_) => {
                return Err(Failure::not_now("the replica set has no primary"));
            }
            Role::Primary(election) => election,
            Role::Router => None,
        };
        // A host that refuses the login may belong to another set, with its own elections.
        self.log_in(&mut on)?;
        self.note_primary(address, election)?;
        Ok(Host::Primary(on))
    }

    /// Remembers the primary. Fails if a newer election is known.
    fn note_primary(&self, address: &Address, election: Option<Election>) -> Attempt<()> {
        let mut learned = self.learned.lock();
        if election.zip(learned.election).is_some_and(|(now, known)| now < known) {
            return Err(Failure::not_now("the server was the primary, and has a successor"));
        }
        learned.election = election.or(learned.election);
        learned.hosts.primary = Some(address.clone());
        Ok(())
    }

    /// Returns the role in a host's answer; remembers the other hosts that it names.
    fn judge(&self, hello: View<'_>) -> Attempt<Role> {
        let unsupported = |found: String, needed: &str| {
            let (server, needed) = (self.server.clone(), needed.into());
            Failure::from(Error::UnsupportedServer { server, found, needed })
        };
        let (protocol, version) = OLDEST;
        if hello.number("maxWireVersion").unwrap_or(0) < protocol {
            return Err(unsupported("an older version".into(), &format!("{version}, or newer")));
        }
        let is_primary = hello.number("isWritablePrimary") == Some(1);
        if hello.text("msg") == Some("isdbgrid") {
            return Ok(Role::Router);
        }
        let Some(set) = hello.text("setName") else {
            // A server that is starting, or is not yet told of its set, may learn of it.
            return Err(match is_primary {
                false => Failure::not_now("the server belongs to no replica set yet"),
                true => unsupported(
                    "a server alone, which has no transactions".into(),
                    "a replica set, of one server at the least: start it with `--replSet rs0`, and \
                     call `rs.initiate()` once",
                ),
            });
        };
        if self.set.as_ref().is_some_and(|expected| expected != set) {
            return Err(unsupported(
                format!("the replica set `{set}`"),
                "the one that the URL, or its TXT record in DNS, names as `replicaSet`",
            ));
        }
        let others = hello.list("hosts").filter_map(|host| match host {
            Found::Text(host) => host_in(host),
            _ => None,
        });
        if !self.is_direct {
            self.learned.lock().hosts.others = others.take(MOST_KNOWN).collect();
        }
        if !is_primary && self.is_direct {
            return Err(Failure::not_now("the server is not the primary"));
        }
        if !is_primary {
            return Ok(Role::Secondary(hello.text("primary").and_then(host_in)));
        }
        let id = hello.bytes("electionId").and_then(|id| id.try_into().ok());
        Ok(Role::Primary(id.zip(hello.number("setVersion"))))
    }

    /// Runs one command; an error is a failure.
    fn one(&self, on: &mut MongodbConnection, command: super::bson::Document) -> Attempt<Reply> {
        let answer = on.ask([command])?.pop().ok_or_else(garbled)?;
        answer.map_err(|refusal| refusal.failure(&self.server))
    }

    fn log_in(&self, on: &mut MongodbConnection) -> Attempt<()> {
        let Some(user) = &self.login.user else { return Ok(()) };
        let Some(password) = &self.login.password else {
            return Err(self.unavailable("the URL names a user, and no password"));
        };
        let scram = Scram::new(user.expose(), password.expose(), draw(&SystemRandom)?)
            .ok_or_else(|| self.unavailable("the password has a character that is not allowed"))?;
        let first = scram.first_message();
        let start = bson! {
            "saslStart": 1,
            "mechanism": "SCRAM-SHA-256",
            "payload": first.as_bytes(),
            "options": bson! { "skipEmptyExchange": true },
            "$db": self.login.source.as_str(),
        };
        let challenge = self.sasl(on, start)?;
        let unproven = || self.unavailable("the server does not know the password itself");
        let proof = scram.prove(payload(&challenge)?).ok_or_else(unproven)?;
        let id = challenge.view().number("conversationId").ok_or_else(garbled)?;
        let id = i32::try_from(id).map_err(|_| garbled())?;
        let proceed = |payload: &[u8]| {
            let payload = Value::from(payload);
            bson! { "saslContinue": 1, "conversationId": id, "payload": payload }
                .with("$db", self.login.source.as_str())
        };
        let mut answer = self.sasl(on, proceed(proof.message.as_bytes()))?;
        if !proof.is_answered_by(payload(&answer)?) {
            return Err(unproven());
        }
        if answer.view().number("done") != Some(1) {
            answer = self.sasl(on, proceed(b""))?;
        }
        match answer.view().number("done") {
            Some(1) => Ok(()),
            _ => Err(garbled()),
        }
    }

    fn sasl(&self, on: &mut MongodbConnection, command: super::bson::Document) -> Attempt<Reply> {
        // A server's message about a login contains the user's name.
        on.ask([command])?.pop().ok_or_else(garbled)?.map_err(|refusal| match refusal.code {
            Refusal::AUTHENTICATION_FAILED => {
                self.unavailable("the server refuses the user or the password")
            }
            _ => match refusal.failure(&self.server) {
                Failure::Answered(_) => self.unavailable(&format!(
                    "the server refuses the login (error {}); the user's name has to be known in \
                     the database that `authSource` names, by SCRAM-SHA-256",
                    refusal.code
                )),
                other => other,
            },
        })
    }

    fn unavailable(&self, reason: &str) -> Failure {
        Error::Unavailable { server: self.server.clone(), source: source(reason) }.into()
    }
}

fn payload(reply: &Reply) -> Attempt<&str> {
    let payload = reply.view().bytes("payload").ok_or_else(garbled)?;
    std::str::from_utf8(payload).map_err(|_| garbled())
}

/// `host:port`, as servers name each other.
fn host_in(text: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(Address { host: host.into(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mongodb::bson::{Document, list};

    fn hosts(set: Option<&str>) -> Hosts {
        Hosts {
            server: "a server".into(),
            login: Login {
                user: None,
                password: None,
                source: "admin".into(),
                #[cfg(feature = "tls")]
                tls: None,
            },
            seeds: Vec::new(),
            set: set.map(str::to_owned),
            is_direct: false,
            learned: Mutex::default(),
        }
    }

    fn judged(hosts: &Hosts, hello: Document) -> Attempt<Role> {
        hosts.judge(View::parse(&hello.into_bytes()).unwrap())
    }

    fn address(host: &str) -> Address {
        host_in(host).unwrap()
    }

    #[test]
    fn a_member_of_a_replica_set_is_what_it_says() {
        let hello = || {
            bson! { "ok": 1, "maxWireVersion": 21, "setName": "rs0", "primary": "b:2",
            "hosts": list!["a:1", "b:2", "[::1]:3"] }
        };
        let hosts = hosts(Some("rs0"));
        let role = judged(&hosts, hello().with("isWritablePrimary", false));
        assert_eq!(role.unwrap(), Role::Secondary(Some(address("b:2"))));
        assert_eq!(hosts.candidates(), ["a:1", "b:2", "::1:3"].map(address));
        let role = judged(&hosts, hello().with("isWritablePrimary", true));
        assert_eq!(role.unwrap(), Role::Primary(None));
        let direct = Hosts { is_direct: true, ..self::hosts(None) };
        let role = judged(&direct, hello().with("isWritablePrimary", false));
        assert!(matches!(role, Err(Failure::NotNow(_))));
        judged(&direct, hello().with("isWritablePrimary", true)).unwrap();
        assert!(direct.candidates().is_empty(), "others are not looked for");
    }

    #[test]
    fn a_server_alone_an_old_one_and_one_of_another_set_are_refused_in_words() {
        let alone = bson! { "isWritablePrimary": true, "maxWireVersion": 21 };
        let old = bson! { "isWritablePrimary": true, "maxWireVersion": 9, "setName": "rs0" };
        let other = bson! { "isWritablePrimary": true, "maxWireVersion": 21, "setName": "rs1" };
        for (hello, words) in [(alone, "--replSet"), (old, "5.0"), (other, "`rs1`")] {
            let refused = judged(&hosts(Some("rs0")), hello).unwrap_err();
            let Failure::Answered(error @ Error::UnsupportedServer { .. }) = refused else {
                panic!("{refused:?}");
            };
            assert!(error.to_string().contains(words), "{error}");
        }
        let router = bson! { "isWritablePrimary": true, "maxWireVersion": 21, "msg": "isdbgrid" };
        assert_eq!(judged(&hosts(None), router).unwrap(), Role::Router);
        let starting = bson! { "isWritablePrimary": false, "maxWireVersion": 21 };
        assert!(matches!(judged(&hosts(None), starting), Err(Failure::NotNow(_))));
    }

    #[test]
    fn a_primary_that_has_a_successor_is_not_used() {
        let hosts = hosts(None);
        let (old, new) = (Some(([1; 12], 7)), Some(([2; 12], 7)));
        hosts.note_primary(&address("a:1"), old).unwrap();
        hosts.note_primary(&address("b:2"), new).unwrap();
        assert!(matches!(hosts.note_primary(&address("a:1"), old), Err(Failure::NotNow(_))));
        assert_eq!(hosts.candidates()[0], address("b:2"));
        hosts.note_primary(&address("b:2"), new).unwrap();
    }
}
