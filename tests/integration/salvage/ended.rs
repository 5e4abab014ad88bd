//! Which version of a session counts: among old pages, after a crash, and in the log.

use std::fs;

use sessile::{Error, Salvage, salvage};

use super::{Damaged, PAGE, Store, open};

#[test]
fn without_its_header_a_file_gives_nothing_unless_what_is_stale_is_asked_for() {
    let file = Damaged::new();
    file.change(|bytes| bytes[..PAGE].fill(0));
    let (report, store) = file.salvaged(&Salvage::new());
    assert_eq!((report.kept, report.opened), (0, false));
    assert!(report.stale as usize >= file.live.len());
    drop(store);
    let (report, store) = file.salvaged(&Salvage::new().include_stale(true));
    assert_eq!(report.kept, report.stale);
    assert_eq!(file.count(&store, &file.live), file.live.len());
    // The latest version of each session.
    for id in &file.live {
        let session = store.read(id).unwrap().unwrap();
        let content = session.content();
        assert!(content.is_empty() || content.len() < 300 || content.len() >= 20_000);
    }
}

#[test]
fn the_latest_version_of_a_session_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("sessions.redb"), folder.path().join("new.redb"));
    let store = open(&path);
    let mut session = store.create(vec![1]).unwrap();
    let first = fs::read(&path).unwrap();
    *session.content_mut() = vec![2];
    store.update(&mut session).unwrap();
    store.close().unwrap();
    let last = fs::read(&path).unwrap();
    // Both versions lie in the file, in either order, and no header leads to one of them.
    for parts in [[&first, &last], [&last, &first]] {
        let mut bytes = parts.map(Vec::as_slice).concat();
        bytes[..PAGE].fill(0);
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(&new);
        let report = Salvage::new().include_stale(true).run(&path, &new).unwrap();
        assert_eq!((report.kept, report.stale), (1, 1));
        let store = Store::open(&new).unwrap();
        assert_eq!(*store.read(session.id()).unwrap().unwrap().content(), [2]);
    }
}

#[test]
fn an_old_page_in_the_place_of_a_newer_one_brings_no_session_back() {
    let file = Damaged::new();
    let store = open(&file.path());
    let ended = store.create(vec![1]).unwrap().id().clone();
    store.close().unwrap();
    let before = fs::read(file.path()).unwrap();
    let old = file.pages_with(&ended);
    let store = open(&file.path());
    store.destroy(&ended).unwrap();
    store.close().unwrap();
    let is_leaf_of_sessions = |page: &usize| {
        let start = page * PAGE;
        let pairs = usize::from(u16::from_le_bytes([before[start + 2], before[start + 3]]));
        let first_end = u32::from_le_bytes(before[start + 4..start + 8].try_into().unwrap());
        before[start] == 1
            && (first_end as usize).checked_sub(4 + pairs * 20).is_some_and(|len| len < 400)
    };
    let old: Vec<_> = old.into_iter().filter(is_leaf_of_sessions).collect();
    assert!(!old.is_empty());
    // As if the disk had lost the later writes of every page.
    file.change(|bytes| {
        for page in 1..bytes.len() / PAGE {
            if bytes[page * PAGE] == 1 {
                bytes[page * PAGE..][..PAGE].copy_from_slice(&before[old[0] * PAGE..][..PAGE]);
            }
        }
    });
    let new = file.new_path();
    let report = salvage(file.path(), &new).unwrap();
    assert!(report.stale > 0 && report.unreadable_pages > 0, "{report:?}");
    assert!(open(&new).read(&ended).unwrap().is_none());
}

#[test]
fn what_a_crash_left_is_recovered_first() {
    let file = Damaged::new();
    let store = open(&file.path());
    let session = store.create(vec![5]).unwrap();
    // The bytes on the disk now are those that a killed process leaves.
    let crashed = file.folder.path().join("crashed.redb");
    fs::copy(file.path(), &crashed).unwrap();
    let new = file.new_path();
    assert!(matches!(salvage(file.path(), &new), Err(Error::AlreadyOpen { .. })));
    store.close().unwrap();
    let report = salvage(&crashed, &new).unwrap();
    assert!(report.opened);
    assert!(open(&new).read(session.id()).unwrap().is_some());
}

#[test]
fn what_stands_in_the_log_of_a_file_that_cannot_be_opened_counts() {
    let file = Damaged::new();
    let store = open(&file.path());
    let created = store.create(vec![5]).unwrap().id().clone();
    assert!(store.destroy(&file.live[0]).unwrap());
    // As a killed process leaves it, with one damaged page.
    let mut bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    for page in file.pages_with(&file.live[5]) {
        bytes[page * PAGE + 100] ^= 0x40;
    }
    fs::write(file.path(), bytes).unwrap();
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert!(store.read(&created).unwrap().is_some());
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is not undone");
    assert!(!report.lost.contains(&file.live[0].key()), "a session that was ended is not lost");
}

/// The index still names it.
#[test]
fn what_was_ended_in_the_log_alone_is_not_lost() {
    let file = Damaged::new();
    let store = open(&file.path());
    assert!(store.destroy(&file.live[0]).unwrap());
    // As a killed process leaves it.
    let bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file.destroy_marks();
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is not undone");
    assert_eq!((report.kept as usize, report.lost_count), (file.live.len() - 1, 0));
}
