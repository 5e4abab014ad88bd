//! Which of several hosts takes writes: the search for it, whatever the kind of server.
//!
//! Invariant: what was learned of hosts is only where to look first; each is asked itself what it
//! is. It knows no kind of server.

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::location::Address;

/// How many hosts are remembered at the most.
pub(crate) const MOST_KNOWN: usize = 64;

/// What a host said that it is.
pub(crate) enum Host<C> {
    /// It takes writes; a connection to it.
    Primary(C),
    /// It is another one that takes writes.
    Elsewhere(Address),
}

/// What was learned of the hosts.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(crate) primary: Option<Address>,
    pub(crate) others: Vec<Address>,
}

impl Learned {
    /// Where to look, the likeliest first.
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

/// A connection to the primary: to the first host that says it is, or that another names and that
/// agrees.
pub(crate) fn find_primary<C>(
    candidates: &[Address],
    deadline: Deadline,
    visit: impl Fn(&Address, Deadline) -> Attempt<Host<C>>,
) -> Attempt<C> {
    let mut last = Failure::not_done("the URL names no host");
    let mut was_reached = false;
    for (at, address) in candidates.iter().enumerate() {
        let Some(left) = deadline.remaining() else { break };
        // One that does not answer must leave time for the others.
        let others = u32::try_from(candidates.len() - at).unwrap_or(u32::MAX).min(3);
        let mut host = visit(address, deadline.within(left / others));
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
        // Another host answers, so that a new primary may come.
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

    /// Looks for the primary among three hosts; what came of it, and who was visited.
    fn look(say: impl Fn(&str) -> Attempt<Host<String>>) -> (Attempt<String>, Vec<String>) {
        let visited = RefCell::new(Vec::new());
        let hosts = ["a", "b", "c"].map(address);
        let found = find_primary(&hosts, Deadline::after(Duration::from_secs(60)), |host, _| {
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
