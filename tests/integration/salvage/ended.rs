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

/// Leaves the file as a killed process does, with one damaged page.
fn leave_as_killed_and_damaged(file: &Damaged, store: Store) {
    let mut bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    for page in file.pages_with(&file.live[5]) {
        bytes[page * PAGE + 100] ^= 0x40;
    }
    fs::write(file.path(), bytes).unwrap();
}

#[test]
fn what_stands_in_the_log_of_a_file_that_cannot_be_opened_counts() {
    let file = Damaged::new();
    let store = open(&file.path());
    let created = store.create(vec![5]).unwrap().id().clone();
    assert!(store.destroy(&file.live[0]).unwrap());
    leave_as_killed_and_damaged(&file, store);
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert!(store.read(&created).unwrap().is_some());
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is not undone");
    assert!(!report.lost.contains(&file.live[0].key()), "a session that was ended is not lost");
}

#[test]
fn what_the_log_shows_to_be_ended_stays_gone_though_what_is_stale_is_asked_for() {
    let file = Damaged::new();
    let store = open(&file.path());
    assert!(store.destroy(&file.live[0]).unwrap());
    leave_as_killed_and_damaged(&file, store);
    file.keep_old_pages();
    let (report, store) = file.salvaged(&Salvage::new().include_stale(true));
    assert!(!report.opened && report.stale > 0);
    assert!(store.read(&file.live[5]).unwrap().is_some(), "what is stale comes back");
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is undone");
    assert_eq!(file.count(&store, &file.live), file.live.len() - 1);
    let stale = file.count(&store, &file.ended) + file.live.len() - 1;
    assert_eq!(report.kept as usize, stale);
}

/// The index still names it.
#[test]
fn what_was_ended_in_the_log_alone_is_not_lost() {
    let file = Damaged::new();
    let store = open(&file.path());
    assert!(store.destroy(&file.live[0]).unwrap());
    // As a killed process leaves it, with a damaged page of the users' index.
    let mut bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    let users = 1..7_u8;
    let key = file.live[5].key();
    let entries: Vec<_> = users
        .map(|user| [&[1, 0, 0, 0, 0, 0, 0, 0, user], key.as_bytes().as_slice()].concat())
        .collect();
    for at in 0..bytes.len() - 25 {
        if entries.iter().any(|entry| bytes[at..].starts_with(entry)) {
            bytes[at] ^= 0x40;
        }
    }
    fs::write(file.path(), bytes).unwrap();
    let (report, store) = file.salvaged(&Salvage::new());
    assert!(!report.opened);
    assert!(store.read(&file.live[0]).unwrap().is_none(), "a logout is not undone");
    assert_eq!((report.kept as usize, report.lost_count), (file.live.len() - 1, 0));
}

#[test]
fn without_the_number_of_the_last_commit_no_gap_in_the_log_is_overlooked() {
    let file = Damaged::new();
    let store = open(&file.path());
    for id in &file.live[..3] {
        assert!(store.destroy(id).unwrap());
    }
    // As a killed process leaves it. The first entry and the named values cannot be read.
    let mut bytes = fs::read(file.path()).unwrap();
    store.close().unwrap();
    let log = u64::from_le_bytes(bytes[2_048 + 24..][..8].try_into().unwrap()) as usize;
    bytes[log + 40] ^= 1;
    fs::write(file.path(), bytes).unwrap();
    file.destroy_marks();
    let (report, store) = file.salvaged(&Salvage::new());
    assert_eq!(file.count(&store, &file.live[..3]), 0, "a logout is not undone: {report:?}");
    assert_eq!((report.kept, report.opened), (0, false));
}

#[test]
fn a_last_commit_that_cannot_be_read_is_not_undone() {
    let folder = tempfile::tempdir().unwrap();
    let [path, new] = ["sessions.redb", "new.redb"].map(|name| folder.path().join(name));
    for in_log in [true, false] {
        let _ = fs::remove_file(&path);
        let mut store = open(&path);
        let ids: Vec<_> = (0..10).map(|_| store.create(vec![1]).unwrap().id().clone()).collect();
        if !in_log {
            store.close().unwrap();
            store = open(&path);
        }
        store.clear().unwrap();
        let killed = fs::read(&path).unwrap();
        drop(store);
        let current = if killed[9] & 1 == 0 { 64 } else { 192 };
        for at in [0, 10, 50, 104, 127] {
            let mut bytes = killed.clone();
            bytes[current + at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let _ = fs::remove_file(&new);
            let report = salvage(&path, &new).unwrap();
            let store = open(&new);
            let back = ids.iter().filter(|id| store.read(id).unwrap().is_some()).count();
            assert_eq!((back, report.kept), (0, 0), "{at}: {report:?}");
            assert!(Store::open(&path).is_err(), "{at}");
        }
    }
}
