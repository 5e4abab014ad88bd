//! A disk without room, for real: a small file system in memory, where the test may mount one.

use std::fs;
use std::path::Path;
use std::process::Command;

use sessile::{Error, SessionStore};

/// Unmounts when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_needs_no_restart() {
    let Some(disk) = SmallDisk::mount() else {
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
