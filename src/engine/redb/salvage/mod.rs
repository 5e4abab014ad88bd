//! Rescues the sessions of a damaged file into a new one.
//!
//! Invariant: the damaged file is never written to, and the new one is complete or absent. A
//! private copy is opened first, as any store is, and recovered. Only if that fails are the damaged
//! file's pages read one by one.

mod copy;
pub(crate) mod new_file;
pub(crate) mod progress;
mod sink;
mod source;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::engine::contract::Engine;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::file::StoreFile;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::salvage::copy::copy_of;
use crate::engine::redb::salvage::progress::{SalvageProgress, SalvageStep, Teller};
use crate::engine::redb::salvage::sink::Sink;
use crate::engine::redb::salvage::source::Source;
use crate::engine::redb::storage::folder::InFolder;
use crate::engine::redb::storage::{Existing, Storage};
use crate::error::{Error, Result};
use crate::key::SessionKey;

/// What is copied of `meta`; the format is the new file's own.
const META: [&str; 3] = ["content_name", "created_at", "timeouts"];
/// How many stale sessions are told apart, 16 bytes each, before counting ends.
const MAX_STALE: usize = 1_000_000;

/// Copies every readable session of a damaged store file to a new file: [`Salvage::run`] with its
/// defaults.
///
/// # Errors
///
/// As for [`Salvage::run`].
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
///
/// # let folder = tempfile::tempdir()?;
/// # let (damaged, new) = (folder.path().join("sessions.redb"), folder.path().join("new.redb"));
/// # SessionStore::<u32>::open(&damaged)?.create(1)?;
/// let report = sessile::salvage(&damaged, &new)?;
/// println!("{} sessions kept, {} lost", report.kept, report.lost_count);
/// let store = SessionStore::<u32>::open(&new)?;
/// # assert_eq!(store.len()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn salvage(damaged: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<SalvageReport> {
    Salvage::new().run(damaged, new)
}

/// How to rescue the sessions of a damaged file.
///
/// # Security
///
/// The pages of a file hold not only its sessions but also what they were before: a page that is
/// free keeps its bytes until it is used again, **ended sessions included**. By default only what
/// the checksums prove to be part of the last commit, or of the log behind it, is kept. With
/// [`include_stale`](Self::include_stale) more sessions of a badly damaged file come back, and
/// with them some that their users have logged out of, up to their deadlines.
///
/// # Examples
///
/// See [`salvage`].
#[derive(Clone, Debug, Default)]
#[must_use = "a salvage does nothing until `run`"]
pub struct Salvage {
    include_stale: bool,
}

/// What became of a [`salvage`].
///
/// # Examples
///
/// See [`salvage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Sessions in the new file, expired ones included.
    pub kept: u64,
    /// Whether a copy of the file could be opened as any store is, and so no page was missing.
    /// Otherwise the pages were read one by one.
    pub opened: bool,
    /// Sessions that lie in pages which no intact tree leads to: older versions, ended ones, and
    /// ones whose page or the way to it is damaged; counted up to 1,000,000. They are in the new
    /// file if [`Salvage::include_stale`] was set, and not otherwise.
    pub stale: u64,
    /// Records that an intact page holds and that are damaged themselves.
    pub damaged_records: u64,
    /// Pages that a tree leads to, and that could not be read or are not what was written.
    pub unreadable_pages: u64,
    /// Sessions that the file names and of which no sound record was kept: the first
    /// [`MAX_KEYS`](Self::MAX_KEYS). Their users have to log in again.
    pub lost: Vec<SessionKey>,
    /// How many of them there are. Sessions that no readable page names are not among them.
    pub lost_count: u64,
    /// Whether the name of the content, the time of creation and the timeouts came along. Without
    /// them the new file takes them from the program that opens it first.
    pub has_metadata: bool,
}

impl SalvageReport {
    /// How many lost keys a report holds; it counts the others.
    pub const MAX_KEYS: usize = 1_000;

    fn lose(&mut self, key: SessionKey) {
        self.lost_count += 1;
        if self.lost.len() < Self::MAX_KEYS {
            self.lost.push(key);
        }
    }
}

impl Salvage {
    /// Nothing stale.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether sessions in pages that no intact tree leads to are kept as well; see
    /// [above](Self#security). Default: `false`. Of several versions of a session the one with the
    /// highest revision is kept, and of those the one that was active last.
    pub fn include_stale(self, include: bool) -> Self {
        Self { include_stale: include }
    }

    /// Copies every readable session and the metadata of the file at `damaged` to a new file at
    /// `new`, and rebuilds the indexes.
    ///
    /// The damaged file is locked and read, never written to. Meanwhile the new file's folder holds
    /// a second copy of it, without a name, so the disk needs room for both. Memory use is bounded.
    ///
    /// # Durability
    ///
    /// The new file, with mode 0600, appears once it is complete and on the disk, or not at all.
    /// Until then it has a name that begins with `.sessile-`. One that a killed process left is
    /// removed by the next salvage to the same place.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`]: there is something at `new` already, or a file cannot be opened or created.
    ///   Parts of the damaged file that cannot be read are no error.
    /// - [`Error::AlreadyOpen`]: the damaged file is open as a store.
    /// - [`Error::NotASessionStore`]: nothing in it is a session.
    /// - [`Error::UnsupportedFormat`]: a newer version of this library wrote it.
    /// - [`Error::StorageFull`]: there is no room for the new file and the copy.
    pub fn run(&self, damaged: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<SalvageReport> {
        self.run_with(damaged, new, |_| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), and calls `progress` for every megabyte or session; `Break` calls the
    /// salvage off. A panic in it does, too, and goes on.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); [`Error::CalledOff`] after `Break`, and there is no new file.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use sessile::{Salvage, SessionStore};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (damaged, new) = (folder.path().join("sessions.redb"), folder.path().join("new.redb"));
    /// # SessionStore::<u32>::open(&damaged)?.create(1)?;
    /// let report = Salvage::new().run_with(&damaged, &new, |progress| {
    ///     println!("{:?}: {} of {:?}", progress.step, progress.done, progress.total);
    ///     ControlFlow::Continue(())
    /// })?;
    /// # assert_eq!(report.kept, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_with(
        &self,
        damaged: impl AsRef<Path>,
        new: impl AsRef<Path>,
        mut progress: impl FnMut(SalvageProgress) -> ControlFlow<()>,
    ) -> Result<SalvageReport> {
        let mut teller = Teller::new(&mut progress);
        let report = self.told(damaged.as_ref(), new.as_ref(), &mut teller);
        teller.end();
        report
    }

    fn told(&self, damaged: &Path, new: &Path, teller: &mut Teller<'_>) -> Result<SalvageReport> {
        if InFolder::at(new)?.found()? == Existing::File {
            let cause = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(Error::io("create", new, cause));
        }
        let mut source = Source::open(damaged)?;
        if source.is_empty() {
            return Err(not_a_store(damaged, "it is empty"));
        }
        if let Some(report) = from_copy(&source, new, teller)? {
            return Ok(report);
        }
        let (_, _, report) =
            StoreFile::create_filled(storage(new)?, &RedbOptions::new(), |database| {
                let sink = Sink::new(database, new);
                guarded(|| self.read_pages(&mut source, damaged, sink, teller))
            })?;
        Ok(report)
    }

    fn read_pages(
        &self,
        source: &mut Source,
        damaged: &Path,
        mut sink: Sink<'_>,
        teller: &mut Teller<'_>,
    ) -> Result<SalvageReport> {
        let mut report = SalvageReport::default();
        let mut meta = source.meta()?;
        let logged = source.logged(&meta);
        meta.retain(|(name, _)| META.contains(&name.as_str()));
        report.has_metadata = !meta.is_empty();
        let mut seen = 0;
        source.sessions(&mut |key, record| {
            seen += 1;
            teller.tell(SalvageStep::Sessions, seen, None)?;
            match record {
                Ok(record) => sink.put(key, record)?,
                Err(_) => report.damaged_records += 1,
            }
            Ok(())
        })?;
        sink.apply(logged)?;
        let mut stale = HashSet::new();
        source.records_anywhere(teller, &mut |key, _| {
            if stale.len() < MAX_STALE && !stale.contains(&key) && !sink.contains(&key)? {
                stale.insert(key);
            }
            Ok(())
        })?;
        report.stale = stale.len() as u64;
        if self.include_stale {
            source.records_anywhere(teller, &mut |key, record| sink.put(key, record))?;
        }
        source.keys_in_expiry(&mut |key| {
            if !sink.contains(&key)? {
                report.lose(key);
            }
            Ok(())
        })?;
        report.unreadable_pages = source.unreadable_pages;
        report.kept = sink.finish(&meta)?;
        if report.kept == 0 && report.stale == 0 && !report.has_metadata {
            return Err(not_a_store(damaged, "no session could be found in it"));
        }
        Ok(report)
    }
}

/// Opens a private copy with everything that makes a store of what a crash has left; `None` if
/// that does not work and the pages have to be read one by one.
fn from_copy(
    source: &Source,
    new: &Path,
    teller: &mut Teller<'_>,
) -> Result<Option<SalvageReport>> {
    let len = source.len();
    let copy = copy_of(source.file(), new, &mut |copied| {
        teller.tell(SalvageStep::Copying, copied, Some(len.max(copied)))
    });
    let Some(copy) = copy? else { return Ok(None) };
    let options = RedbOptions::new().compact_on_open(false);
    let opened = guarded(|| RedbEngine::open_existing(Box::new(copy), &options));
    let salvaged = opened.and_then(|engine| {
        StoreFile::create_filled(storage(new)?, &options, |database| {
            guarded(|| from_store(&engine, Sink::new(database, new), teller))
        })
    });
    match salvaged {
        Ok((_, _, report)) => Ok(Some(report)),
        Err(error) if is_final(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

fn storage(path: &Path) -> Result<Box<dyn Storage>> {
    Ok(Box::new(InFolder::at(path)?))
}

/// Copies what an opened store shows.
fn from_store(
    engine: &RedbEngine,
    mut sink: Sink<'_>,
    teller: &mut Teller<'_>,
) -> Result<SalvageReport> {
    let mut report = SalvageReport { opened: true, ..SalvageReport::default() };
    let total = engine.stats()?.stored;
    let mut seen = 0;
    engine.scan(None, &mut |key, record| {
        seen += 1;
        teller.tell(SalvageStep::Sessions, seen, Some(total.max(seen)))?;
        match record {
            Ok(record) => sink.put(key, record)?,
            Err(Error::DamagedRecord { .. }) => {
                report.damaged_records += 1;
                report.lose(key);
            }
            Err(error) => return Err(error),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut meta = Vec::new();
    for name in META {
        meta.extend(engine.load_meta(name)?.map(|value| (name.to_owned(), value)));
    }
    report.has_metadata = !meta.is_empty();
    report.kept = sink.finish(&meta)?;
    Ok(report)
}

fn not_a_store(path: &Path, reason: &str) -> Error {
    Error::NotASessionStore { path: path.into(), reason: reason.into() }
}

/// Whether reading page by page would change nothing about it.
const fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::StorageFull { .. }
            | Error::UnsupportedFormat { .. }
            | Error::LocksUnsupported { .. }
            | Error::AlreadyOpen { .. }
            | Error::CalledOff { .. }
    )
}

/// A panic inside redb, which a damaged file may well cause, is an error here.
fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        Err(Error::engine(std::io::Error::other("the database library panicked on the file")))
    })
}
