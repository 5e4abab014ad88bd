//! The search for the host that takes writes, for every kind of server.
//!
//! Invariant: remembered hosts only decide where to look first; each host is asked for its own
//! role. This file knows no kind of server.

use std::ops::ControlFlow;
use std::time::Duration;

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

    /// Forgets a primary that refuses: its address may be another machine's by now.
    pub(crate) fn forget_refusing(&mut self, address: &Address, failure: &Failure) {
        if matches!(failure, Failure::Answered(_)) && self.primary.as_ref() == Some(address) {
            self.primary = None;
        }
    }
}

/// Connects to the primary: the first host that reports this role, or that another host names and
/// that confirms it. A host that does not answer gets only its share, one of `shares`, of the time,
/// also if it is named. A host that fails is asked once; if it refuses, its refusal counts if no
/// host is the primary.
pub(crate) fn find_primary<C>(
    candidates: &[Address],
    shares: usize,
    deadline: Deadline,
    visit: impl Fn(&Address, Deadline) -> Attempt<Host<C>>,
) -> Attempt<C> {
    let mut last = Failure::not_done("the URL names no host");
    let mut was_reached = false;
    let mut refusal = None;
    let mut failed = Vec::new();
    for (at, address) in candidates.iter().enumerate() {
        let Some(left) = deadline.remaining() else { break };
        if failed.contains(address) {
            continue;
        }
        let mut asked = address.clone();
        let shares = u32::try_from(shares.min(candidates.len() - at)).unwrap_or(u32::MAX);
        let share = |left: Duration| deadline.within(left / shares.max(1));
        let mut host = visit(address, share(left));
        if let Ok(Host::Elsewhere(primary)) = host {
            was_reached = true;
            if failed.contains(&primary) {
                continue;
            }
            let Some(left) = deadline.remaining() else { break };
            host = visit(&primary, share(left));
            asked = primary;
        }
        match host {
            Ok(Host::Primary(connection)) => return Ok(connection),
            Ok(Host::Elsewhere(_)) => {
                last = Failure::not_now("the hosts disagree about which of them is the primary");
            }
            Err(refused @ Failure::Answered(_)) => {
                failed.push(asked);
                refusal.get_or_insert(refused);
            }
            Err(failure) => {
                was_reached |= matches!(failure, Failure::NotNow(_));
                failed.push(asked);
                last = failure;
            }
        }
    }
    match refusal.unwrap_or(last) {
        // Another host answered, so a new primary may be elected.
        Failure::NotDone(reason) | Failure::Lost(reason) if was_reached => {
            Err(Failure::NotNow(reason))
        }
        other => Err(other),
    }
}

/// Looks at further hosts after a primary was found, until there is no more to look for. They take
/// at most half of the time, and each host its share of that.
pub(crate) fn look_at_others(
    others: &[&Address],
    deadline: Deadline,
    mut look: impl FnMut(&Address, Deadline) -> ControlFlow<()>,
) {
    for (at, address) in others.iter().enumerate() {
        let Some(left) = deadline.remaining() else { break };
        let shares = u32::try_from(2 * (others.len() - at)).unwrap_or(u32::MAX);
        if look(address, deadline.within(left / shares)).is_break() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::engine::network::failure::source;
    use crate::error::Error;

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
    fn a_named_primary_that_does_not_answer_leaves_time_for_the_other_hosts() {
        let shares = RefCell::new(Vec::new());
        let hosts = ["a", "b", "c"].map(address);
        let all = Duration::from_secs(60);
        let found = find_primary(&hosts, SHARES, Deadline::after(all), |host, deadline| {
            shares.borrow_mut().push((host.host.clone(), deadline.remaining().unwrap()));
            match host.host.as_str() {
                "d" => dead(),
                host @ "c" => Ok(Host::Primary(host.into())),
                _ => Ok(Host::Elsewhere(address("d"))),
            }
        });
        assert_eq!(found.unwrap(), "c");
        let (visited, shares): (Vec<_>, Vec<_>) = shares.into_inner().into_iter().unzip();
        assert_eq!(visited, ["a", "d", "b", "c"]);
        assert!(shares[1] <= all / 3 && shares[3] > all / 2, "{shares:?}");
    }

    #[test]
    fn further_hosts_take_half_of_the_time_until_one_of_them_is_enough() {
        let hosts = ["a", "b", "c"].map(address);
        let all = Duration::from_secs(60);
        let mut shares = Vec::new();
        look_at_others(&hosts.each_ref(), Deadline::after(all), |host, deadline| {
            shares.push((host.host.clone(), deadline.remaining().unwrap()));
            if host.host == "b" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let (visited, shares): (Vec<_>, Vec<_>) = shares.into_iter().unzip();
        assert_eq!(visited, ["a", "b"]);
        assert!(shares[0] <= all / 6 && shares[1] <= all / 4 && shares[1] > all / 5, "{shares:?}");
    }

    fn refusal(words: &str) -> Attempt<Host<String>> {
        Err(Error::Unavailable { server: words.into(), source: source("a wrong password") }.into())
    }

    #[test]
    fn a_host_that_refuses_hides_no_other_and_is_asked_once() {
        let (found, visited) = look(|host| match host {
            "a" => refusal("a"),
            "b" => dead(),
            host => Ok(Host::Primary(host.into())),
        });
        assert_eq!((found.unwrap().as_str(), visited.concat().as_str()), ("c", "abc"));
        let (found, visited) = look(|host| match host {
            "a" | "b" => Ok(Host::Elsewhere(address("d"))),
            "d" => refusal("d"),
            host => Ok(Host::Primary(host.into())),
        });
        assert_eq!((found.unwrap().as_str(), visited.concat().as_str()), ("c", "adbc"));
        let (found, visited) = look(|host| match host {
            "a" => Ok(Host::Elsewhere(address("c"))),
            "c" => refusal("c"),
            _ => dead(),
        });
        assert!(matches!(found, Err(Failure::Answered(_))), "{found:?}");
        assert_eq!(visited.concat(), "acb");
    }

    #[test]
    fn the_first_refusal_is_told_where_no_host_is_the_primary() {
        for others in ["refuse", "are dead", "elect"] {
            let (found, visited) = look(|host| match (host, others) {
                ("b", _) | (_, "refuse") => refusal(host),
                (_, "are dead") => dead(),
                _ => Err(Failure::not_now("there is no primary")),
            });
            let Err(Failure::Answered(Error::Unavailable { server, .. })) = found else {
                panic!("{found:?}");
            };
            assert_ne!(server, "c");
            assert_eq!(visited.concat(), "abc");
        }
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

    #[test]
    fn a_learned_primary_that_refuses_is_forgotten_and_one_that_is_away_is_not() {
        let mut learned = Learned { primary: Some(address("b")), others: Vec::new() };
        let Err(refusal) = refusal("b") else { panic!("it is one") };
        learned.forget_refusing(&address("a"), &refusal);
        learned.forget_refusing(&address("b"), &Failure::not_done("nobody answers"));
        learned.forget_refusing(&address("b"), &Failure::not_now("it is starting"));
        assert_eq!(learned.primary, Some(address("b")));
        learned.forget_refusing(&address("b"), &refusal);
        assert_eq!(learned.primary, None);
    }
}
