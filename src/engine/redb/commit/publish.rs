//! How a commit gets into a snapshot, which is all of it that redb has a part in; `view/show.rs` has
//! the rest.

use crate::engine::redb::commit::Writer;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::view::View;
use crate::error::Result;
use crate::sync::atomic::Ordering;

impl Writer {
    /// Lets readers see redb's last commit, which holds these changes. Some keys may have been
    /// changed again since.
    pub(super) fn publish_checkpoint(
        &self,
        view: &View,
        database: &redb::Database,
        shown: &Changes,
    ) -> Result<()> {
        view.show_published(self.take_snapshot(view, database)?, shown);
        Ok(())
    }

    pub(super) fn take_snapshot(&self, view: &View, database: &redb::Database) -> Result<Snapshot> {
        let commit = self.published.fetch_add(1, Ordering::AcqRel) + 1;
        Snapshot::of(database, commit)
            .map_err(|error| error::from_redb("read", view.file.path(), error))
    }
}
