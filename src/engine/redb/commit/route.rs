//! The only place that decides how a commit reaches the disk. It writes nothing.

use crate::engine::durability::Durability;

/// Where a commit's changes are when the commit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Nowhere: the commit changes nothing.
    Nothing,
    /// In a log entry; a checkpoint copies them to redb's tables later.
    Log,
    /// In redb's tables, by a durable commit that also holds everything from the log and from
    /// memory.
    Database,
    /// In memory, until a log entry or a durable commit includes them.
    Memory,
    /// Not decided yet: a running checkpoint will make room.
    AfterCheckpoint,
}

/// The facts that decide a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// Whether there is anything to commit.
    pub(super) changes_anything: bool,
    /// Whether the log cannot hold all the changes, or they are too large for it.
    pub(super) needs_tables: bool,
    /// The durability of the commit when it is answered.
    pub(super) durability: Durability,
    /// Whether memory has no room for these changes beside those that the tables lack.
    pub(super) memory_is_full: bool,
    /// Whether the log has room for the entry.
    pub(super) log_has_room: bool,
    /// Whether a checkpoint is running.
    pub(super) is_checkpointing: bool,
}

pub(super) const fn decide_route(commit: Circumstances) -> Route {
    if !commit.changes_anything {
        return Route::Nothing;
    }
    if commit.needs_tables {
        return Route::Database;
    }
    match commit.durability {
        Durability::Deferred { .. } if !commit.memory_is_full => Route::Memory,
        Durability::Immediate if commit.log_has_room && !commit.memory_is_full => Route::Log,
        Durability::Deferred { .. } | Durability::Immediate if commit.is_checkpointing => {
            Route::AfterCheckpoint
        }
        Durability::Deferred { .. } | Durability::Immediate | Durability::TwoPhase => {
            Route::Database
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Route::{AfterCheckpoint, Database, Log, Memory, Nothing};
    use super::*;

    const DEFERRED: Durability = Durability::Deferred { interval: Duration::from_secs(1) };
    const BOTH: [bool; 2] = [false, true];

    fn commit(durability: Durability) -> Circumstances {
        Circumstances {
            changes_anything: true,
            needs_tables: false,
            durability,
            memory_is_full: false,
            log_has_room: true,
            is_checkpointing: false,
        }
    }

    #[test]
    fn a_commit_goes_where_its_durability_says_while_there_is_room() {
        // Columns: memory is full, the log has room, a checkpoint is running, and the routes with
        // `Immediate`, `Deferred` and `TwoPhase`.
        let table = [
            (false, true, false, [Log, Memory, Database]),
            (false, true, true, [Log, Memory, Database]),
            (false, false, false, [Database, Memory, Database]),
            (false, false, true, [AfterCheckpoint, Memory, Database]),
            (true, true, false, [Database, Database, Database]),
            (true, true, true, [AfterCheckpoint, AfterCheckpoint, Database]),
            (true, false, false, [Database, Database, Database]),
            (true, false, true, [AfterCheckpoint, AfterCheckpoint, Database]),
        ];
        for (memory_is_full, log_has_room, is_checkpointing, routes) in table {
            let durabilities = [Durability::Immediate, DEFERRED, Durability::TwoPhase];
            for (durability, route) in durabilities.into_iter().zip(routes) {
                let commit = Circumstances {
                    memory_is_full,
                    log_has_room,
                    is_checkpointing,
                    ..commit(durability)
                };
                assert_eq!(decide_route(commit), route, "{commit:?}");
            }
        }
    }

    #[test]
    fn what_changes_nothing_goes_nowhere_and_what_no_entry_can_tell_into_the_tables() {
        for durability in [Durability::Immediate, DEFERRED, Durability::TwoPhase] {
            for (memory_is_full, is_checkpointing) in
                BOTH.map(|it| BOTH.map(|other| (it, other))).concat()
            {
                let commit =
                    Circumstances { memory_is_full, is_checkpointing, ..commit(durability) };
                let nothing =
                    Circumstances { changes_anything: false, needs_tables: true, ..commit };
                assert_eq!(decide_route(nothing), Nothing);
                let bulk = Circumstances { needs_tables: true, ..commit };
                assert_eq!(decide_route(bulk), Database);
            }
        }
    }
}
