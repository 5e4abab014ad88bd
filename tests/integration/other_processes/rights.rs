//! Files and folders that this process may not change, and a file that is mounted.

use std::fs;
#[cfg(all(target_os = "linux", not(portable)))]
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

#[cfg(all(target_os = "linux", not(portable)))]
use sessile::admin::{LeaveOut, restore};
use sessile::{Attributes, SessionStore};

#[cfg(all(target_os = "linux", not(portable)))]
use super::SAYS;
use super::{FILE, open_and_tell, told};
use crate::child;

/// A child process without special privileges: as this user, or as nobody if this user is root,
/// because permissions do not restrict root.
fn without_privileges(test: &str, folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    let mut child = child::running(test);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let everything = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in everything.chain([folder.to_owned()]) {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        child.uid(NOBODY).gid(NOBODY);
    }
    child
}

#[test]
fn a_file_that_permissions_keep_closed_is_an_error_that_names_it() {
    if let Some(path) = std::env::var_os(FILE) {
        return open_and_tell(Path::new(&path));
    }
    let test =
        "other_processes::rights::a_file_that_permissions_keep_closed_is_an_error_that_names_it";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    drop(SessionStore::<Attributes>::open(&path).unwrap());
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let tell = |path: &Path| told(without_privileges(test, folder.path()), path);
    let Some(told) = tell(&path) else {
        println!("not run: nobody may not run this binary where it is");
        return;
    };
    assert_eq!(told, "a store", "with the permissions that it is made with");
    let before = fs::read(&path).unwrap();
    for mode in [0o400, 0o200, 0o000] {
        set(&path, mode);
        let told = tell(&path).unwrap();
        assert!(told.starts_with(&format!("could not open {}", path.display())), "{told}");
        assert!(told.contains("PermissionDenied"), "{told}");
    }
    set(&path, 0o600);
    assert_eq!(fs::read(&path).unwrap(), before);
    // Nor can a store be created in a read-only folder.
    let new = folder.path().join("new.redb");
    tell(&path).unwrap();
    set(folder.path(), 0o500);
    let told = tell(&new).unwrap();
    assert!(told.contains(new.to_str().unwrap()) && told.contains("PermissionDenied"), "{told}");
    assert!(!new.exists());
    set(folder.path(), 0o700);
}

#[test]
fn an_empty_file_in_a_folder_of_somebody_else_becomes_a_store() {
    if let Some(path) = std::env::var_os(FILE) {
        return open_and_tell(Path::new(&path));
    }
    let test =
        "other_processes::rights::an_empty_file_in_a_folder_of_somebody_else_becomes_a_store";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    fs::write(&path, b"").unwrap();
    let child = without_privileges(test, folder.path());
    let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    // The folder may be entered, and no file can be created in it.
    set(0o555);
    let told = told(child, &path);
    set(0o755);
    let Some(told) = told else {
        println!("not run: nobody may not run this binary where it is");
        return;
    };
    assert_eq!(told, "a store");
    assert!(fs::metadata(&path).unwrap().len() > 4_096);
    assert!(SessionStore::<Attributes>::open(&path).unwrap().check().unwrap().is_sound());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The child's part: every way to a new name in the folder.
#[cfg(all(target_os = "linux", not(portable)))]
fn create_and_back_up(path: &Path) -> sessile::Result<()> {
    let store = SessionStore::<Attributes>::open(path)?;
    store.create(Attributes::new())?;
    let backup = path.with_extension("backup");
    store.backup(&backup)?;
    store.close()?;
    let nothing = LeaveOut::nothing();
    restore(&backup, path, true, &nothing, &mut |_| ControlFlow::Continue(()))?;
    sessile::salvage(path, path.with_extension("salvaged")).map(drop)
}

/// As a folder that takes what services put there, and shows none of them the others' files.
#[cfg(all(target_os = "linux", not(portable)))]
#[test]
fn a_store_and_its_backups_can_be_in_a_folder_that_may_not_be_listed() {
    if let Some(path) = std::env::var_os(FILE) {
        return println!("{SAYS}{:?}", create_and_back_up(Path::new(&path)));
    }
    let test = "other_processes::rights::\
                a_store_and_its_backups_can_be_in_a_folder_that_may_not_be_listed";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let child = without_privileges(test, folder.path());
    let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o300);
    let told = told(child, &path);
    set(0o700);
    match told {
        None => println!("not run: nobody may not run this binary where it is"),
        Some(told) => assert_eq!(told, "Ok(())"),
    }
}

/// A container mounts the file and not its folder.
#[test]
fn an_empty_file_that_is_mounted_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let (host, path) = (folder.path().join("host.redb"), folder.path().join("sessions.redb"));
    fs::write(&host, b"").unwrap();
    fs::write(&path, b"").unwrap();
    let mounted = Command::new("mount").arg("--bind").args([&host, &path]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("not run: only root may mount a file here");
        return;
    }
    let opened = SessionStore::<Attributes>::open(&path).and_then(|store| {
        let id = store.create(Attributes::new())?.id().clone();
        store.close()?;
        let store = SessionStore::<Attributes>::open(&path)?;
        Ok(store.read(&id)?.is_some())
    });
    // A process that another test forks just now has the file open for a moment.
    let unmount = || Command::new("umount").arg(&path).output().unwrap().status.success();
    assert!((0..100).any(|_| unmount() || {
        thread::sleep(Duration::from_millis(100));
        false
    }));
    assert!(opened.unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert!(SessionStore::<Attributes>::open(&host).unwrap().check().unwrap().is_sound());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
