//! The facts for a commit's route, and the wait for a checkpoint before a commit is written.

use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::route::Circumstances;
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::log::Entry;
use crate::engine::redb::view::View;
use crate::error::Error;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

/// The facts that decide a commit's route. An error after a failed sync.
pub(super) fn circumstances(
    view: &View,
    state: &mut State,
    effects: &Effects<'_>,
    entry: Option<&Entry>,
) -> Result<Circumstances, Failed> {
    let is_checkpointing = matches!(state, State::Checkpointing(_));
    if view.file.sync_failed() {
        let cause = std::io::Error::other("an earlier sync failed");
        let error = Error::io("write the log of", view.file.path(), cause);
        return Err(Failed::Before(error));
    }
    let log = &state.committed().map_err(Failed::Before)?.log;
    Ok(Circumstances {
        changes_anything: effects.change_anything(),
        needs_tables: effects.need_tables(),
        durability: effects.durability(view.options.durability),
        // The changes of a flush are already in memory.
        memory_is_full: !effects.flush && !view.overlay.has_room_for(effects.bytes),
        log_has_room: entry.is_some_and(|entry| log.has_room_for(entry)),
        is_checkpointing,
    })
}

impl Writer {
    /// Waits, within a group, for the end of a checkpoint, and reopens the file if its handle is
    /// lost. The group's decisions depend on acknowledged changes only, so they also hold in a
    /// reopened file.
    pub(super) fn wait_again(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
        carried_out: bool,
    ) -> Result<(), Failed> {
        self.wait_for_checkpoint(state);
        self.ensure_open(view, state).map_err(Failed::Before)?;
        let openings = self.openings.load(Ordering::Acquire);
        if openings != effects.openings && !carried_out {
            effects.begin(state.committed().map_err(Failed::Before)?, openings);
        }
        Ok(())
    }
}
