//! The file of an open store: who else may open it, and what becomes of it meanwhile.

use std::fs::{self, File};
use std::io::Write;

use sessile::{Attributes, Error, SessionStore};

use super::{Folder, Store, refusal};

#[test]
fn a_folder_that_was_replaced_is_noticed_and_nothing_is_acknowledged() {
    let folder = Folder::new();
    let (inner, moved) = (folder.path("inner"), folder.path("moved"));
    fs::create_dir(&inner).unwrap();
    let store = Store::open(inner.join("sessions.redb")).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    let renamed = fs::rename(&inner, &moved);
    if cfg!(windows) && renamed.is_err() {
        // Windows does not rename a folder with an open file; Wine 8 does.
        assert!(store.destroy(&id).unwrap(), "it goes on");
        return;
    }
    renamed.unwrap();
    File::create(&inner).unwrap();
    let noticed = |error: Error| match error {
        Error::Io { .. } => {}
        // For Windows, nothing is there behind a file that stands where a folder was.
        Error::FileReplaced { .. } if cfg!(windows) => {}
        error => panic!("{error:?}"),
    };
    noticed(store.create(Attributes::new()).unwrap_err());
    noticed(store.destroy(&id).unwrap_err());
    fs::remove_file(&inner).unwrap();
    fs::rename(&moved, &inner).unwrap();
    assert!(store.destroy(&id).unwrap(), "it goes on once the folder is back");
    assert!(store.is_empty().unwrap());
}

#[test]
fn a_file_is_open_once_by_whatever_name() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let hard_link = folder.path("other_name.redb");
    fs::hard_link(&path, &hard_link).unwrap();
    for name in [&path, &hard_link] {
        assert!(matches!(refusal(name), Error::AlreadyOpen { .. }));
    }
    drop(store);
    Store::open(&hard_link).unwrap();
}

#[test]
fn a_deleted_or_replaced_file_is_noticed_and_nothing_is_acknowledged() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    for replaced in [false, true] {
        let store = Store::open(&path).unwrap();
        let id = store.create(Attributes::new()).unwrap().id().clone();
        crate::child::remove_open(&path);
        if replaced {
            File::create(&path).unwrap().write_all(b"something else").unwrap();
        }
        let replaced_error =
            |error: Error| assert!(matches!(error, Error::FileReplaced { .. }), "{error:?}");
        replaced_error(store.create(Attributes::new()).unwrap_err());
        replaced_error(store.destroy(&id).unwrap_err());
        assert!(store.read(&id).unwrap().is_some(), "reads go on");
        drop(store);
        fs::remove_file(&path).or_else(|error| if replaced { Err(error) } else { Ok(()) }).unwrap();
    }
}

#[test]
fn a_moved_file_can_be_moved_back() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    fs::rename(&path, folder.path("moved.redb")).unwrap();
    assert!(matches!(store.create(Attributes::new()), Err(Error::FileReplaced { .. })));
    fs::rename(folder.path("moved.redb"), &path).unwrap();
    store.create(Attributes::new()).unwrap();
}

#[test]
fn after_a_crash_what_was_acknowledged_is_there() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    // The bytes on the disk now are those that a killed process leaves.
    let crashed = folder.path("crashed.redb");
    fs::copy(&path, &crashed).unwrap();
    let recovered = Store::open(&crashed).unwrap();
    assert!(recovered.read(&id).unwrap().is_some());
    assert_eq!(recovered.len().unwrap(), 1);
}

#[test]
fn without_a_record_cache_reads_see_every_write_and_touch() {
    let folder = Folder::new();
    let builder = SessionStore::<u32>::builder().record_cache(false).manual_maintenance();
    let store = builder.open(folder.path("sessions.redb")).unwrap();
    let mut session = store.create(1).unwrap();
    for content in 2..5 {
        *session.content_mut() = content;
        store.update(&mut session).unwrap();
        assert!(store.extend_lifetime(session.id()).unwrap());
        let read = store.read(session.id()).unwrap().unwrap();
        assert_eq!(*read.content(), content);
        assert!(read.last_active() >= session.last_active());
    }
    assert!(store.destroy(session.id()).unwrap());
    assert!(store.read(session.id()).unwrap().is_none());
}

#[test]
fn an_open_that_may_wait_outlives_a_handle_that_closes_and_no_other() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    let soon = Store::builder().open_timeout(std::time::Duration::from_millis(50));
    assert!(matches!(soon.open(&path), Err(Error::AlreadyOpen { .. })), "it stays open");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            store.close().unwrap();
        });
        let waiting = Store::builder().open_timeout(std::time::Duration::from_secs(600));
        waiting.open(&path).unwrap().create(Attributes::new()).unwrap();
    });
}
