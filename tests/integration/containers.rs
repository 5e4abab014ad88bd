//! Restrictions that containers and daemons impose on a process: system calls that are missing or
//! forbidden, another root, fewer privileges. Each test has its own process, since none can be
//! undone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use sessile::{Durability, Error, SessionStore};

use crate::child;

const PLAYS: &str = "SESSILE_TEST_CONTAINER";
const SAYS: &str = "contained: ";

type Store = SessionStore<String>;

/// System calls of the crate, or of the standard library for it, that a kernel or a filter may
/// lack.
const CALLS: [(&str, libc::c_long); 8] = [
    ("statx", libc::SYS_statx),
    ("pwritev2", libc::SYS_pwritev2),
    ("renameat2", libc::SYS_renameat2),
    ("fadvise64", libc::SYS_fadvise64),
    ("getrandom", libc::SYS_getrandom),
    ("madvise", libc::SYS_madvise),
    ("copy_file_range", libc::SYS_copy_file_range),
    ("fchmod", libc::SYS_fchmod),
];

/// From now on these calls fail with this error, in this thread and in threads that it starts.
fn forbid(calls: impl Iterator<Item = libc::c_long>, error: i32) {
    let filter = SeccompFilter::new(
        calls.map(|call| (call, vec![])).collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::Errno(error.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

fn a_store_works(folder: &Path) {
    let path = folder.join("sessions.redb");
    // An empty file and the new file of a salvage take other code paths than a missing file.
    fs::write(folder.join("empty.redb"), b"").unwrap();
    Store::open(folder.join("empty.redb")).unwrap().close().unwrap();
    for durability in [Durability::Immediate, Durability::TwoPhase] {
        let open = || Store::builder().durability(durability).open(&path);
        let store = open().unwrap();
        let ids: Vec<_> =
            (0..20).map(|_| store.create("x".repeat(300)).unwrap().id().clone()).collect();
        assert!(ids.iter().all(|id| store.extend_lifetime(id).unwrap()));
        store.close().unwrap();
        let store = open().unwrap();
        assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()));
        assert!(store.check().unwrap().is_sound());
        let stored = store.len().unwrap();
        store.close().unwrap();
        let new = folder.join(format!("{durability:?}.redb"));
        assert_eq!(sessile::salvage(&path, &new).unwrap().kept, stored);
        assert!(matches!(sessile::salvage(&path, &new), Err(Error::Io { .. })));
        // The store still detects a replaced file.
        let store = open().unwrap();
        fs::rename(&path, folder.join("moved.redb")).unwrap();
        assert!(matches!(store.create(String::new()), Err(Error::FileReplaced { .. })));
        fs::rename(folder.join("moved.redb"), &path).unwrap();
        store.create(String::new()).unwrap();
    }
}

#[test]
fn a_store_works_whichever_system_call_is_missing_or_forbidden() {
    let test = "containers::a_store_works_whichever_system_call_is_missing_or_forbidden";
    if let Ok(what) = std::env::var(PLAYS) {
        let (error, calls) = what.split_once(' ').unwrap();
        let folder = tempfile::tempdir().unwrap();
        forbid(calls.split(' ').map(|call| call.parse().unwrap()), error.parse().unwrap());
        a_store_works(folder.path());
        println!("{SAYS}it works");
        return;
    }
    let works_without = |what: &str, calls: &[libc::c_long], error: i32| {
        let calls: Vec<_> = calls.iter().map(ToString::to_string).collect();
        let mut child = child::running(test);
        let output = child.env(PLAYS, format!("{error} {}", calls.join(" "))).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(SAYS), "{what}, error {error}: {text}{errors}");
    };
    for (name, call) in CALLS {
        works_without(name, &[call], libc::EPERM);
    }
    works_without("all of them", &CALLS.map(|(_, call)| call), libc::ENOSYS);
    // A filter without an error number: the call does nothing and reports that it wrote nothing.
    works_without("pwritev2", &[libc::SYS_pwritev2], 0);
}

/// Makes every call of a store, after its process gave up `what`.
fn goes_on(store: &Store, what: &str) {
    let id = store.create("before".into()).unwrap().id().clone();
    for round in 0..3 {
        assert!(store.read(&id).unwrap().is_some(), "{what}, {round}");
        let other = store.create(what.into()).unwrap().id().clone();
        assert!(store.extend_lifetime(&id).unwrap());
        store.modify(&id, |session| session.content_mut().push('x')).unwrap().unwrap();
        assert!(store.destroy(&other).unwrap());
        store.flush().unwrap();
        store.stats().unwrap();
        assert_eq!(store.len().unwrap(), 1);
    }
    // Many, so that the file grows and its log moves.
    for _ in 0..300 {
        store.create_for_user("ann", "x".repeat(3_000)).unwrap();
    }
    assert_eq!(store.destroy_all_of("ann").unwrap(), 300);
}

#[test]
fn a_store_goes_on_after_its_process_changed_its_root() {
    let test = "containers::a_store_goes_on_after_its_process_changed_its_root";
    if std::env::var_os(PLAYS).is_none() {
        let output = child::running(test).env(PLAYS, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(SAYS), "{text}{errors}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = Store::open(&path).unwrap();
    if std::os::unix::fs::chroot(folder.path()).is_err() {
        println!("{SAYS}not run: only root may change it");
        return;
    }
    std::env::set_current_dir("/").unwrap();
    goes_on(&store, "chroot");
    // The file has another name now, and is still the same file.
    fs::rename("/sessions.redb", "/moved.redb").unwrap();
    assert!(matches!(store.create(String::new()), Err(Error::FileReplaced { .. })));
    fs::rename("/moved.redb", "/sessions.redb").unwrap();
    store.create(String::new()).unwrap();
    store.close().unwrap();
    fs::remove_file("/sessions.redb").unwrap();
    println!("{SAYS}it goes on");
    // Dropping the folder would look for it by a path of the old root.
    std::mem::forget(folder);
}

#[test]
fn a_store_goes_on_after_its_process_gave_up_its_rights() {
    const NOBODY: u32 = 65_534;
    let test = "containers::a_store_goes_on_after_its_process_gave_up_its_rights";
    if std::env::var_os(PLAYS).is_none() {
        let output = child::running(test).env(PLAYS, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(SAYS), "{text}{errors}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = Store::open(&path).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    if nix::unistd::setuid(nix::unistd::Uid::from_raw(NOBODY)).is_err() {
        println!("{SAYS}not run: only root may give it up");
        return;
    }
    assert!(fs::metadata(&path).is_err(), "it may not look there any more");
    goes_on(&store, "setuid");
    store.close().unwrap();
    println!("{SAYS}it goes on");
    std::mem::forget(folder);
}
