//! Which of several primaries is the newest, after failovers.
//!
//! Invariant: of servers with one history, the one whose timeline has the highest number took over
//! last: each promotion begins a timeline. Servers with other histories are not compared.

use parking_lot::Mutex;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Since;
use crate::engine::sql::postgres::wire::PostgresConnection;

/// Asks a primary for its timeline. Every user may, and other servers do not know the functions.
const TIMELINE: &str = "select system_identifier || ' ' || \
     substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from pg_control_system()";

/// The timeline that a primary writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    /// The servers that were copied from one have its number.
    system: i64,
    number: u32,
}

impl Timeline {
    /// The timeline of the server; `None` if it tells none.
    pub(super) fn of(on: &mut PostgresConnection) -> Attempt<Option<Self>> {
        let said = on.simple(TIMELINE)?.ok().flatten();
        Ok(said.and_then(|said| Self::parse(&String::from_utf8_lossy(&said))))
    }

    fn parse(said: &str) -> Option<Self> {
        let (system, number) = said.split_once(' ')?;
        let number = u32::from_str_radix(number, 16).ok()?;
        Some(Self { system: system.parse().ok()?, number })
    }

    /// Whether a server with this timeline took over from one with the other.
    pub(super) const fn follows(self, other: Self) -> bool {
        self.system == other.system && self.number > other.number
    }
}

/// The newest timeline that this host has seen.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Option<Seen>>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    timeline: Timeline,
    at: Since,
}

impl Newest {
    pub(super) fn timeline(&self) -> Option<Timeline> {
        self.0.lock().map(|seen| seen.timeline)
    }

    /// Whether a server with a newer timeline was seen.
    pub(super) fn follows(&self, timeline: Timeline) -> bool {
        self.0.lock().is_some_and(|seen| seen.timeline.follows(timeline))
    }

    /// Whether all hosts were asked a moment ago, and this timeline was the newest.
    pub(super) fn is_recent(&self, timeline: Timeline) -> bool {
        const MILLIS: u128 = 1_000;
        let seen = *self.0.lock();
        seen.is_some_and(|seen| seen.timeline == timeline && seen.at.elapsed().as_millis() < MILLIS)
    }

    /// Notes the newest timeline of all hosts.
    pub(super) fn note(&self, timeline: Timeline) {
        let mut newest = self.0.lock();
        if !newest.is_some_and(|seen| seen.timeline.follows(timeline)) {
            *newest = Some(Seen { timeline, at: Since::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(said: &str) -> Timeline {
        Timeline::parse(said).unwrap()
    }

    #[test]
    fn a_timeline_is_compared_with_those_of_the_same_history() {
        let [first, second, tenth, other] =
            ["7 00000001", "7 00000002", "7 0000000A", "8 00000001"].map(timeline);
        assert!(second.follows(first) && tenth.follows(second));
        assert!(!first.follows(first) && !first.follows(second));
        assert!(!tenth.follows(other) && !other.follows(first));
        for said in ["", "7", "7 ", "x 00000001", "7 0000000G"] {
            assert_eq!(Timeline::parse(said), None, "{said}");
        }
    }

    #[test]
    fn the_newest_timeline_is_kept_until_another_history_begins() {
        let [first, second, other] = ["7 00000001", "7 00000002", "8 00000001"].map(timeline);
        let newest = Newest::default();
        assert!(!newest.follows(first) && !newest.is_recent(first));
        newest.note(second);
        newest.note(first);
        assert!(newest.follows(first) && newest.is_recent(second) && !newest.follows(other));
        newest.note(other);
        assert!(newest.is_recent(other) && !newest.follows(first));
    }
}
