//! The one place that decides how a commit gets to the disk.

use crate::engine::durability::Durability;

/// Where a commit is once it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// In an entry of the log; redb's tables follow later.
    Log,
    /// In redb's tables, by a durable commit, with everything that was in the log or in memory.
    Database,
    /// In memory, until an entry of the log or a durable commit takes it along.
    Memory,
}

/// `is_full` says whether memory takes no more that the tables do not have. A log without room is a
/// commit of the database's, too, but that shows only when it is written to.
pub(super) const fn decide_route(durability: Durability, is_full: bool) -> Route {
    match durability {
        _ if is_full => Route::Database,
        Durability::TwoPhase => Route::Database,
        Durability::Immediate => Route::Log,
        Durability::Deferred { .. } => Route::Memory,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_durability_chooses_and_full_memory_overrules_it() {
        let deferred = Durability::Deferred { interval: Duration::from_secs(1) };
        let all = [Durability::Immediate, Durability::TwoPhase, deferred];
        let routes = |is_full| all.map(|durability| decide_route(durability, is_full));
        assert_eq!(routes(false), [Route::Log, Route::Database, Route::Memory]);
        assert_eq!(routes(true), [Route::Database; 3]);
    }
}
