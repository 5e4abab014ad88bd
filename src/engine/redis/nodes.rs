//! Finding the node to use: the primary of a server, or of the store's slot in a cluster.
//!
//! Invariant: a new connection led to a primary a moment ago. Remembered nodes only decide where to
//! look first; each node is asked for its own role.

use std::ops::ControlFlow;

use parking_lot::Mutex;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::hosts::{
    Host, Learned, MOST_KNOWN, SHARES, find_primary, look_at_others,
};
use crate::engine::network::transport::location::{Address, Secret};
use crate::engine::network::transport::stream::Stream;
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::Tls;
use crate::engine::redis::wire::{Reply, Request, Wire, garbled, passing};
use crate::error::Error;

/// The login and settings of a connection to a node.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: Option<Secret>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

/// The nodes of one server or cluster.
#[derive(Debug)]
pub(super) struct Nodes {
    /// The server in words.
    server: String,
    login: Login,
    slot: u16,
    seeds: Vec<Address>,
    learned: Mutex<Learned>,
}

/// A node that takes writes, and a connection to it.
struct Primary {
    wire: Wire,
    address: Address,
    /// How many replicas follow it, outside a cluster: the nodes of a cluster agree on a primary.
    replicas: Option<usize>,
}

impl Nodes {
    /// The nodes to ask for the slot of `tag`.
    pub(super) fn new(server: String, login: Login, seeds: Vec<Address>, tag: &str) -> Self {
        Self { server, login, slot: slot_of(tag), seeds, learned: Mutex::default() }
    }

    /// Connects to the primary. One with fewer replicas than a store needs counts only where no
    /// other host is a primary with more.
    pub(super) fn connect(&self, needed: u32, deadline: Deadline) -> Attempt<Wire> {
        let candidates = self.learned.lock().candidates(&self.seeds);
        let mut found = find_primary(&candidates, SHARES, deadline, |node, deadline| {
            let found = self.visit(node, deadline);
            found.inspect_err(|failure| self.learned.lock().forget_refusing(node, failure))
        })?;
        let needed = usize::try_from(needed.max(1)).unwrap_or(usize::MAX);
        if found.replicas.is_some_and(|few| few < needed) {
            found = self.with_more_replicas(found, &candidates, deadline);
        }
        self.learned.lock().primary = Some(found.address);
        Ok(found.wire)
    }

    /// Looks for another primary, for at most half of the time. Outside a cluster, a former primary
    /// that is back after a failover has no replicas, and takes itself for the primary until
    /// somebody tells it.
    fn with_more_replicas(
        &self,
        found: Primary,
        candidates: &[Address],
        deadline: Deadline,
    ) -> Primary {
        let others: Vec<_> = candidates.iter().filter(|host| **host != found.address).collect();
        let mut better = None;
        look_at_others(&others, deadline, |host, soon| {
            let other = match self.visit(host, soon) {
                Ok(Host::Elsewhere(named)) if named != found.address => self.visit(&named, soon),
                other => other,
            };
            match other {
                Ok(Host::Primary(other)) if other.replicas > found.replicas => {
                    better = Some(other);
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        });
        better.unwrap_or(found)
    }

    /// Remembers the primary that another node named, as `host:port`.
    pub(super) fn redirect(&self, text: &str) {
        let Some((host, port)) = text.rsplit_once(':') else { return };
        let Ok(port) = port.parse() else { return };
        let mut learned = self.learned.lock();
        match (host, &mut learned.primary) {
            // An empty host means the host that was asked.
            ("" | "?", Some(primary)) => primary.port = port,
            ("" | "?", None) => {}
            _ => learned.primary = Some(Address { host: host.into(), port }),
        }
    }

    fn visit(&self, address: &Address, deadline: Deadline) -> Attempt<Host<Primary>> {
        let stream = Stream::connect(address, deadline)?;
        #[cfg(feature = "tls")]
        let stream = match &self.login.tls {
            Some(tls) => stream.into_tls(tls, &address.host)?,
            None => stream,
        };
        let mut wire = Wire::over(stream);
        self.log_in(&mut wire)?;
        let request = Request::default().with(&[b"ROLE"]).with(&[b"CLUSTER", b"SLOTS"]);
        let mut replies = wire.ask(&request)?.into_iter();
        let (role, slots) = (replies.next(), replies.next());
        let mut replicas = None;
        if let Some(Reply::List(slots)) = slots {
            let primary = self.learn_slots(slots, address)?;
            if primary != *address {
                return Ok(Host::Elsewhere(primary));
            }
        } else if let Some(Reply::List(role)) = &role {
            replicas = replicas_of(role);
        }
        let here = Primary { wire, address: address.clone(), replicas };
        match role {
            Some(Reply::List(role)) if kind_of(&role) == Some(b"sentinel") => {
                Err(self.unavailable(SENTINEL))
            }
            Some(Reply::List(role)) => match primary_of(role) {
                Some(primary) => Ok(Host::Elsewhere(primary)),
                None => Ok(Host::Primary(here)),
            },
            Some(Reply::Refused(said)) if keeps_out(&said) => Err(self.login_refused(&said)),
            // A user who may not ask for the role learns it from the first write.
            _ => Ok(Host::Primary(here)),
        }
    }

    fn log_in(&self, wire: &mut Wire) -> Attempt<()> {
        let mut request = Request::default();
        let mut expected = 0;
        if let Some(password) = &self.login.password {
            let password = password.expose().as_bytes();
            request = match &self.login.user {
                Some(user) => request.with(&[b"AUTH", user.expose().as_bytes(), password]),
                None => request.with(&[b"AUTH", password]),
            };
            expected += 1;
        }
        if self.login.database != 0 {
            let database = self.login.database.to_string();
            request = request.with(&[b"SELECT", database.as_bytes()]);
            expected += 1;
        }
        if expected == 0 {
            return Ok(());
        }
        for reply in wire.ask(&request)? {
            if let Reply::Refused(said) = reply {
                return Err(self.login_refused(&said));
            }
        }
        Ok(())
    }

    /// The failure of a login. The server's message may contain the login, so only its kind is
    /// reported.
    fn login_refused(&self, said: &str) -> Failure {
        if let Some(failure) = passing(said) {
            return failure;
        }
        self.unavailable(match said.split_whitespace().next().unwrap_or_default() {
            "WRONGPASS" | "NOAUTH" | "NOPERM" => "the server refuses the user or the password",
            "DENIED" => PROTECTED,
            _ if said.contains("DB index") || said.contains("cluster mode") => {
                "the server has no database of the number that the URL names"
            }
            _ => {
                "the server refuses the login; if it needs none, leave the password out of the URL"
            }
        })
    }

    fn unavailable(&self, reason: &str) -> Failure {
        Error::Unavailable { server: self.server.clone(), source: source(reason) }.into()
    }

    /// Returns the primary of the slot, from the answer to `CLUSTER SLOTS`; remembers the other
    /// nodes.
    fn learn_slots(&self, ranges: Vec<Reply>, asked: &Address) -> Attempt<Address> {
        let mut primary = None;
        let mut others = Vec::new();
        for range in ranges {
            let mut range = range.list().ok_or_else(garbled)?.into_iter();
            let mut bound = || range.next().and_then(|bound| bound.number());
            let (Some(first), Some(last)) = (bound(), bound()) else { return Err(garbled()) };
            let holds = (first..=last).contains(&i64::from(self.slot));
            for (at, node) in range.enumerate() {
                let Some(address) = node_address(node, asked) else { continue };
                if holds && at == 0 {
                    primary = Some(address.clone());
                }
                if !others.contains(&address) && others.len() < MOST_KNOWN {
                    others.push(address);
                }
            }
        }
        // A node that was removed from the cluster knows of no other one.
        if !others.is_empty() {
            self.learned.lock().others = others;
        }
        primary.ok_or_else(|| Failure::not_now("no node of the cluster serves the store's slot"))
    }
}

/// Whether the server refuses every command of this client, for now or without another login.
fn keeps_out(said: &str) -> bool {
    ["NOAUTH", "DENIED"].iter().any(|kind| said.starts_with(kind)) || passing(said).is_some()
}

const SENTINEL: &str =
    "a host of the URL is a Sentinel, which keeps no sessions; name the servers that it watches";

const PROTECTED: &str = "the server has no password, and so takes clients of its own machine \
    only: give it one by `requirepass` and say it in the URL, or set `protected-mode` to `no`";

/// The kind of node that answered `ROLE`.
fn kind_of(role: &[Reply]) -> Option<&[u8]> {
    match role.first()? {
        Reply::Bytes(kind) => Some(kind),
        _ => None,
    }
}

fn node_address(node: Reply, asked: &Address) -> Option<Address> {
    let mut node = node.list()?.into_iter();
    let host = node.next()?;
    let port = u16::try_from(node.next()?.number()?).ok()?;
    // A node that does not know its own name is reached by the address that was asked.
    let host = host.text().filter(|host| !host.is_empty() && host != "?");
    Some(Address { host: host.unwrap_or_else(|| asked.host.clone()), port })
}

/// The primary that a replica follows, from the answer to `ROLE`; `None` if the node is a primary.
pub(super) fn primary_of(role: Vec<Reply>) -> Option<Address> {
    let mut role = role.into_iter();
    let kind = role.next()?.text()?;
    let host = role.next()?.text();
    let port = role.next()?.number();
    match kind.as_str() {
        "slave" => Some(Address { host: host?, port: u16::try_from(port?).ok()? }),
        _ => None,
    }
}

/// How many replicas follow the primary that answered `ROLE`.
fn replicas_of(role: &[Reply]) -> Option<usize> {
    match role.get(2)? {
        Reply::List(replicas) => Some(replicas.len()),
        _ => None,
    }
}

/// The slot of a hash tag: CRC-16 (XMODEM) modulo 16,384, as the cluster specification defines it.
fn slot_of(tag: &str) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ POLYNOMIAL,
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_specification() {
        assert_eq!(slot_of("123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
    }

    fn nodes() -> Nodes {
        #[cfg(feature = "tls")]
        let login = Login { user: None, password: None, database: 0, tls: None };
        #[cfg(not(feature = "tls"))]
        let login = Login { user: None, password: None, database: 0 };
        Nodes::new("a server".into(), login, Vec::new(), "tag")
    }

    #[test]
    fn a_node_that_was_removed_from_its_cluster_makes_no_other_one_forgotten() {
        let (nodes, asked) = (nodes(), Address { host: "a".into(), port: 1 });
        let node = Reply::List(vec![Reply::Bytes(b"b".into()), Reply::Number(2)]);
        let all = Reply::List(vec![Reply::Number(0), Reply::Number(16_383), node]);
        let there = Address { host: "b".into(), port: 2 };
        assert_eq!(nodes.learn_slots(vec![all], &asked).unwrap(), there);
        assert!(matches!(nodes.learn_slots(Vec::new(), &asked), Err(Failure::NotNow(_))));
        assert_eq!(
            nodes.learned.lock().candidates(std::slice::from_ref(&asked)),
            [asked.clone(), there]
        );
    }

    #[test]
    fn what_a_server_says_of_a_login_is_not_repeated() {
        let said = "ERR unknown command `AUTH`, with args beginning with: `hidden`";
        let nodes = nodes();
        let shown = format!("{:?}", nodes.login_refused(said));
        assert!(!shown.contains("hidden"), "{shown}");
        for (said, expected) in [
            ("DENIED Redis is running in protected mode", "`protected-mode`"),
            ("WRONGPASS invalid username-password pair", "the user or the password"),
        ] {
            let failure = nodes.login_refused(said);
            assert!(matches!(failure, Failure::Answered(_)), "{failure:?}");
            assert!(format!("{failure:?}").contains(expected), "{failure:?}");
        }
    }
}
