//! A redb engine that compares its tables with each other when it is closed or dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::contract::Engine;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::error::Result;

/// A [`RedbEngine`] for tests. When closed or dropped, it compares `sessions` with `expiry` and
/// `users`, then opens the file again and compares them once more. It panics if they disagree.
///
/// # Panics
///
/// When it is closed or dropped, unless the thread is already panicking.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
/// use sessile::engine::RedbOptions;
/// use sessile::testing::CheckedRedbEngine;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let engine = CheckedRedbEngine::open_with(path, &RedbOptions::new())?;
/// let store: SessionStore = SessionStore::builder().engine(engine).build()?;
/// store.create_for_user("ann", Default::default())?;
/// drop(store); // compares the tables
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CheckedRedbEngine {
    inner: RedbEngine,
    /// Dropped after the engine, so that the check finds the file as the engine left it.
    file: File,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    options: RedbOptions,
    checked: AtomicBool,
}

impl CheckedRedbEngine {
    /// Opens a file; creates it if it is missing or empty.
    ///
    /// # Errors
    ///
    /// As for [`RedbEngine::open_with`].
    pub fn open_with(path: impl AsRef<Path>, options: &RedbOptions) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let inner = RedbEngine::open_with(&path, options)?;
        let file = File { path, options: options.clone(), checked: AtomicBool::new(false) };
        Ok(Self { inner, file })
    }
}

fn compare(engine: &RedbEngine) {
    let found = engine.disagreements().expect("a sound file can be read");
    assert!(found.is_empty(), "the tables disagree: {found:#?}");
}

impl File {
    /// Checks the file once, after its engine has released it.
    fn check(&self) {
        if !self.checked.swap(true, Ordering::AcqRel) && !std::thread::panicking() {
            let engine = RedbEngine::open_with(&self.path, &self.options);
            compare(&engine.expect("a file that was let go of can be opened"));
        }
    }
}

impl Drop for CheckedRedbEngine {
    fn drop(&mut self) {
        if !self.file.checked.load(Ordering::Acquire) && !std::thread::panicking() {
            compare(&self.inner);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.check();
    }
}

impl Engine for CheckedRedbEngine {
    fn close(&self) -> Result<()> {
        if !self.file.checked.load(Ordering::Acquire) {
            compare(&self.inner);
        }
        let closed = self.inner.close();
        self.file.check();
        closed
    }

    crate::forward_engine!(inner, but close);
}
