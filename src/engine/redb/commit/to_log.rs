//! What stands in the way of a commit, and its entry of the log.
//!
//! Invariant: nothing shows before its entry is on the disk. An entry is encoded once and appended once,
//! whatever is full.

use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::route::Circumstances;
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::log::Entry;
use crate::engine::redb::view::View;
use crate::error::Error;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

/// What the route of a commit is decided by.
pub(super) fn circumstances(
    view: &View,
    state: &mut State,
    effects: &Effects<'_>,
    entry: Option<&Entry>,
) -> Result<Circumstances, Failed> {
    let is_checkpointing = matches!(state, State::Checkpointing(_));
    let log = &state.committed().map_err(Failed::Before)?.log;
    Ok(Circumstances {
        changes_anything: effects.wrote,
        needs_tables: effects.need_tables(),
        durability: effects.durability(view.options.durability),
        // What a flush writes is in memory already.
        memory_is_full: !effects.flush && view.overlay.is_full(),
        log_has_room: entry.is_some_and(|entry| log.has_room_for(entry)),
        is_checkpointing,
    })
}

/// Writes an entry of the log; `false` if it has no room any more.
pub(super) fn append(view: &View, state: &mut State, entry: &mut Entry) -> Result<bool, Failed> {
    let failed = |error| Error::io("write the log of", view.file.path(), error);
    if view.file.sync_failed() {
        return Err(Failed::Before(failed(std::io::Error::other("an earlier sync failed"))));
    }
    let log = &mut state.committed().map_err(Failed::Before)?.log;
    log.append(entry).map_err(|error| Failed::During(failed(error)))
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
