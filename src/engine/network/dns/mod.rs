//! SRV and TXT records, looked up at the system's name servers.
//!
//! Invariant: a look-up ends at its deadline, whatever arrives, and takes records only from an
//! answer to its own question. The standard library looks up addresses alone. This folder knows no
//! kind of server.
//!
//! Left out: EDNS, since three hosts fit into 512 bytes and a longer answer comes over TCP; DNSSEC,
//! since the certificate shows the server; a second look-up, since a replica set names its members.

mod exchange;
mod message;
#[cfg(test)]
mod serving;
mod system;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::{Backoff, Deadline};
use crate::engine::network::dns::message::{Answer, Query};
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::connecting::resolved;
use crate::engine::network::transport::location::Address;
use crate::error::Error;
use crate::random::{RandomSource, SystemRandom};

/// How often each name server is asked, while none answers.
const ROUNDS: usize = 3;

/// The most name servers that are asked.
const MOST_SERVERS: usize = 6;

/// The most aliases that are followed from a name.
const MOST_ALIASES: usize = 8;

/// The kind of records that a look-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Srv,
    Txt,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The host and the port of a service. The host is empty if the record has none that a host
    /// could have.
    Srv(Address),
    /// The strings of one record, joined.
    Txt(Vec<u8>),
}

/// The DNS, or what stands for it in a test.
pub(crate) trait Dns {
    /// Returns the records of a full name in the server's order; `None` if there is no such name.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if no name server answers.
    fn look_up(&self, kind: Kind, name: &str, deadline: Deadline) -> Attempt<Option<Vec<Record>>>;
}

/// The name servers that the system is set to use, as it is set at the time of each look-up.
#[derive(Debug)]
pub(crate) struct SystemDns;

/// Name servers, in the order in which they are asked.
#[derive(Debug)]
struct NameServers(Vec<SocketAddr>);

impl Dns for SystemDns {
    fn look_up(&self, kind: Kind, name: &str, deadline: Deadline) -> Attempt<Option<Vec<Record>>> {
        let mut servers = resolved("the name servers".into(), deadline, system::name_servers)?;
        servers.truncate(MOST_SERVERS);
        NameServers(servers).look_up(kind, name, deadline)
    }
}

impl Dns for NameServers {
    fn look_up(&self, kind: Kind, name: &str, deadline: Deadline) -> Attempt<Option<Vec<Record>>> {
        let mut name = name.to_owned();
        for _ in 0..MOST_ALIASES {
            match self.ask_in_turn(kind, &name, deadline)? {
                Answer::NoSuchName => return Ok(None),
                Answer::Records(records) => return Ok(Some(records)),
                Answer::Alias(canonical) => name = canonical,
            }
        }
        Err(Failure::not_done(format!("the name has more than {MOST_ALIASES} aliases in a row")))
    }
}

impl NameServers {
    /// Asks one server after the other until one answers. Each try gets an equal share of the time
    /// left.
    fn ask_in_turn(&self, kind: Kind, name: &str, deadline: Deadline) -> Attempt<Answer> {
        let mut reasons = vec![String::new(); self.0.len()];
        let mut tries = u32::try_from(ROUNDS * self.0.len()).unwrap_or(u32::MAX);
        let mut backoff = Backoff::new();
        for round in 0..ROUNDS {
            if round > 0 && !backoff.wait(deadline) {
                break;
            }
            for (server, reason) in self.0.iter().zip(&mut reasons) {
                let Some(left) = deadline.remaining() else { break };
                let share = deadline.within(left / tries.max(1));
                tries = tries.saturating_sub(1);
                match exchange::ask(*server, &query(kind, name)?, share).map_err(Failure::harmless)
                {
                    Err(Failure::NotDone(source)) => *reason = format!("{server}: {source}"),
                    answer => return answer,
                }
            }
        }
        reasons.retain(|reason| !reason.is_empty());
        Err(Failure::not_done(format!("no name server has an answer: {}", reasons.join("; "))))
    }
}

/// A question with a random id, so that nobody who does not see it can forge an answer.
fn query(kind: Kind, name: &str) -> Attempt<Query> {
    let mut number = [0; 2];
    SystemRandom.fill(&mut number).map_err(|source| Error::Generator { source })?;
    Query::new(u16::from_be_bytes(number), kind, name)
        .ok_or_else(|| Failure::not_done("the name is too long, or has an empty part"))
}
