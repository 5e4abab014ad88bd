//! Copies the sessions of a damaged file into a new file.
//!
//! Invariant: the damaged file is never written to, and the new file is complete or absent. First a
//! private copy is opened like any store, and recovered. Only if that fails are the damaged file's
//! pages read one by one.

mod copy;
pub(crate) mod new_file;
pub(crate) mod progress;
mod sink;
mod source;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use crate::caught::caught;
use crate::engine::contract::Engine;
use crate::engine::redb::database::schema::SEQUENCE;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::file::StoreFile;
use crate::engine::redb::file::signature::FORMAT;
use crate::engine::redb::log::readable::Readable;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::salvage::copy::copy_of;
use crate::engine::redb::salvage::progress::{SalvageProgress, SalvageStep, Teller};
use crate::engine::redb::salvage::sink::Sink;
use crate::engine::redb::salvage::source::Source;
use crate::engine::redb::storage::folder::InFolder;
use crate::engine::redb::storage::{Existing, Storage};
use crate::error::{Error, Result};
use crate::key::SessionKey;

/// The entries of `meta` that are copied; the new file has its own format entry.
const META: [&str; 3] = ["content_name", "created_at", "timeouts"];
/// How many different stale sessions are remembered, 16 bytes each, before counting stops.
const MAX_STALE: usize = 1_000_000;

/// Copies every readable session of a damaged store file to a new file, as [`Salvage::run`] with
/// its defaults.
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

/// The settings of a salvage, which copies the sessions of a damaged file to a new one.
///
/// # Security
///
/// The pages of a file hold not only its sessions but also their earlier versions: a free page
/// keeps its bytes until it is used again, **ended sessions included**. By default a salvage keeps
/// only sessions that checksums prove to be part of the last commit, or of the log after it. An
/// entry that is missing in the log may have ended any session: then only the sessions in the
/// entries after it are kept, and none if the log has moved, is cut off or cannot be found, or if
/// the last commit or its number cannot be read. This is common in a copy that was taken with plain
/// reads while a program wrote. With
/// [`include_stale`](Self::include_stale) more sessions of a badly damaged file come back, and with
/// them some whose users have logged out, up to their deadlines. A session that the readable part
/// of the log shows to be ended stays gone.
///
/// # Examples
///
/// See [`salvage`].
#[derive(Clone, Debug, Default)]
#[must_use = "a salvage does nothing until `run`"]
pub struct Salvage {
    include_stale: bool,
}

/// The result of a [`salvage`].
///
/// # Examples
///
/// See [`salvage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Sessions in the new file, expired ones included.
    pub kept: u64,
    /// Whether a copy of the file could be opened like any store, so that no page was missing. If
    /// not, the pages were read one by one.
    pub opened: bool,
    /// Sessions in pages that no intact tree leads to: older versions, ended sessions, and sessions
    /// whose page, or the path to it, is damaged. Counted up to 1,000,000. The new file has them
    /// only if [`Salvage::include_stale`] was set.
    pub stale: u64,
    /// Damaged records in intact pages.
    pub damaged_records: u64,
    /// Pages that a tree leads to, but that could not be read or have a wrong checksum.
    pub unreadable_pages: u64,
    /// Sessions that the file names but of which no sound record was kept: the first
    /// [`MAX_KEYS`](Self::MAX_KEYS). Their users must log in again.
    pub lost: Vec<SessionKey>,
    /// The number of lost sessions. Sessions that no readable page names are not counted.
    pub lost_count: u64,
    /// Whether the content's name, the time of creation and the timeouts were copied. If not, the
    /// new file takes them from the first program that opens it.
    pub has_metadata: bool,
}

impl SalvageReport {
    /// The most lost keys in a report; the others are only counted.
    pub const MAX_KEYS: usize = 1_000;

    fn lose(&mut self, key: SessionKey) {
        self.lost_count += 1;
        if self.lost.len() < Self::MAX_KEYS {
            self.lost.push(key);
        }
    }
}

impl Salvage {
    /// A salvage without stale sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to keep sessions in pages that no intact tree leads to; see [above](Self#security).
    /// Default: `false`. Of several versions of a session the one with the highest revision is
    /// kept; among equal revisions, the one that was active last.
    pub fn include_stale(self, include: bool) -> Self {
        Self { include_stale: include }
    }

    /// Copies every readable session and the metadata of the file at `damaged` to a new file at
    /// `new`, and rebuilds the indexes.
    ///
    /// The damaged file is locked and read, never written to. Meanwhile the new file's folder holds
    /// a nameless second copy of the damaged file, so the disk needs room for both. Memory use is
    /// bounded.
    ///
    /// # Durability
    ///
    /// The new file, on Unix with mode 0600, appears once it is complete and on the disk, or not at
    /// all. Until then its name begins with `.sessile-`. If a killed process left such a file, the
    /// next salvage to the same place removes it.
    ///
    /// # Errors
    ///
    /// - [`Error::Io`]: something already exists at `new`, or a file cannot be opened or created.
    ///   Unreadable parts of the damaged file are no error.
    /// - [`Error::AlreadyOpen`]: the damaged file is open as a store.
    /// - [`Error::NotASessionStore`]: the file holds neither a session nor a store's metadata.
    /// - [`Error::UnsupportedFormat`]: a newer version of this library wrote it.
    /// - [`Error::StorageFull`]: there is no room for the new file and the copy.
    pub fn run(&self, damaged: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<SalvageReport> {
        self.run_with(damaged, new, |_| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), and calls `progress` for every megabyte or session; `Break` cancels
    /// the salvage. A panic in `progress` cancels it too, and is then resumed.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run); [`Error::CalledOff`] after `Break`, which leaves no new file.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use sessile::{Salvage, SessionStore};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let damaged = folder.path().join("sessions.redb");
    /// # let new = folder.path().join("new.redb");
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
        let report = self.rescue(damaged.as_ref(), new.as_ref(), &mut teller);
        teller.end();
        report
    }

    fn rescue(&self, damaged: &Path, new: &Path, teller: &mut Teller<'_>) -> Result<SalvageReport> {
        if InFolder::at(new)?.found()? == Existing::File {
            return Err(Error::occupied(new));
        }
        let mut source = Source::open(damaged)?;
        if source.is_empty() {
            return Err(not_a_store(damaged, "it is empty"));
        }
        if let Some(report) = from_copy(&source, new, teller)? {
            return Ok(report);
        }
        let meta = source.meta(&[META.as_slice(), &[FORMAT, SEQUENCE]].concat())?;
        let logged = source.logged(&meta);
        let (_, _, report) =
            StoreFile::create_filled(storage(new)?, &RedbOptions::new(), |database| {
                let sink = Sink::new(database, new);
                guarded(|| self.read_pages(&mut source, damaged, (meta, logged), sink, teller))
            })?;
        Ok(report)
    }

    fn read_pages(
        &self,
        source: &mut Source,
        damaged: &Path,
        (mut meta, logged): (Vec<(String, Vec<u8>)>, Readable),
        mut sink: Sink<'_>,
        teller: &mut Teller<'_>,
    ) -> Result<SalvageReport> {
        let mut report = SalvageReport::default();
        meta.retain(|(name, _)| META.contains(&name.as_str()));
        report.has_metadata = !meta.is_empty();
        let mut seen = 0;
        source.sessions(&mut |key, record| {
            seen += 1;
            teller.tell(SalvageStep::Sessions, seen, None)?;
            match record {
                Ok(record) if logged.is_complete => sink.put(key, record)?,
                // A missing entry of the log may have ended it.
                Ok(_) => {}
                Err(_) => report.damaged_records += 1,
            }
            Ok(())
        })?;
        let ended = sink.apply(logged.changes)?;
        let mut stale = HashSet::new();
        source.records_anywhere(teller, &mut |key, _| {
            let is_known = ended.contains(&key) || stale.contains(&key);
            if stale.len() < MAX_STALE && !is_known && !sink.contains(&key)? {
                stale.insert(key);
            }
            Ok(())
        })?;
        report.stale = stale.len() as u64;
        if self.include_stale {
            source.records_anywhere(teller, &mut |key, record| match ended.contains(&key) {
                true => Ok(()),
                false => sink.put(key, record),
            })?;
        }
        source.keys_in_expiry(&mut |key| {
            // The index still names a session whose removal is only in the log.
            if !ended.contains(&key) && !sink.contains(&key)? {
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

/// Opens and recovers a private copy as a store after a crash, and copies its sessions; `None` if
/// that fails and the pages must be read one by one.
fn from_copy(
    source: &Source,
    new: &Path,
    teller: &mut Teller<'_>,
) -> Result<Option<SalvageReport>> {
    let len = source.len();
    let copy = copy_of(source.file(), new, &mut |copied| {
        teller.tell(SalvageStep::Copying, copied, Some(len.max(copied)))
    });
    let Ok(copy) = copy? else { return Ok(None) };
    let options = RedbOptions::new().compact_on_open(false);
    let opened = guarded(|| {
        let opened = StoreFile::open_existing(Box::new(copy), &options)?;
        // A log may end before the file does. What follows may show that the log has moved since.
        match source.logged_after(Some(opened.1.log.checkpointed())).is_complete {
            true => RedbEngine::of(opened, &options),
            false => Err(not_a_store(new, "entries of its log are missing")),
        }
    });
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

/// Copies the sessions and metadata of an opened store.
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

/// Whether reading the pages one by one would give the same error.
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

/// Converts a panic inside redb, which a damaged file may cause, to an error.
fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(step).unwrap_or_else(|| {
        Err(Error::engine(std::io::Error::other("the database library panicked on the file")))
    })
}
