//! The places of the id, with a keyring of the tests in place of the system's.

use std::sync::{Arc, Mutex, MutexGuard};

use super::*;

/// A keyring of one entry, and what its calls do besides.
#[derive(Clone, Debug, Default)]
struct Ring(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    encoded: Option<String>,
    /// Each call is refused.
    is_locked: bool,
    /// A call that keeps an id reports that it failed.
    loses_answers: bool,
}

impl Ring {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    fn unlocked(&self) -> io::Result<MutexGuard<'_, Held>> {
        let held = self.held();
        if held.is_locked { Err(io::Error::other("locked")) } else { Ok(held) }
    }
}

impl Keyring for Ring {
    fn is_there(&self, _: &Path) -> io::Result<()> {
        self.unlocked().map(drop)
    }

    fn set(&self, _: &Path, encoded: &str) -> io::Result<()> {
        let mut held = self.unlocked()?;
        held.encoded = Some(encoded.into());
        if held.loses_answers { Err(io::Error::other("no answer")) } else { Ok(()) }
    }

    fn get(&self, _: &Path) -> io::Result<Option<Zeroizing<String>>> {
        Ok(self.unlocked()?.encoded.clone().map(Zeroizing::new))
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        self.unlocked()?.encoded = None;
        Ok(())
    }
}

#[test]
fn an_id_that_was_kept_before_is_nowhere_once_another_place_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::default();
    let keeper = Keeper::with(folder.path(), Box::new(ring.clone()));
    for before in [Place::File, Place::Keyring] {
        for place in [Place::Nowhere, Place::File, Place::Keyring] {
            let [old, new] = [(); 2].map(|()| SessionId::generate().unwrap());
            keeper.keep(before, &old).unwrap();
            keeper.keep(place, &new).unwrap();
            let expected = if place == Place::Nowhere { None } else { Some((place, new.clone())) };
            assert_eq!(keeper.find().unwrap(), expected, "{before:?}, {place:?}");
            let in_keyring = (place == Place::Keyring).then(|| new.encode().to_string());
            assert_eq!(ring.held().encoded, in_keyring, "{before:?}, {place:?}");
        }
    }
}

#[test]
fn an_id_that_stays_in_the_keyring_is_told_of_and_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::default();
    let keeper = Keeper::with(folder.path(), Box::new(ring.clone()));
    let [old, new] = [(); 2].map(|()| SessionId::generate().unwrap());
    keeper.keep(Place::Keyring, &old).unwrap();
    ring.held().is_locked = true;
    assert!(keeper.find().is_err());
    for place in [Place::Nowhere, Place::File, Place::Keyring] {
        let refused = keeper.keep(place, &new).unwrap_err().to_string();
        assert!(refused.contains("still kept in the keyring"), "{place:?}: {refused}");
    }
    assert!(keeper.forget().unwrap_err().to_string().contains("still kept in the keyring"));
    ring.held().is_locked = false;
    keeper.keep(Place::File, &new).unwrap();
    assert_eq!(ring.held().encoded, None);
}

#[test]
fn an_id_that_the_keyring_took_without_saying_so_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::default();
    let keeper = Keeper::with(folder.path(), Box::new(ring.clone()));
    ring.held().loses_answers = true;
    keeper.keep(Place::Keyring, &SessionId::generate().unwrap()).unwrap_err();
    assert_eq!(ring.held().encoded, None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_keyring_that_does_not_answer_leaves_the_file_for_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::default();
    let (keeper, id) = (Keeper::with(folder.path(), Box::new(ring.clone())), SessionId::generate());
    let id = id.unwrap();
    ring.held().is_locked = true;
    let refused = keeper.keep(Place::Keyring, &id).unwrap_err().to_string();
    assert!(!refused.contains("still kept"), "{refused}");
    keeper.keep(Place::File, &id).unwrap();
    assert_eq!(keeper.find().unwrap(), Some((Place::File, id)));
}

#[test]
fn what_a_killed_program_left_half_written_is_forgotten_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("login.new"), "half").unwrap();
    Keeper::of(folder.path()).forget().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_is_kept_is_found_by_the_next_start_and_forgotten_after_a_logout() {
    let folder = tempfile::tempdir().unwrap();
    let (first, id) = (Keeper::of(folder.path()), SessionId::generate().unwrap());
    assert_eq!(first.find().unwrap(), None);
    first.keep(Place::File, &id).unwrap();
    let second = Keeper::of(folder.path());
    assert_eq!(second.find().unwrap(), Some((Place::File, id)));
    second.forget().unwrap();
    assert_eq!(second.find().unwrap(), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn the_file_is_this_users_alone_and_not_trusted_otherwise() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let keeper = Keeper::of(folder.path());
    keeper.keep(Place::File, &SessionId::generate().unwrap()).unwrap();
    let file = folder.path().join(FILE);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(keeper.find().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_file_that_holds_something_else_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = Keeper::of(folder.path());
    for text in ["", "AAAA", &"A".repeat(100_000), "AAAAAAAAAAAAAAAAAAAAAB"] {
        keeper.write_private(text.as_bytes()).unwrap();
        assert_eq!(keeper.find().unwrap(), None);
    }
}

#[test]
fn what_a_killed_program_left_half_written_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("login.new"), "half").unwrap();
    let (keeper, id) = (Keeper::of(folder.path()), SessionId::generate().unwrap());
    keeper.keep(Place::File, &id).unwrap();
    assert_eq!(keeper.find().unwrap(), Some((Place::File, id)));
}

/// A folder that was copied or restored may have lost the mode of its files.
#[cfg(unix)]
#[test]
fn a_login_whose_id_others_may_have_read_has_ended() {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::accounts::Password;
    use crate::state::{Job, Outcome};
    use crate::worker::Worker;

    let folder = tempfile::tempdir().unwrap();
    let start = || Worker::new(folder.path(), "attic".into(), Arc::new(drop));
    let open = Job::Open { wait: false };
    let mut worker = start();
    worker.run(open.clone()).unwrap();
    let password = Password::new("correct horse".into());
    worker.run(Job::LogIn { name: "ann".into(), password, place: Place::File }).unwrap();
    worker.close().unwrap();
    let (file, mode) = (folder.path().join(FILE), fs::Permissions::from_mode(0o644));
    fs::set_permissions(file, mode).unwrap();

    let mut worker = start();
    let notice = "Log in again: other users may have read the id of your login, so it has ended.";
    assert_eq!(worker.run(open), Ok(Outcome::Login(Some(notice.into()))));
    worker.close().unwrap();
    let store = crate::content::settings().unwrap().open(folder.path().join("sessions.redb"));
    assert!(store.unwrap().is_empty().unwrap());
}
