//! How a commit gets to the disk, and which touches are there with it.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::log::WriteAheadLog;
use crate::engine::redb::view::View;
use crate::engine::redb::view::touches::Touches;

/// How a commit gets to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// In the log, already; redb keeps it in memory until a later commit takes it along.
    Log,
    /// In redb's pages, with everything that was in the log or in memory only.
    Database,
    /// Not at all, until a later commit takes it along.
    Memory,
}

impl Route {
    /// Decides, and writes what goes into the log.
    pub(super) fn of(
        durability: Durability,
        log: &mut WriteAheadLog,
        effects: &Effects<'_>,
    ) -> std::io::Result<Self> {
        match durability {
            Durability::Deferred { .. } if !effects.sync => return Ok(Self::Memory),
            Durability::Immediate if !(effects.in_bulk || effects.sync) => {}
            _ => return Ok(Self::Database),
        }
        Ok(if log.append(effects.entry())? { Self::Log } else { Self::Database })
    }
}

/// Forgets the touches that are on the disk with the published commit, or that it has made void.
pub(super) fn forget_written_touches(
    view: &View,
    unsynced: &mut Touches,
    effects: &Effects<'_>,
    route: Route,
) {
    match route {
        // One that changed nothing found what an entry before it says.
        Route::Log => view.touches.settle(&effects.touched),
        Route::Memory => unsynced.extend(&effects.touched),
        Route::Database => {
            view.touches.settle(&effects.touched);
            view.touches.settle(&std::mem::take(unsynced));
        }
    }
    for (key, record) in &effects.changed {
        if record.is_none() {
            view.touches.forget(key);
        }
    }
    if effects.cleared {
        view.touches.forget_absent(|key| {
            matches!(view.with_snapshot(|snapshot| snapshot.contains(key)), Ok(false))
        });
    }
}
