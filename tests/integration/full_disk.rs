//! A really full disk: a small file system in memory, if the test may mount one.
//!
//! `SESSILE_DISKS` names a folder of such disks, each empty and mounted already. So the tests run
//! where they cannot mount one themselves: `tests/windows/run` names the disks that they need.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sessile::{Durability, Error, SessionStore};

/// Unmounts what it mounted when it is dropped.
enum SmallDisk {
    Mounted(tempfile::TempDir),
    Given(PathBuf),
}

impl SmallDisk {
    /// The disk of this name, or one that is mounted with this size.
    fn mount(name: &str, size: &str) -> Option<Self> {
        if let Some(disks) = std::env::var_os("SESSILE_DISKS") {
            return Some(Self::Given(Path::new(&disks).join(name)));
        }
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self::Mounted(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Mounted(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

/// Fills the disk.
fn fill_up(disk: &SmallDisk) {
    let (mut filler, mut len) = (fs::File::create(disk.path().join("filler")).unwrap(), 1 << 20);
    while len > 0 {
        while filler.write_all(&vec![1; len]).is_ok() {}
        len /= 2;
    }
    // Closed, because an open file would keep its room when it is removed.
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            let _ = Command::new("umount").arg(folder.path()).status();
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_needs_no_restart() {
    let Some(disk) = SmallDisk::mount("used", "size=4m") else {
        println!("not run: only root may mount a file system here");
        return;
    };
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 1_000_000]).unwrap();
    let path = disk.path().join("sessions.redb");
    let store = SessionStore::<String>::open(&path).unwrap();
    let mut acknowledged = Vec::new();
    let fill = |acknowledged: &mut Vec<_>| {
        loop {
            match store.create("x".repeat(2_000)) {
                Ok(session) => acknowledged.push(session.id().clone()),
                Err(error) => return error,
            }
        }
    };
    let all_there = |acknowledged: &[_], store: &SessionStore<String>| {
        for id in acknowledged {
            assert!(store.read(id).unwrap().is_some());
        }
        assert_eq!(store.len().unwrap(), acknowledged.len() as u64);
    };

    for _ in 0..3 {
        let error = fill(&mut acknowledged);
        assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
        all_there(&acknowledged, &store);
    }
    let before = acknowledged.len();
    fs::remove_file(&filler).unwrap();
    let error = fill(&mut acknowledged);
    assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
    assert!(acknowledged.len() > before, "the room was not used");
    all_there(&acknowledged, &store);

    store.close().unwrap();
    let store = SessionStore::<String>::open(&path).unwrap();
    all_there(&acknowledged, &store);
}

#[test]
fn a_disk_that_is_full_when_the_store_is_closed_leaves_the_log_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount("closed", "size=4m") else {
        println!("not run: only root may mount a file system here");
        return;
    };
    let path = disk.path().join("sessions.redb");
    let store = SessionStore::<String>::open(&path).unwrap();
    // In the log, whose room was allocated with the first entry; and too few changes for a
    // checkpoint.
    let ids: Vec<_> =
        (0..10).map(|_| store.create("x".repeat(2_000)).unwrap().id().clone()).collect();
    fill_up(&disk);
    store.close().unwrap();
    for _ in 0..2 {
        assert!(has_log(&path), "the log is there still");
        let store = SessionStore::<String>::open(&path).unwrap();
        assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()));
        store.close().unwrap();
    }
    fs::remove_file(disk.path().join("filler")).unwrap();
    let store = SessionStore::<String>::open(&path).unwrap();
    store.create("there is room".into()).unwrap();
    assert_eq!(store.len().unwrap(), 11);
    store.close().unwrap();
    assert!(!has_log(&path), "it was emptied");
}

/// A closed store has no log, so the first commit adds one.
#[test]
fn a_full_disk_lets_a_closed_file_grow_by_nothing_however_often_a_log_is_added() {
    let Some(disk) = SmallDisk::mount("added", "size=4m") else {
        println!("not run: only root may mount a file system here");
        return;
    };
    let path = disk.path().join("sessions.redb");
    let store = SessionStore::<String>::open(&path).unwrap();
    let first = store.create("there".into()).unwrap();
    store.close().unwrap();
    let len = fs::metadata(&path).unwrap().len();
    fill_up(&disk);
    let store = SessionStore::<String>::open(&path).unwrap();
    for _ in 0..50 {
        let error = store.create("no room".into()).unwrap_err();
        assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
    }
    // Room for one log.
    let filler = fs::File::options().write(true).open(disk.path().join("filler")).unwrap();
    filler.set_len(filler.metadata().unwrap().len() - 128 * 1024).unwrap();
    store.create("there is room".into()).unwrap();
    assert!(store.read(first.id()).unwrap().is_some());
    assert_eq!(store.len().unwrap(), 2);
    store.close().unwrap();
}

/// Whether the first sector gives the log a length.
fn has_log(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[2_048..2_056], b"sess-log");
    bytes[2_080..2_088] != [0; 8]
}

/// A log of thousands of changes, each on another page, is more than redb keeps in memory. So
/// reading must not require writing them into pages.
#[test]
fn a_full_disk_keeps_nobody_from_reading_and_listing_what_a_long_log_holds() {
    let Some(disk) = SmallDisk::mount("listed", "size=48m") else {
        println!("not run: only root may mount a file system here");
        return;
    };
    let path = disk.path().join("sessions.redb");
    let quickly = Durability::Deferred { interval: Duration::from_secs(3_600) };
    let open = |durability| SessionStore::<String>::builder().durability(durability).open(&path);
    // Wine 8 keeps a descriptor of each look at the file until the file is closed.
    for begin in (0..30_000_u64).step_by(5_000) {
        let store = open(quickly).unwrap();
        for number in begin..begin + 5_000 {
            store.create_for_user(number, "x".repeat(200)).unwrap();
        }
        store.close().unwrap();
    }
    let store = open(Durability::Immediate).unwrap();
    // The log has its room.
    let mut ids = vec![store.create_for_user("ann", "x".repeat(200)).unwrap().id().clone()];
    fill_up(&disk);
    let error = loop {
        match store.create_for_user("ann", "x".repeat(200)) {
            Ok(session) => ids.push(session.id().clone()),
            Err(error) => break error,
        }
        assert!(ids.len() < 20_000, "there is no end to it");
    };
    assert!(matches!(error, Error::StorageFull { .. }), "{error:?}");
    assert!(ids.len() > 1_000, "{} fitted into the log", ids.len());
    let all_there = |store: &SessionStore<String>| {
        assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()));
        assert_eq!(store.sessions_of("ann").unwrap().len(), ids.len());
        assert_eq!(store.len().unwrap(), 30_000 + ids.len() as u64);
        assert_eq!(store.for_each(|_, _| ()).unwrap(), 30_000 + ids.len() as u64);
    };
    all_there(&store);
    // Its log stays, as after a crash.
    drop(store);
    let store = open(Durability::Immediate).unwrap();
    all_there(&store);
    fs::remove_file(disk.path().join("filler")).unwrap();
    store.create("there is room".into()).unwrap();
    assert!(store.destroy_all_of("ann").unwrap() == ids.len() as u64);
    assert!(store.check().unwrap().is_sound());
    store.close().unwrap();
}

#[test]
fn a_simulated_disk_that_is_full_when_the_store_is_closed_loses_nothing_either() {
    use sessile::engine::{RedbEngine, RedbOptions};
    use sessile::testing::{DiskFault, SimulatedDisk};

    let disk = SimulatedDisk::new();
    let open = || {
        let engine = RedbEngine::open_on(&disk, &RedbOptions::new())?;
        SessionStore::<String>::builder().engine(engine).manual_maintenance().build()
    };
    let store = open().unwrap();
    let ids: Vec<_> =
        (0..20).map(|_| store.create("x".repeat(2_000)).unwrap().id().clone()).collect();
    disk.fail_from(DiskFault::Full, 0);
    // It cannot write at all, not even where there is room.
    let _ = store.close();
    disk.repair();
    let store = open().unwrap();
    assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()));
    assert_eq!(store.len().unwrap(), 20);
}
