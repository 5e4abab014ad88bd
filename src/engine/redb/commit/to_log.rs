//! What stands in the way of a commit's entry of the log, and what there is to wait for.

use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::route::Circumstances;
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::log::Entry;
use crate::engine::redb::view::View;
use crate::error::Error;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

/// What the route of a commit is decided by. After a failed sync there is none.
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
        // What a flush writes is in memory already.
        memory_is_full: !effects.flush && view.overlay.is_full(),
        log_has_room: entry.is_some_and(|entry| log.has_room_for(entry)),
        is_checkpointing,
    })
}

impl Writer {
    /// Waits for the end of a checkpoint in the middle of a group. What was decided rests on what was
    /// acknowledged, and holds in a file that had to be reopened, too.
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
