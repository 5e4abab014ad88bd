//! The file's life: created whole or not at all, opened only if it is ours, watched while open.
//!
//! Invariant: nothing at the path is written to before its marks have been seen; a new store
//! appears there only once it is complete and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::backend::{Backend, SyncFailed};
use super::failure;
use super::options::RedbOptions;
use super::tables::{META, Outer, Tables};
use crate::{Error, Result};

/// redb's first bytes.
const REDB_MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// Ours, stored as the value of `meta`'s entry `format`, with the version behind them. Their
/// presence is checked on the raw bytes, before redb writes to the file.
const STORE_MAGIC: &[u8; 16] = b"sessile store\x1A\r\n";
const FORMAT: &str = "format";
/// The newest version of the file's layout that this code reads, and the one it writes.
const FORMAT_VERSION: u64 = 1;

/// An open file.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    identity: Identity,
    sync_failed: SyncFailed,
}

/// Which file this is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl StoreFile {
    /// Opens the store at a path; creates it where there is nothing, or an empty file.
    pub(super) fn open(path: &Path, options: &RedbOptions) -> Result<(Self, Database)> {
        match look(path)? {
            Found::Store => Self::open_existing(path, options),
            Found::Nothing => Self::create(path, options),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    pub(super) fn len(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.path);
        Ok(metadata.map_err(|error| Error::io("look at", &self.path, error))?.len())
    }

    /// Whether the path still leads to the open file. A commit to a file that nobody can open
    /// again must not be acknowledged.
    pub(super) fn check_in_place(&self) -> Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if Identity::of(&metadata) == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("look at", &self.path, error))
            }
            _ => Err(Error::FileReplaced { path: self.path.clone() }),
        }
    }

    /// Opens the file anew after an I/O error, which redb's handle does not outlive.
    pub(super) fn reopen(&self, options: &RedbOptions) -> Result<Database> {
        self.check_in_place()?;
        let (file, database) = Self::open_existing(&self.path, options)?;
        match file.identity == self.identity {
            true => Ok(database),
            false => Err(Error::FileReplaced { path: self.path.clone() }),
        }
    }

    fn open_existing(path: &Path, options: &RedbOptions) -> Result<(Self, Database)> {
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        let file = no_follow(&mut open).open(path).map_err(|e| refused("open", path, e))?;
        let metadata = file.metadata().map_err(|error| Error::io("look at", path, error))?;
        let store = Self {
            path: path.into(),
            identity: Identity::of(&metadata),
            sync_failed: SyncFailed::default(),
        };
        check_marks(path, &file)?;
        let database = store.database(file, options)?;
        Ok((store, database))
    }

    /// Builds a whole store under another name, and gives it its own once it is on the disk.
    fn create(path: &Path, options: &RedbOptions) -> Result<(Self, Database)> {
        let temporary = Temporary::create(path)?;
        let metadata = temporary.file.metadata();
        let metadata = metadata.map_err(|error| Error::io("look at", &temporary.path, error))?;
        let store = Self {
            path: path.into(),
            identity: Identity::of(&metadata),
            sync_failed: SyncFailed::default(),
        };
        let file = temporary.file.try_clone().map_err(|error| Error::io("open", path, error))?;
        let database = store.database(file, options)?;
        write_marks(&database).map_err(|error| failure::from_redb("create", path, error))?;
        // Somebody else's file may have appeared meanwhile; it must not be replaced unseen.
        if let Found::Store = look(path)? {
            return Err(Error::AlreadyOpen { path: path.into() });
        }
        temporary.move_to(path)?;
        Ok((store, database))
    }

    fn database(&self, file: File, options: &RedbOptions) -> Result<Database> {
        let backend = FileBackend::new(file).map_err(|e| failure::from_open(&self.path, e))?;
        Builder::new()
            .set_cache_size(options.page_cache_bytes())
            .set_check_integrity_on_open(options.verify_on_open)
            .create_with_backend(Backend::new(backend, self.sync_failed.clone()))
            .map_err(|error| failure::from_open(&self.path, error))
    }
}

enum Found {
    Nothing,
    Store,
}

/// What is at the path, without following a link, and without opening what is no file.
fn look(path: &Path) -> Result<Found> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(Error::io("look at", path, error)),
    };
    let kind = metadata.file_type();
    let what = if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if !kind.is_file() {
        "a device or a pipe"
    } else if metadata.len() == 0 {
        return Ok(Found::Nothing);
    } else {
        return Ok(Found::Store);
    };
    Err(Error::NotARegularFile { path: path.into(), what })
}

/// Reads the file, and nothing but reads it, until it has seen that it is a store of ours.
fn check_marks(path: &Path, mut file: &File) -> Result<()> {
    const CHUNK: usize = 1024 * 1024;
    const MARK_LEN: usize = STORE_MAGIC.len() + size_of::<u64>();
    let not_a_store =
        |reason: &str| Error::NotASessionStore { path: path.into(), reason: reason.into() };
    let failed = |error| Error::io("read", path, error);
    let mut window = Vec::with_capacity(CHUNK + MARK_LEN);
    file.take(REDB_MAGIC.len() as u64).read_to_end(&mut window).map_err(failed)?;
    if window != REDB_MAGIC {
        return Err(not_a_store("it does not begin as a redb database does"));
    }
    loop {
        let before = window.len();
        (&mut file).take(CHUNK as u64).read_to_end(&mut window).map_err(failed)?;
        if window.len() == before {
            return Err(not_a_store("it is a redb database without sessions, or cut short"));
        }
        if let Some(at) = memchr::memmem::find(&window, STORE_MAGIC) {
            let mark = window.get(at + STORE_MAGIC.len()..).unwrap_or_default();
            if let Some(version) = mark.first_chunk() {
                return check_version(path, u64::from_le_bytes(*version));
            }
        }
        // A mark may lie across two chunks.
        window.drain(..window.len().saturating_sub(MARK_LEN));
    }
}

fn check_version(path: &Path, found: u64) -> Result<()> {
    match found {
        0 => Err(Error::NotASessionStore {
            path: path.into(),
            reason: "it has format version 0".into(),
        }),
        1..=FORMAT_VERSION => Ok(()),
        _ => Err(Error::UnsupportedFormat { path: path.into(), found, supported: FORMAT_VERSION }),
    }
}

/// The first commit: all tables, and the marks by which the file is known.
fn write_marks(database: &Database) -> Outer<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    Tables::open(&transaction)?;
    {
        let mut mark = STORE_MAGIC.to_vec();
        mark.extend(FORMAT_VERSION.to_le_bytes());
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, mark.as_slice())?;
    }
    Ok(transaction.commit()?)
}

/// A new file beside the path, which goes away unless it is moved there.
struct Temporary {
    path: PathBuf,
    file: File,
    /// Whether the name leads to this file, so that it is ours to remove.
    ours: bool,
}

impl Temporary {
    /// The name is fixed, so that what a killed creation left is found and taken away by the next.
    fn create(path: &Path) -> Result<Self> {
        const TRIES: usize = 10;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        for _ in 0..TRIES {
            remove_abandoned(path, &temporary)?;
            let mut open = OpenOptions::new();
            open.read(true).write(true).create_new(true);
            private(&mut open);
            match open.open(&temporary) {
                Ok(file) => {
                    let mut created = Self { path: temporary.clone(), file, ours: true };
                    if lock_if_at(&created.path, &created.file)? {
                        return Ok(created);
                    }
                    // Another creator took it for abandoned, and away.
                    created.ours = false;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", path, error)),
            }
        }
        Err(Error::AlreadyOpen { path: path.into() })
    }

    fn move_to(mut self, path: &Path) -> Result<()> {
        let failed = |error| Error::io("create", path, error);
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.path, path).map_err(failed)?;
        self.ours = false;
        sync_folder_of(path).map_err(failed)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.ours {
            // The error that led here is the one to report; the next creation tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what a killed creation left behind. What a living one holds is locked, and stays.
fn remove_abandoned(path: &Path, temporary: &Path) -> Result<()> {
    let mut open = OpenOptions::new();
    open.read(true).write(true);
    match no_follow(&mut open).open(temporary) {
        Ok(file) if lock_if_at(temporary, &file)? => {
            fs::remove_file(temporary).map_err(|error| Error::io("replace", temporary, error))
        }
        Ok(_) => Err(Error::AlreadyOpen { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused("open", temporary, error)),
    }
}

/// Locks the file; `false` if somebody else has, or if the name leads to another file by now.
fn lock_if_at(path: &Path, file: &File) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(false),
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            return Err(Error::LocksUnsupported { path: path.into() });
        }
        Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock", path, error)),
    }
    let failed = |error| Error::io("look at", path, error);
    let held = Identity::of(&file.metadata().map_err(failed)?);
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Identity::of(&metadata) == held),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn refused(action: &'static str, path: &Path, error: io::Error) -> Error {
    if is_link_error(&error) {
        return Error::NotARegularFile { path: path.into(), what: "a symbolic link" };
    }
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            Error::NotARegularFile { path: path.into(), what: "a folder" }
        }
        _ => Error::io(action, path, error),
    }
}

/// What opening a symbolic link without following it fails with.
#[cfg(unix)]
fn is_link_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

#[cfg(unix)]
fn no_follow(open: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    open.custom_flags(libc::O_NOFOLLOW)
}

#[cfg(unix)]
fn private(open: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    open.mode(0o600).custom_flags(libc::O_NOFOLLOW)
}

#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

// Elsewhere a file's access follows its folder's, a link is not told apart once it is open, and
// the standard library has no stable identity of a file.
#[cfg(not(unix))]
fn is_link_error(_: &io::Error) -> bool {
    false
}

#[cfg(not(unix))]
fn no_follow(open: &mut OpenOptions) -> &mut OpenOptions {
    open
}

#[cfg(not(unix))]
fn private(open: &mut OpenOptions) -> &mut OpenOptions {
    open
}

#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
impl Identity {
    fn of(_: &fs::Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}
