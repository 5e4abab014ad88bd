//! Copies of a file that are taken with plain reads while a program has it open, and what a salvage
//! makes of them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sessile::{Durability, Error, SessionId, SessionStore, salvage};

use crate::child;

const PAGE: usize = 4_096;
/// The sessions that no writer changes; a third of them has ended.
const SESSIONS: usize = 600;

type Store = SessionStore<String>;

fn open(path: &Path) -> Store {
    SessionStore::builder().content_name("test").open(path).unwrap()
}

/// Opens a store that writes nothing before it is closed.
fn open_to_fill(path: &Path) -> Store {
    let deferred = Durability::Deferred { interval: Duration::from_secs(3_600) };
    let builder = SessionStore::builder().content_name("test").durability(deferred);
    builder.manual_maintenance().open(path).unwrap()
}

/// Copies a file as `cp` does, with a pause after every few pages.
fn copy_slowly(from: &Path, to: &Path, pages_between_pauses: usize) {
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let mut bytes = vec![0; PAGE * pages_between_pauses];
    loop {
        let len = from.read(&mut bytes).unwrap();
        if len == 0 {
            return;
        }
        to.write_all(&bytes[..len]).unwrap();
        thread::sleep(Duration::from_micros(500));
    }
}

/// Creates, updates and ends its own sessions until it is told to stop.
fn write(store: &Store, stop: &AtomicBool) {
    let mut own = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        own.push(store.create_for_user("writer", "w".repeat(400)).unwrap());
        if own.len() > 50 {
            let session = own.swap_remove(7);
            assert!(store.destroy(session.id()).unwrap());
            let session = &mut own[3];
            session.content_mut().push('!');
            store.update(session).unwrap();
        }
    }
}

/// Sessions that live since before a checkpoint, and sessions that ended before the copy began.
struct Before {
    live: Vec<SessionId>,
    ended: Vec<SessionId>,
}

/// Fills a store: some sessions end before a checkpoint, and as many after it, in the log.
fn filled(path: &Path) -> (Store, Before) {
    let store = open_to_fill(path);
    let ids: Vec<_> = (0..SESSIONS as u64)
        .map(|number| store.create_for_user(number % 7, "x".repeat(200)).unwrap().id().clone())
        .collect();
    let (mut live, mut ended) = (Vec::new(), Vec::new());
    for (number, id) in ids.into_iter().enumerate() {
        if number % 6 == 0 {
            assert!(store.destroy(&id).unwrap());
        }
        if number % 3 == 0 { &mut ended } else { &mut live }.push(id);
    }
    store.close().unwrap();
    let store = open(path);
    for id in ended.iter().skip(1).step_by(2) {
        assert!(store.destroy(id).unwrap());
    }
    (store, Before { live, ended })
}

/// Salvages a copy, checks what holds for each one, and returns how many sessions were kept.
fn salvage_and_check(copy: &Path, new: &Path, before: &Before, what: &str) -> u64 {
    let report = match salvage(copy, new) {
        Ok(report) => report,
        // It says that it has found nothing.
        Err(Error::NotASessionStore { .. }) => {
            assert!(!new.exists(), "{what}");
            return 0;
        }
        Err(other) => panic!("{what}: {other:?}"),
    };
    let store = open(new);
    let checked = store.check().unwrap();
    assert!(checked.is_sound(), "{what}: {:?}", checked.problems);
    assert_eq!(checked.sessions, report.kept, "{what}: it counts what it keeps");
    let back = before.ended.iter().filter(|id| store.read(id).unwrap().is_some()).count();
    assert_eq!(back, 0, "{what}: they had ended before the copy began, {report:?}");
    let missing: HashSet<_> = before
        .live
        .iter()
        .filter(|id| store.read(id).unwrap().is_none())
        .map(SessionId::key)
        .collect();
    let named = report.lost.iter().filter(|key| missing.contains(key)).count();
    let in_unread_pages = report.unreadable_pages > 0 || report.stale >= missing.len() as u64;
    assert!(named == missing.len() || in_unread_pages, "{what}: {missing:?} of {report:?}");
    report.kept
}

#[test]
fn a_copy_of_a_running_store_by_plain_reads_brings_nothing_back_that_had_ended() {
    let rounds = child::number("SESSILE_TORN_COPIES", 6);
    let mut kept_some = 0;
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let [path, copy, new] =
            ["sessions.redb", "copy.redb", "new.redb"].map(|name| folder.path().join(name));
        let (store, before) = filled(&path);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| write(&store, &stop));
            copy_slowly(&path, &copy, 1 << (round % 6));
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap();
        });
        let what = format!("round {round}");
        kept_some += u64::from(salvage_and_check(&copy, &new, &before, &what) > 0);
        // The program and its file are as they were.
        assert!(before.live.iter().all(|id| store.read(id).unwrap().is_some()), "{what}");
    }
    println!("{kept_some} of {rounds} copies had sessions that could be kept");
}

#[test]
fn a_copy_that_was_cut_off_or_whose_log_cannot_be_found_brings_nothing_back_that_had_ended() {
    let folder = tempfile::tempdir().unwrap();
    let [path, copy] = ["sessions.redb", "copy.redb"].map(|name| folder.path().join(name));
    let (store, before) = filled(&path);
    let whole = fs::read(&path).unwrap();
    drop(store);
    // Half of the ends are in the log, which is at the end of the file and 64 KiB long.
    let cut_off = [0, 1, 511, 512].into_iter().chain((1..20).map(|pages| pages * PAGE));
    let mut copies: Vec<_> = cut_off
        .map(|cut| (format!("{cut} bytes are cut off"), whole[..whole.len() - cut].to_vec()))
        .collect();
    // The places of the two sectors that lead to the log.
    for of_first_page in [&[2_048 + 40, 2_560 + 40][..], &[2_048], &[2_560 + 511]] {
        let mut bytes = whole.clone();
        of_first_page.iter().for_each(|place: &usize| bytes[*place] ^= 1);
        copies.push((format!("the bytes {of_first_page:?} are damaged"), bytes));
    }
    let kept: Vec<_> = copies
        .into_iter()
        .enumerate()
        .map(|(number, (what, bytes))| {
            fs::write(&copy, bytes).unwrap();
            let new = folder.path().join(format!("new-{number}.redb"));
            salvage_and_check(&copy, &new, &before, &what)
        })
        .collect();
    let (whole, one_sector) = (kept[0], &kept[kept.len() - 2..]);
    assert_eq!(whole, before.live.len() as u64);
    assert_eq!(one_sector, [whole; 2], "the other sector is enough");
}
