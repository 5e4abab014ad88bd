//! A file that another process has open, or that this process may not access.

#[cfg(unix)]
mod rights;
#[cfg(target_os = "linux")]
mod standard_streams;

use std::path::Path;
use std::process::{Command, Output};

use sessile::{Attributes, SessionStore};

use crate::child;

/// The variable that names the file for a child process, which prints its result.
const FILE: &str = "SESSILE_TEST_OPEN";
const SAYS: &str = "opening: ";

/// The child's part.
fn open_and_tell(path: &Path) {
    match SessionStore::<Attributes>::open(path) {
        Ok(_) => println!("{SAYS}a store"),
        Err(error) => println!("{SAYS}{error} ({error:?})"),
    }
}

/// The result that a child process printed when it opened a file.
fn told(mut child: Command, path: &Path) -> Option<String> {
    let Output { stdout, .. } = child.env(FILE, path).output().ok()?;
    let text = String::from_utf8(stdout).unwrap();
    Some(text.split_once(SAYS)?.1.lines().next()?.into())
}

#[test]
fn a_file_that_is_open_here_is_refused_in_another_process() {
    if let Some(path) = std::env::var_os(FILE) {
        return open_and_tell(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = SessionStore::<Attributes>::open(&path).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    let test = "other_processes::a_file_that_is_open_here_is_refused_in_another_process";
    let refused = told(child::running(test), &path).unwrap();
    assert!(refused.contains("AlreadyOpen") && refused.contains(path.to_str().unwrap()));
    assert!(store.read(&id).unwrap().is_some());
    store.close().unwrap();
    assert_eq!(told(child::running(test), &path).unwrap(), "a store");
}
