//! The store of a desktop program: its folder, and who may read the folder.

#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;

use sessile::{Error, SessionStore};

#[cfg(unix)]
use crate::child;

/// Set in child processes only: the folder comes from the environment.
#[cfg(unix)]
const PLAYED_BY_CHILD: &str = "SESSILE_TEST_APP_DIR";

#[cfg(unix)]
fn open() -> sessile::Result<SessionStore<String>> {
    SessionStore::open_in_app_dir("org", "Example Ltd", "My Notes")
}

/// Runs a test of this file in a process whose data folder is `folder`. Windows takes the folder
/// from no environment variable.
#[cfg(unix)]
fn run_in(folder: &Path, test: &str) {
    let mut child = child::running(&format!("app_dir::{test}"));
    child.env(PLAYED_BY_CHILD, "1").env("HOME", folder).env_remove("XDG_DATA_HOME");
    let done = child.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

#[cfg(unix)]
fn is_child() -> bool {
    std::env::var_os(PLAYED_BY_CHILD).is_some()
}

/// Every file and folder below `folder`.
#[cfg(unix)]
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => [vec![path.clone()], below(&path)].concat(),
            false => vec![path],
        })
        .collect()
}

#[cfg(unix)]
#[test]
fn a_desktop_programs_sessions_are_in_a_folder_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    if is_child() {
        let session = open().unwrap().create("kept".into()).unwrap();
        let read = open().unwrap().read(session.id()).unwrap().unwrap();
        return assert_eq!(read.content(), "kept");
    }
    let home = tempfile::tempdir().unwrap();
    run_in(home.path(), "a_desktop_programs_sessions_are_in_a_folder_for_its_user_alone");
    let found = below(home.path());
    let file = found.iter().find(|path| path.ends_with("sessions.redb")).unwrap();
    assert!(child::is_private(file));
    for folder in found.iter().filter(|path| path.is_dir()) {
        let mode = std::fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}

#[cfg(unix)]
#[test]
fn what_a_program_keeps_beside_its_store_goes_into_the_same_folder() {
    use std::os::unix::fs::PermissionsExt;
    if is_child() {
        let folder = sessile::app_dir("org", "Example Ltd", "My Notes").unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "it opens nothing");
        open().unwrap().close().unwrap();
        return assert!(folder.join("sessions.redb").exists());
    }
    let home = tempfile::tempdir().unwrap();
    run_in(home.path(), "what_a_program_keeps_beside_its_store_goes_into_the_same_folder");
}

#[cfg(unix)]
#[test]
fn a_second_start_is_told_the_path_of_the_first() {
    if is_child() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let _first = open().unwrap();
        let second = open().unwrap_err();
        return assert!(matches!(second, Error::AlreadyOpen { path } if path.starts_with(home)));
    }
    let home = tempfile::tempdir().unwrap();
    run_in(home.path(), "a_second_start_is_told_the_path_of_the_first");
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
    if is_child() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let refused = open().unwrap_err();
        return assert!(matches!(refused, Error::Io { path, .. } if path.starts_with(home)));
    }
    let folder = tempfile::tempdir().unwrap();
    // There is no such folder, so none can be created in it.
    let home = folder.path().join("home");
    std::fs::write(&home, "").unwrap();
    run_in(&home, "a_folder_that_cannot_be_made_is_an_error_with_its_path");
}

/// The system tells the folder, so this is the user's own, under a name that nobody else has.
#[cfg(windows)]
#[test]
fn a_desktop_programs_sessions_are_in_its_users_local_folder() {
    struct Removed(PathBuf);
    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
    let unique = tempfile::tempdir().unwrap();
    let name = unique.path().file_name().unwrap().to_str().unwrap();
    let local = PathBuf::from(std::env::var_os("LOCALAPPDATA").unwrap());
    let _removed = Removed(local.join(name));
    let folder = sessile::app_dir("org", name, "Notes").unwrap();
    assert_eq!(folder, local.join(name).join(r"Notes\data"));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "it opens nothing");
    let file = folder.join("sessions.redb");
    let open = || SessionStore::<String>::open_in_app_dir("org", name, "Notes");
    let store = open().unwrap();
    let id = store.create("kept".into()).unwrap().id().clone();
    assert!(matches!(open(), Err(Error::AlreadyOpen { path }) if path == file));
    store.close().unwrap();
    let store = open().unwrap();
    assert_eq!(store.read(&id).unwrap().unwrap().content(), "kept");
    store.close().unwrap();
}

#[test]
fn a_name_that_could_lead_out_of_its_folder_is_refused() {
    let open = SessionStore::<String>::open_in_app_dir;
    for name in ["../notes", "..", " .. ", ". .", ".\u{3000}.", " . ", "a/b", "a\\b", "C:", "a\0b"]
    {
        for refused in
            [open(name, "Ltd", "Notes"), open("org", name, "Notes"), open("org", "Ltd", name)]
        {
            assert!(matches!(refused, Err(Error::InvalidSetting { .. })), "{name:?}");
        }
    }
    for name in ["", "  "] {
        let refused = open("org", "Ltd", name);
        assert!(matches!(refused, Err(Error::InvalidSetting { name: "application", .. })));
    }
}
