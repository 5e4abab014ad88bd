//! The tasks of operators outside the store's program: look, end, copy, keep.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod another_user;
mod archive;
mod backup;
mod by_hand;
mod campaign;
mod cut_off;
mod door;
mod expired;
mod filling;
mod inspector;
mod logouts;
mod requests;
mod transfer;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sessile::admin::Progress;
use sessile::{Inspector, SessionKey, SessionStore};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    (folder, path)
}

fn store_at(path: &Path) -> SessionStore<String> {
    SessionStore::builder().manual_maintenance().open(path).unwrap()
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The names of all files in the folder of a path.
fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn keys(inspector: &Inspector) -> Vec<SessionKey> {
    let mut keys = Vec::new();
    inspector
        .sessions(None, &mut |session| {
            keys.push(session?.key());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    keys
}
