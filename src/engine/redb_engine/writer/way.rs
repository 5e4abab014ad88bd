//! How a commit gets to the disk, and which touches are there with it.

use super::super::batch::Effects;
use super::super::shared::Shared;
use super::super::touch_buffer::Touches;
use super::super::write_ahead_log::WriteAheadLog;
use crate::Durability;

/// How a commit gets to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In the log, already; redb keeps it in memory until a later commit takes it along.
    Log,
    /// In redb's pages, with everything that was in the log or in memory only.
    Database,
    /// Not at all, until a later commit takes it along.
    Memory,
}

impl Way {
    /// Decides, and writes what goes into the log.
    pub(super) fn of(
        durability: Durability,
        log: &mut WriteAheadLog,
        effects: &Effects<'_>,
        must_sync: bool,
    ) -> std::io::Result<Self> {
        match durability {
            Durability::Deferred { .. } if !must_sync => return Ok(Self::Memory),
            Durability::Immediate if !(effects.in_bulk || must_sync) => {}
            _ => return Ok(Self::Database),
        }
        let found_room = match effects.promised {
            true => log.append(effects.entry())?.then_some(Self::Log),
            false => log.pass_by(effects.changed.len()).then_some(Self::Memory),
        };
        Ok(found_room.unwrap_or(Self::Database))
    }
}

/// Forgets the touches that are on the disk with the published commit, or that it has made void.
pub(super) fn settle(shared: &Shared, unsynced: &mut Touches, effects: &Effects<'_>, way: Way) {
    match way {
        // A touch that an earlier commit has in memory only is not in the entry.
        Way::Log => {
            let (logged, waiting) =
                effects.touched.iter().partition(|(key, _)| effects.changed.contains_key(*key));
            shared.touches.settle(&logged);
            unsynced.extend::<Touches>(waiting);
        }
        Way::Memory => unsynced.extend(&effects.touched),
        Way::Database => {
            shared.touches.settle(&effects.touched);
            shared.touches.settle(&std::mem::take(unsynced));
        }
    }
    for (key, record) in &effects.changed {
        if record.is_none() {
            shared.touches.forget(key);
        }
    }
    if effects.cleared {
        shared.touches.forget_absent(|key| {
            matches!(shared.look(|snapshot| snapshot.contains(key)), Ok(false))
        });
    }
}
