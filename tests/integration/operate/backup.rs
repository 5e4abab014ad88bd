//! Backups: of one moment, verified, whole or not at all; and the stores opened from them.

use std::collections::HashSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use sessile::admin::{LeaveOut, restore};
use sessile::testing::ManualClock;
use sessile::{Error, Inspector, SessionStore};

use super::{folder, go_on, keys, names, store_at};
use crate::child::is_private;

#[test]
fn a_backup_is_a_closed_store_with_touches_and_settings_that_nobody_else_may_read() {
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let builder = SessionStore::<String>::builder().manual_maintenance().clock(clock.clone());
    let store = builder.content_name("test").open(&path).unwrap();
    let session = store.create_for_user("ann", "hello".into()).unwrap();
    clock.advance(Duration::from_secs(60));
    // The touch is in memory only.
    let touched = store.read_and_extend(session.id()).unwrap().unwrap();
    let backup = folder.path().join("backup.redb");
    let report = store.backup(&backup).unwrap();
    assert_eq!((report.sessions, report.left_out, report.damaged.count()), (1, 0, 0));
    assert_eq!(report.bytes, fs::metadata(&backup).unwrap().len());
    assert!(is_private(&backup));
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);
    // The byte after redb's magic tells whether a file was closed.
    assert_eq!(fs::read(&backup).unwrap()[9] & 2, 0);

    let builder = SessionStore::<String>::builder().manual_maintenance().clock(clock);
    let copy = builder.content_name("test").open_existing(&backup).unwrap();
    let read = copy.read(session.id()).unwrap().unwrap();
    assert_eq!((read.content().as_str(), read.last_active()), ("hello", touched.last_active()));
    assert!(copy.check().unwrap().is_sound());
}

#[test]
fn a_backup_to_where_something_is_or_nothing_can_be_is_refused() {
    let (folder, path) = folder();
    let store = store_at(&path);
    store.create("x".into()).unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, "a thesis").unwrap();
    for target in [taken.clone(), path.clone(), folder.path().join("none").join("backup.redb")] {
        let refused = store.backup(&target).unwrap_err();
        assert!(matches!(&refused, Error::Io { path, .. } if *path == target), "{refused:?}");
    }
    assert_eq!(fs::read(&taken).unwrap(), b"a thesis");
    assert_eq!(names(&path), ["sessions.redb", "taken"]);
    let backup = folder.path().join("backup.redb");
    let called_off =
        store.backup_with(&backup, &LeaveOut::nothing(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(called_off, Err(Error::CalledOff { action: "backup" })));
    assert_eq!(names(&path), ["sessions.redb", "taken"]);
    let clone = store.clone();
    store.close().unwrap();
    assert!(matches!(clone.backup(&backup), Err(Error::Closed)));
}

#[test]
fn of_two_backups_to_one_place_at_once_one_is_there_and_whole() {
    let (folder, path) = folder();
    let store = store_at(&path);
    for _ in 0..50 {
        store.create("x".into()).unwrap();
    }
    let backup = folder.path().join("backup.redb");
    let done = thread::scope(|scope| {
        let tries: Vec<_> = (0..2).map(|_| scope.spawn(|| store.backup(&backup))).collect();
        tries.into_iter().map(|it| it.join().unwrap().is_ok()).filter(|ok| *ok).count()
    });
    assert_eq!(done, 1);
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);
    assert_eq!(keys(&Inspector::open(&backup).unwrap()).len(), 50);
}

/// The acknowledged sessions of a writer, and those that it is about to end.
#[derive(Default)]
struct Told {
    live: HashSet<sessile::SessionKey>,
    ended: HashSet<sessile::SessionKey>,
}

#[test]
fn a_hundred_backups_under_eight_writers_hold_what_was_acknowledged_before_each_began() {
    let (folder, path) = folder();
    let store = store_at(&path);
    let (told, stop) = (Mutex::new(Told::default()), AtomicBool::new(false));
    thread::scope(|scope| {
        for writer in 0..8_u64 {
            let (store, told, stop) = (&store, &told, &stop);
            scope.spawn(move || {
                let mut own = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let session = store.create_for_user(writer, "x".repeat(100)).unwrap();
                    told.lock().unwrap().live.insert(session.key());
                    own.push(session);
                    if own.len() > 20 {
                        let session = own.swap_remove(7);
                        told.lock().unwrap().live.remove(&session.key());
                        assert!(store.destroy(session.id()).unwrap());
                        told.lock().unwrap().ended.insert(session.key());
                    }
                }
            });
        }
        for number in 0..100 {
            let (live, ended) = {
                let told = told.lock().unwrap();
                (told.live.clone(), told.ended.clone())
            };
            let backup = folder.path().join(format!("{number}.redb"));
            store.backup(&backup).unwrap();
            let inspector = Inspector::open(&backup).unwrap();
            assert!(inspector.check().unwrap().is_sound());
            let found: HashSet<_> = keys(&inspector).into_iter().collect();
            let still = &told.lock().unwrap().live;
            // Sessions whose end began meanwhile may be there or not.
            let lost: Vec<_> = live.difference(&found).filter(|key| still.contains(key)).collect();
            assert!(lost.is_empty(), "{number}: {lost:?} were acknowledged before it began");
            let back: Vec<_> = ended.intersection(&found).collect();
            assert!(back.is_empty(), "{number}: {back:?} had ended before it began");
            drop(inspector);
            fs::remove_file(&backup).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_restore_replaces_nothing_unless_told_to_and_leaves_out_what_must_not_come_back() {
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let builder = SessionStore::<String>::builder().manual_maintenance().clock(clock.clone());
    let store = builder.open(&path).unwrap();
    let old = store.create_for_user("ann", "old".into()).unwrap();
    clock.advance(Duration::from_secs(10));
    let [ann, mallory] =
        ["ann", "mallory"].map(|user| store.create_for_user(user, "new".into()).unwrap());
    let backup = folder.path().join("backup.redb");
    store.backup(&backup).unwrap();
    let bytes = fs::read(&backup).unwrap();
    let after = store.create("after".into()).unwrap();

    let all = LeaveOut::nothing();
    let leave_out = LeaveOut::nothing().user("mallory").created_before(ann.created_at());
    let refused = restore(&backup, &path, false, &all, &mut go_on).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
    let refused = restore(&backup, &path, true, &all, &mut go_on).unwrap_err();
    assert!(matches!(refused, Error::AlreadyOpen { .. }), "{refused:?}");
    store.close().unwrap();
    let thesis = folder.path().join("thesis");
    fs::write(&thesis, "a thesis").unwrap();
    let refused = restore(&backup, &thesis, true, &all, &mut go_on).unwrap_err();
    assert!(matches!(refused, Error::NotASessionStore { .. }), "{refused:?}");
    assert_eq!(fs::read(&thesis).unwrap(), b"a thesis");

    let report = restore(&backup, &path, true, &leave_out, &mut go_on).unwrap();
    assert_eq!((report.sessions, report.left_out), (1, 2));
    assert!(report.unmatched_users.is_empty(), "one who is left out as too old has sessions too");
    assert_eq!(names(&path), ["backup.redb", "sessions.redb", "thesis"]);
    assert_eq!(fs::read(&backup).unwrap(), bytes, "a backup is never written to");
    let builder = SessionStore::<String>::builder().manual_maintenance().clock(clock);
    let store = builder.open(&path).unwrap();
    assert!(store.read(ann.id()).unwrap().is_some());
    for gone in [old, mallory, after] {
        assert!(store.read(gone.id()).unwrap().is_none());
    }
    // Also where there is no store.
    let new = folder.path().join("new.redb");
    assert_eq!(restore(&backup, &new, true, &all, &mut go_on).unwrap().sessions, 3);
}

#[test]
fn a_backup_that_was_altered_is_not_restored() {
    let (folder, path) = folder();
    let store = store_at(&path);
    store.create("x".repeat(3_000)).unwrap();
    let backup = folder.path().join("backup.redb");
    store.backup(&backup).unwrap();
    let mut bytes = fs::read(&backup).unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == b"xxxxxxxx").unwrap();
    bytes[at] = b'y';
    fs::write(&backup, bytes).unwrap();
    let new = folder.path().join("new.redb");
    let refused = restore(&backup, &new, false, &LeaveOut::nothing(), &mut go_on).unwrap_err();
    assert!(matches!(refused, Error::DamagedFile { .. }), "{refused:?}");
    assert!(!new.exists());
}

/// Sessions in `sessions.redb`, and a backup of them.
fn closed_store_and_backup() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (folder, path) = folder();
    let store = store_at(&path);
    for number in 0..20 {
        store.create(number.to_string()).unwrap();
    }
    let backup = folder.path().join("backup.redb");
    store.backup(&backup).unwrap();
    store.close().unwrap();
    (folder, path, backup)
}

#[test]
fn a_restore_in_whose_place_a_program_came_leaves_nothing_and_can_be_repeated() {
    let (_folder, path, backup) = closed_store_and_backup();
    let before = fs::read(&path).unwrap();
    let mut running = None;
    let refused = restore(&backup, &path, true, &LeaveOut::nothing(), &mut |progress| {
        running.get_or_insert_with(|| store_at(&path));
        go_on(progress)
    });
    assert!(matches!(&refused, Err(Error::AlreadyOpen { path: at }) if *at == path), "{refused:?}");
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);
    running.unwrap().close().unwrap();

    // Something else is in the place by the end.
    fs::write(&path, before).unwrap();
    let refused = restore(&backup, &path, true, &LeaveOut::nothing(), &mut |progress| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a thesis").unwrap();
        go_on(progress)
    });
    assert!(matches!(refused, Err(Error::NotASessionStore { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"a thesis");
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);

    fs::copy(&backup, &path).unwrap();
    let report = restore(&backup, &path, true, &LeaveOut::nothing(), &mut go_on).unwrap();
    assert_eq!(report.sessions, 20);
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);
}

#[test]
fn of_two_restores_to_a_new_path_that_may_replace_a_store_the_later_one_stays() {
    let (folder, _, backup) = closed_store_and_backup();
    let new = folder.path().join("new.redb");
    let all = LeaveOut::nothing();
    for replace in [true, false] {
        let mut other = None;
        let restored = restore(&backup, &new, replace, &all, &mut |progress| {
            other.get_or_insert_with(|| {
                let none = LeaveOut::nothing()
                    .created_before(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000));
                restore(&backup, &new, false, &none, &mut go_on).unwrap()
            });
            go_on(progress)
        });
        assert_eq!(other.unwrap().sessions, 0);
        assert_eq!(names(&new), ["backup.redb", "new.redb", "sessions.redb"]);
        let store = store_at(&new);
        match restored {
            Ok(report) => assert!(replace && report.sessions == 20),
            Err(error) => {
                let taken = matches!(&error, Error::Io { source, .. } if source.to_string().contains("exists"));
                assert!(taken && !replace, "{error:?}");
            }
        }
        assert_eq!(store.len().unwrap(), if replace { 20 } else { 0 });
        store.close().unwrap();
        fs::remove_file(&new).unwrap();
    }
}

#[test]
fn what_a_killed_restore_leaves_is_removed_by_the_next_one_to_the_same_place() {
    let (folder, path, backup) = closed_store_and_backup();
    let kept = |name: &str| folder.path().join(format!("kept{name}"));
    let mut new = Vec::new();
    let called_off = restore(&backup, &path, true, &LeaveOut::nothing(), &mut |progress| {
        if progress.total.is_none() {
            return ControlFlow::Continue(());
        }
        new = names(&path);
        assert_eq!(new.split_off(new.len() - 2), ["backup.redb", "sessions.redb"]);
        // The second name for a draft that outlives its process.
        for name in &new {
            fs::hard_link(folder.path().join(name), kept(name)).unwrap();
        }
        ControlFlow::Break(())
    });
    assert!(matches!(called_off, Err(Error::CalledOff { .. })), "{called_off:?}");
    if cfg!(windows) {
        // The copy of the backup has a name there until the system removes it with its last handle.
        // The draft is the file that holds the number in its name.
        new.retain(|name| {
            let number = u128::from_str_radix(&name[name.len() - 32..], 16).unwrap().to_be_bytes();
            let is_draft = fs::read(kept(name)).unwrap().windows(16).any(|part| part == number);
            if !is_draft {
                fs::remove_file(kept(name)).unwrap();
            }
            is_draft
        });
    }
    let [draft] = &new[..] else { panic!("{new:?}") };
    assert!(draft.starts_with(".sessile-"), "{draft}");
    assert_eq!(names(&path), ["backup.redb", &format!("kept{draft}"), "sessions.redb"]);
    fs::rename(kept(draft), folder.path().join(draft)).unwrap();
    restore(&backup, &path, true, &LeaveOut::nothing(), &mut go_on).unwrap();
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);
}

#[test]
fn a_restore_is_called_off_while_it_copies_the_backup_and_before_it_reads_it() {
    let (folder, path) = folder();
    let store = store_at(&path);
    (0..60).for_each(|_| drop(store.create("x".repeat(60_000)).unwrap()));
    let backup = folder.path().join("backup.redb");
    store.backup(&backup).unwrap();
    store.close().unwrap();
    // Its first page is whole, and what follows cannot be read as a store.
    let mut bytes = fs::read(&backup).unwrap();
    bytes[4_096..].fill(0);
    fs::write(&backup, bytes).unwrap();
    let all = LeaveOut::nothing();
    let damaged = restore(&backup, &path, true, &all, &mut go_on).unwrap_err();
    assert!(matches!(damaged, Error::NotASessionStore { .. }), "{damaged:?}");
    let mut told = 0;
    let called_off = restore(&backup, &path, true, &all, &mut |progress| {
        assert_eq!((progress.done, progress.total), (0, None));
        told += 1;
        if told < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(matches!(called_off, Err(Error::CalledOff { action: "restore" })), "{called_off:?}");
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"]);
}

#[cfg(unix)]
#[test]
fn a_store_that_root_replaces_keeps_its_owner_and_is_open_to_nobody_else() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    const APP: u32 = 12_345;
    let (folder, path) = folder();
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    let store = store_at(&path);
    store.create("x".into()).unwrap();
    let backup = folder.path().join("backup.redb");
    store.backup(&backup).unwrap();
    store.close().unwrap();
    chown(&path, Some(APP), Some(APP)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    restore(&backup, &path, true, &LeaveOut::nothing(), &mut go_on).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (APP, APP, 0o600));
    assert_eq!(fs::metadata(&backup).unwrap().uid(), 0);
}
