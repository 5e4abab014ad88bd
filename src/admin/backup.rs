//! Copies of a store as a file: backups taken while its program runs, and their restoration.
//!
//! Invariant: the new file is a complete store, verified page by page, or it does not exist. It is
//! of one moment if the engine shows one. No existing file is overwritten, except by a restore with
//! `replace`.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::copying::{Keys, LeaveOut, OnProgress, Progress, Steps, for_each_record};
use crate::admin::inspector::Inspector;
use crate::engine::contract::Engine;
use crate::engine::redb::salvage::new_file::{NewFile, PrivateStore};
use crate::error::Result;
use crate::session::user::UserId;
use crate::store::SessionStore;
use crate::trace::span;

/// The result of a backup, or of a restore.
///
/// # Examples
///
/// See [`SessionStore::backup`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// Sessions in the new file, expired ones included.
    pub sessions: u64,
    /// Sessions that were [left out](LeaveOut) on request.
    pub left_out: u64,
    /// Users to leave out of whom the store had no session. Such a user may be misspelt, or a
    /// number where the store has a text.
    pub unmatched_users: Vec<UserId>,
    /// Damaged records, which are not in the new file.
    pub damaged: Keys,
    /// The size of the new file in bytes.
    pub bytes: u64,
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Writes a copy of the store to a new file. It holds every change acknowledged before the
    /// call, touches included, as of one moment. Writers go on meanwhile.
    ///
    /// On Redis and MongoDB it holds each session as of some moment of the call. A session that
    /// gets a new id meanwhile may be missing, or be there under both: take the copy when nobody
    /// logs in.
    ///
    /// # Durability
    ///
    /// On Unix the new file has mode 0600; on Windows it has its folder's permissions. It appears
    /// once it is complete, verified page by page and on the disk, or not at all. A killed process
    /// leaves at most a file whose name begins with `.sessile-`; the next backup to the same place
    /// removes it.
    ///
    /// # Cost
    ///
    /// A pass over all sessions, and the write of the new file. The store's file cannot reuse space
    /// meanwhile, so it grows by the data written to it. Memory use does not grow with the number
    /// of sessions.
    ///
    /// # Security
    ///
    /// The copy holds no session id, so it gives nobody a login; users and contents are in clear,
    /// as in the store. Sessions that end after the backup are still in it; see [`LeaveOut`] for
    /// sessions that must not come back.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if something exists at the path, or its folder does not;
    /// [`Error::StorageFull`](crate::Error::StorageFull) if the copy does not fit. A damaged record
    /// is no error: it is left out, and [listed](BackupReport::damaged).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// # let backup = folder.path().join("backup.redb");
    /// let store = SessionStore::<String>::open(path)?;
    /// let session = store.create("hello".into())?;
    /// let report = store.backup(&backup)?;
    /// assert_eq!((report.sessions, report.damaged.count()), (1, 0));
    ///
    /// let copy = SessionStore::<String>::open(&backup)?;
    /// assert!(copy.read(session.id())?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with(path, &LeaveOut::nothing(), &mut |_| std::ops::ControlFlow::Continue(()))
    }

    /// As [`backup`](Self::backup), but leaves out some sessions, and reports its progress to a
    /// callback, which may call the backup off.
    ///
    /// # Errors
    ///
    /// As for [`backup`](Self::backup), and [`Error::CalledOff`](crate::Error::CalledOff); no file
    /// remains then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use sessile::{Error, SessionStore, admin::LeaveOut};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("backup.redb");
    /// let store: SessionStore = SessionStore::in_memory()?;
    /// let leave_out = LeaveOut::nothing();
    /// let called_off = store.backup_with(&path, &leave_out, &mut |progress| {
    ///     println!("{} sessions", progress.done);
    ///     ControlFlow::Break(())
    /// });
    /// assert!(matches!(called_off, Err(Error::CalledOff { .. })));
    /// assert!(!path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup_with(
        &self,
        path: impl AsRef<Path>,
        leave_out: &LeaveOut,
        progress: &mut OnProgress<'_>,
    ) -> Result<BackupReport> {
        let core = self.core();
        core.ensure_open()?;
        copy_to(&*core.engine, NewFile::at(path.as_ref())?, "backup", leave_out, progress)
    }
}

impl Inspector {
    /// Writes a copy of the store to a new file, as
    /// [`SessionStore::backup_with`](crate::SessionStore::backup_with) does.
    ///
    /// # Errors
    ///
    /// As for [`SessionStore::backup_with`](crate::SessionStore::backup_with).
    pub fn backup_with(
        &self,
        path: impl AsRef<Path>,
        leave_out: &LeaveOut,
        progress: &mut OnProgress<'_>,
    ) -> Result<BackupReport> {
        copy_to(self.engine(), NewFile::at(path.as_ref())?, "backup", leave_out, progress)
    }
}

/// Restores a store from a backup. The backup is locked and read, never written to. Meanwhile the
/// folder of `path` holds a nameless copy of it, so the disk needs room for that and for the new
/// store. While the copy is made, `progress` tells of no session and of no total.
///
/// With `replace`, the new store replaces the one at `path` in one step, if no program has that
/// open. Until then the new store is a file beside it whose name begins with `.sessile-`. A restore
/// that fails removes the file. If a killed process left such a file, the next restore to the same
/// path removes it. On Unix the new store has the old one's owner, and its group if the system lets
/// it, with mode 0600: a restore by root leaves a store that its program can open.
///
/// # Errors
///
/// As for [`SessionStore::backup_with`]; [`Error::AlreadyOpen`](crate::Error::AlreadyOpen) if a
/// program has the store at `path` open; [`Error::Io`](crate::Error::Io) if that store belongs to
/// another user and this process may give no file to them;
/// [`Error::DamagedFile`](crate::Error::DamagedFile) for a damaged backup, which
/// [`salvage`](crate::salvage()) can rescue.
///
/// # Examples
///
/// ```
/// use std::ops::ControlFlow;
/// use sessile::{SessionStore, admin};
///
/// # let folder = tempfile::tempdir()?;
/// # let (path, backup) = (folder.path().join("sessions.redb"), folder.path().join("backup.redb"));
/// # SessionStore::<u32>::in_memory()?.backup(&backup)?;
/// let leave_out = admin::LeaveOut::nothing().user("mallory");
/// admin::restore(&backup, &path, false, &leave_out, &mut |_| ControlFlow::Continue(()))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn restore(
    backup: impl AsRef<Path>,
    path: impl AsRef<Path>,
    replace: bool,
    leave_out: &LeaveOut,
    progress: &mut OnProgress<'_>,
) -> Result<BackupReport> {
    let path = path.as_ref();
    let new = match replace {
        true => NewFile::in_place_of(path)?,
        false => NewFile::at(path)?,
    };
    let nothing_yet = Progress::default();
    let mut steps = Steps { action: "restore", progress: nothing_yet, told: progress };
    let source = PrivateStore::of(backup.as_ref(), path, &mut || steps.tell())?;
    copy_to(source.engine(), new, "restore", leave_out, progress)
}

/// Writes a backup to another storage.
#[cfg(feature = "testing")]
pub(crate) fn backup_to<C: Serialize + DeserializeOwned>(
    store: &SessionStore<C>,
    storage: Box<dyn crate::engine::redb::storage::Storage>,
) -> Result<BackupReport> {
    let (new, leave_out) = (NewFile::on(storage), LeaveOut::nothing());
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    copy_to(&*store.core().engine, new, "backup", &leave_out, go_on)
}

fn copy_to(
    engine: &dyn Engine,
    new: NewFile,
    action: &'static str,
    leave_out: &LeaveOut,
    told: &mut OnProgress<'_>,
) -> Result<BackupReport> {
    let _span = span!(INFO, "backup");
    let mut report = BackupReport::default();
    let total = engine.stats()?.stored;
    let progress = Progress { done: 0, total: Some(total) };
    let mut steps = Steps { action, progress, told };
    let written = new.fill(engine, &mut |put| {
        let mut choice = leave_out.choice();
        for_each_record(engine, &mut steps, &mut report.damaged, &mut |key, record| match choice
            .takes(&record)
        {
            true => put(key, record),
            false => Ok(()),
        })?;
        (report.left_out, report.unmatched_users) = (choice.left_out(), choice.unmatched());
        Ok(())
    })?;
    (report.sessions, report.bytes) = (written.sessions, written.bytes);
    Ok(report)
}
