//! A disk in memory that crashes and fails on demand.
//!
//! It guarantees exactly what docs/durability.md assumes of a storage medium.

mod choices;
mod fault;
mod file;
mod history;
mod image;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

pub use crate::testing::disk::fault::DiskFault;

use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::error::Result;
use crate::testing::disk::choices::Choices;
use crate::testing::disk::fault::Planned;
use crate::testing::disk::file::Locks;
use crate::testing::disk::history::{Contents, Durable, Event, History};
use crate::testing::disk::image::Image;

/// A disk in memory, with room for one store, that records every operation.
///
/// Clones are handles of one disk. [`RedbEngine::open_on`] opens the store on it, or creates it.
/// Writes, changes of length, syncs and changes of names are counted.
/// [`after_power_loss`](Self::after_power_loss) and [`after_kill`](Self::after_kill) make a new
/// disk in a state that a crash before any of them can leave. So a program runs once and is then
/// crashed at each of its operations. [`fail_once`](Self::fail_once) and
/// [`fail_from`](Self::fail_from) make the disk fail while the program runs.
///
/// # Guarantees of the disk
///
/// - Every write before a successful [sync](redb::StorageBackend::sync_data) is there.
/// - Of later writes any part may be there after power loss, in sectors of 512 bytes and in any
///   order; a change of length may be there or not. A killed process loses none of its writes.
/// - A failed sync drops the writes that it covered, as on Linux: they read back, but are not on
///   the disk until the same page is written again. They read back until the cache forgets them; a
///   store whose sync has failed does that when it is closed.
///
/// # Examples
///
/// ```
/// use sessile::engine::RedbOptions;
/// use sessile::testing::SimulatedDisk;
/// use sessile::{RedbEngine, SessionStore};
///
/// let disk = SimulatedDisk::new();
/// let open = |disk: &SimulatedDisk| {
///     let engine = RedbEngine::open_on(disk, &RedbOptions::new())?;
///     SessionStore::<String>::builder().engine(engine).build()
/// };
/// let store = open(&disk)?;
/// let session = store.create("hello".into())?;
///
/// // After a power loss every acknowledged change is there; any part of the others may be.
/// let disk = disk.after_power_loss(disk.operations(), 7);
/// assert!(open(&disk)?.read(session.id())?.is_some());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    /// Notified when a sync begins to wait, and when syncs are released.
    syncs_changed: Arc<Condvar>,
}

#[derive(Debug)]
struct State {
    seen: Contents,
    history: History,
    reads: u64,
    fault: Option<Planned>,
    /// Which syncs wait, and their number.
    holds: Holds,
    held_syncs: usize,
    failed_syncs: u64,
    /// Pages that a failed sync dropped: (file, page).
    dropped: BTreeSet<(u64, u64)>,
    locks: Locks,
    files: u64,
    /// Whether a single write can be synced, or only a whole file.
    syncs_ranges: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    None,
    /// Syncs of whole files.
    Files,
    All,
}

/// The syncs of a disk wait until this is dropped.
#[derive(Debug)]
#[must_use = "the syncs wait until this is dropped"]
pub struct HeldSyncs<'a>(&'a SimulatedDisk);

impl Drop for HeldSyncs<'_> {
    fn drop(&mut self) {
        self.0.release_syncs();
    }
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Durable::default(), true)
    }

    /// An empty disk of a system that syncs no single write, but only whole files: so are all
    /// systems other than Linux. The disks after its crashes are like it.
    #[must_use]
    pub fn syncing_whole_files() -> Self {
        Self::of(Durable::default(), false)
    }

    /// A disk on which the store's file has these bytes.
    #[must_use]
    pub fn with_store(bytes: &[u8]) -> Self {
        let mut image = Image::default();
        image.set_len(bytes.len() as u64);
        image.write(0, bytes);
        let contents = Contents { files: [(1, image)].into(), store: Some(1), draft: None };
        Self::of(Durable { contents, pending: Vec::new() }, true)
    }

    /// The bytes of the store's file as a program reads them now; empty without a file.
    #[must_use]
    pub fn store_bytes(&self) -> Vec<u8> {
        let state = self.state.lock();
        let Some(image) = state.seen.store.and_then(|store| state.seen.files.get(&store)) else {
            return Vec::new();
        };
        let mut bytes = vec![0; image.len() as usize];
        image.read(0, &mut bytes);
        bytes
    }

    fn of(durable: Durable, syncs_ranges: bool) -> Self {
        let seen = durable.seen();
        let state = State {
            files: seen.files.keys().max().map_or(0, |last| last + 1),
            seen,
            history: History::of(durable),
            reads: 0,
            fault: None,
            holds: Holds::None,
            held_syncs: 0,
            failed_syncs: 0,
            dropped: BTreeSet::new(),
            locks: Locks::default(),
            syncs_ranges,
        };
        Self { state: Arc::new(Mutex::new(state)), syncs_changed: Arc::default() }
    }

    /// The number of operations that change or sync the disk, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().history.len()
    }

    /// The number of reads, failed ones included.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// The length of the store's file after the first `operations`, in bytes; 0 without a file.
    #[must_use]
    pub fn bytes_at(&self, operations: u64) -> u64 {
        let seen = self.state.lock().history.at(operations).0.seen();
        seen.store.and_then(|store| seen.files.get(&store)).map_or(0, |image| image.len())
    }

    /// The disk after a power loss that follows the first `operations`: all synced changes, and a
    /// part of the others and of the next operation, chosen by the seed.
    #[must_use]
    pub fn after_power_loss(&self, operations: u64, seed: u64) -> Self {
        let state = self.state.lock();
        let (mut durable, next) = state.history.at(operations);
        if let Some(under_way @ (Event::Write { .. } | Event::SetLen { .. })) = next {
            durable.push(under_way);
        }
        let contents = durable.after_power_loss(seed);
        Self::of(Durable { contents, pending: Vec::new() }, state.syncs_ranges)
    }

    /// The disk after the process is killed following the first `operations`: all their writes, and
    /// a beginning, chosen by the seed, of a write under way. A later power loss can still lose
    /// unsynced writes.
    #[must_use]
    pub fn after_kill(&self, operations: u64, seed: u64) -> Self {
        let state = self.state.lock();
        let (mut durable, next) = state.history.at(operations);
        if let Some(Event::Write { file, offset, data, grown_to }) = next {
            durable.push(&beginning(*file, *offset, data, *grown_to, seed));
        }
        Self::of(durable, state.syncs_ranges)
    }

    /// Makes one operation fail: the first of the fitting kind after the first `operations`. For
    /// [`DiskFault::Read`] the number counts [`reads`](Self::reads).
    pub fn fail_once(&self, fault: DiskFault, operations: u64) {
        self.state.lock().fault = Some(Planned { fault, from: operations, lasting: false });
    }

    /// As [`fail_once`](Self::fail_once), and every fitting operation after it, until
    /// [`repair`](Self::repair).
    pub fn fail_from(&self, fault: DiskFault, operations: u64) {
        self.state.lock().fault = Some(Planned { fault, from: operations, lasting: true });
    }

    /// Makes every sync wait, as on a slow disk, until the answer is dropped: also by a test that
    /// fails, whose threads then end.
    pub fn hold_syncs(&self) -> HeldSyncs<'_> {
        self.state.lock().holds = Holds::All;
        HeldSyncs(self)
    }

    /// As [`hold_syncs`](Self::hold_syncs), but a write that syncs only itself does not wait. So a
    /// store can be held while it makes room in its log, and commits to the log continue.
    pub fn hold_file_syncs(&self) -> HeldSyncs<'_> {
        self.state.lock().holds = Holds::Files;
        HeldSyncs(self)
    }

    /// Waits until a sync is waiting.
    pub fn wait_for_held_sync(&self) {
        let mut state = self.state.lock();
        while state.held_syncs == 0 {
            self.syncs_changed.wait(&mut state);
        }
    }

    /// Releases the held syncs earlier than [`HeldSyncs`] does.
    pub fn release_syncs(&self) {
        self.state.lock().holds = Holds::None;
        self.syncs_changed.notify_all();
    }

    fn until_released(&self, is_of_file: bool) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        let waits = |state: &State| match state.holds {
            Holds::None => false,
            Holds::Files => is_of_file,
            Holds::All => true,
        };
        if waits(&state) {
            state.held_syncs += 1;
            self.syncs_changed.notify_all();
            while waits(&state) {
                self.syncs_changed.wait(&mut state);
            }
            state.held_syncs -= 1;
        }
        state
    }

    /// Ends the fault, and returns whether one was still armed. A fault that strikes once ends by
    /// itself.
    pub fn repair(&self) -> bool {
        self.state.lock().fault.take().is_some()
    }
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimulatedDisk")
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

impl RedbEngine {
    /// Opens the store on a simulated disk; creates it if there is none.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open`](crate::Builder::open).
    ///
    /// # Examples
    ///
    /// See [`SimulatedDisk`].
    pub fn open_on(disk: &SimulatedDisk, options: &RedbOptions) -> Result<Self> {
        Self::open_storage(Box::new(disk.clone()), options)
    }
}

impl SimulatedDisk {
    /// Writes a backup of a store to this disk, as
    /// [`SessionStore::backup_with`](crate::SessionStore::backup_with) does to a path.
    ///
    /// # Errors
    ///
    /// As for [`SessionStore::backup_with`](crate::SessionStore::backup_with).
    pub fn take_backup<C: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        store: &crate::store::SessionStore<C>,
    ) -> Result<crate::admin::BackupReport> {
        crate::admin::backup::backup_to(store, Box::new(self.clone()))
    }
}

/// A beginning of a write, of a length chosen by the seed.
fn beginning(file: u64, offset: u64, data: &[u8], grown_to: Option<u64>, seed: u64) -> Event {
    let len = Choices::new(seed).below(data.len() as u64 + 1) as usize;
    let data: Arc<[u8]> = data[..len].into();
    let grown_to = grown_to.map(|_| offset + len as u64);
    Event::Write { file, offset, data, grown_to }
}
