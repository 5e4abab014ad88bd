//! The search for the host that takes writes, for every kind of server.
//!
//! Invariant: remembered hosts only decide where to look first; each host is asked for its own
//! role. This file knows no kind of server.

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::location::Address;

/// The most hosts that are remembered.
pub(crate) const MOST_KNOWN: usize = 64;
/// How many unanswering hosts share the time of a call, if more hosts may have been learned.
pub(crate) const SHARES: usize = 3;

/// The role that a host reports.
pub(crate) enum Host<C> {
    /// The host takes writes; the value is a connection to it.
    Primary(C),
    /// Another host takes writes, at this address.
    Elsewhere(Address),
}

/// The hosts that were learned.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) primary: Option<Address>,
    pub(crate) others: Vec<Address>,
}

impl Learned {
    /// The hosts to ask, the most likely primary first.
    pub(crate) fn candidates(&self, seeds: &[Address]) -> Vec<Address> {
        let mut candidates = Vec::new();
        for address in self.primary.iter().chain(seeds).chain(&self.others) {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        candidates
    }
}

/// Connects to the primary: the first host that reports this role, or that another host names and
/// that confirms it. A host that does not answer gets only its share, one of `shares`, of the time.
pub(crate) fn find_primary<C>(
    candidates: &[Address],
    shares: usize,
    deadline: Deadline,
    visit: impl Fn(&Address, Deadline) -> Attempt<Host<C>>,
) -> Attempt<C> {
    let mut last = Failure::not_done("the URL names no host");
    let mut was_reached = false;
    for (at, address) in candidates.iter().enumerate() {
        let Some(left) = deadline.remaining() else { break };
        let shares = u32::try_from(shares.min(candidates.len() - at)).unwrap_or(u32::MAX);
        let mut host = visit(address, deadline.within(left / shares.max(1)));
        if let Ok(Host::Elsewhere(primary)) = host {
            was_reached = true;
            host = visit(&primary, deadline);
        }
        match host {
            Ok(Host::Primary(connection)) => return Ok(connection),
            Ok(Host::Elsewhere(_)) => {
                last = Failure::not_now("the hosts disagree about which of them is the primary");
            }
            Err(refused @ Failure::Answered(_)) => return Err(refused),
            Err(failure) => {
                was_reached |= matches!(failure, Failure::NotNow(_));
                last = failure;
            }
        }
    }
    match last {
        // Another host answered, so a new primary may be elected.
        Failure::NotDone(reason) | Failure::Lost(reason) if was_reached => {
            Err(Failure::NotNow(reason))
        }
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    fn address(name: &str) -> Address {
        Address { host: name.into(), port: 1 }
    }

    /// Looks for the primary among three hosts; returns the outcome, and the visited hosts.
    fn look(say: impl Fn(&str) -> Attempt<Host<String>>) -> (Attempt<String>, Vec<String>) {
        let visited = RefCell::new(Vec::new());
        let hosts = ["a", "b", "c"].map(address);
        let found =
            find_primary(&hosts, SHARES, Deadline::after(Duration::from_secs(60)), |host, _| {
                visited.borrow_mut().push(host.host.clone());
                say(&host.host)
            });
        (found, visited.into_inner())
    }

    fn dead() -> Attempt<Host<String>> {
        Err(Failure::not_done("nobody answers"))
    }

    #[test]
    fn who_is_named_is_asked_itself_and_the_others_only_after_it() {
        let (found, visited) = look(|host| match host {
            "a" => dead(),
            "b" => Ok(Host::Elsewhere(address("d"))),
            host => Ok(Host::Primary(host.into())),
        });
        assert_eq!(
            (found.unwrap().as_str(), visited),
            ("d", vec!["a".into(), "b".into(), "d".into()])
        );
    }

    #[test]
    fn a_primary_may_come_where_somebody_answers_and_not_where_nobody_does() {
        assert!(matches!(look(|_| dead()).0, Err(Failure::NotDone(_))));
        let named = look(|host| match host {
            "a" => Ok(Host::Elsewhere(address("d"))),
            _ => dead(),
        });
        assert!(matches!(named.0, Err(Failure::NotNow(_))));
        let electing = look(|host| match host {
            "a" => Err(Failure::not_now("there is no primary")),
            _ => dead(),
        });
        assert!(matches!(electing.0, Err(Failure::NotNow(_))));
        let circle = look(|_| Ok(Host::Elsewhere(address("d"))));
        assert!(matches!(circle.0, Err(Failure::NotNow(_))));
    }

    #[test]
    fn what_was_learned_is_looked_at_in_its_order_and_once() {
        let learned = Learned {
            primary: Some(address("c")),
            others: vec![address("a"), address("d"), address("c")],
        };
        let candidates = learned.candidates(&["a", "b"].map(address));
        assert_eq!(candidates, ["c", "a", "b", "d"].map(address));
    }
}
