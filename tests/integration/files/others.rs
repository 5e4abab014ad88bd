//! Files that are no stores, stores of other versions, and stores that were cut.

use std::fs::{self, File};
use std::path::Path;

use redb::{Database, TableDefinition};
use sessile::{Attributes, Error, SessionId, SessionStore};

use super::{Folder, Store, refusal};

#[test]
fn other_files_are_refused_and_left_as_they_are() {
    let folder = Folder::new();
    let foreign = folder.path("foreign.redb");
    {
        const TABLE: TableDefinition<'_, &str, u64> = TableDefinition::new("somebody's");
        let database = Database::create(&foreign).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert("key", 1).unwrap();
        transaction.commit().unwrap();
    }
    for (name, bytes) in [
        ("text", b"To whom it may concern".to_vec()),
        ("one_byte", vec![b'r']),
        ("magic_alone", b"redb\x1A\x0A\xA9\x0D\x0A".to_vec()),
        ("zeroes", vec![0; 100_000]),
    ] {
        fs::write(folder.path(name), bytes).unwrap();
    }
    for name in ["foreign.redb", "text", "one_byte", "magic_alone", "zeroes"] {
        let path = folder.path(name);
        let before = fs::read(&path).unwrap();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(matches!(refusal(&path), Error::NotASessionStore { .. }), "{name}");
        assert_eq!(fs::read(&path).unwrap(), before, "{name}");
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), changed, "{name}");
    }
}

/// A store whose signature has this format version.
fn store_of_version(path: &Path, version: u8) -> Vec<u8> {
    drop(Store::open(path).unwrap());
    let mut bytes = fs::read(path).unwrap();
    let magic = b"sessile store\x1A\r\n";
    let at = bytes.windows(magic.len()).position(|window| window == magic).unwrap();
    bytes[at + magic.len()] = version;
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let bytes = store_of_version(&path, 2);
    assert!(matches!(refusal(&path), Error::UnsupportedFormat { found: 2, supported: 1, .. }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Content that a careless search takes for the file's signature, with this version.
fn mark_of_version(version: u64) -> Vec<u8> {
    [b"sessile store\x1A\r\n".as_slice(), &version.to_le_bytes()].concat()
}

/// A closed store in which that content comes before the real signature.
fn store_with_mark(path: &Path, version: u64) -> Vec<SessionId> {
    let mark = mark_of_version(version);
    let mut ids = Vec::new();
    loop {
        let store = SessionStore::<Vec<u8>>::open(path).unwrap();
        ids.extend((0..20).map(|_| store.create(mark.clone()).unwrap().id().clone()));
        store.close().unwrap();
        let bytes = fs::read(path).unwrap();
        let first = bytes.windows(16).position(|window| window == &mark[..16]).unwrap();
        if bytes[first..].starts_with(&mark) {
            return ids;
        }
        assert!(ids.len() < 10_000);
    }
}

#[test]
fn content_that_looks_like_the_mark_of_a_newer_store_keeps_nobody_out() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let ids = store_with_mark(&path, u64::MAX);
    let store = SessionStore::<Vec<u8>>::open(&path).unwrap();
    for id in ids {
        assert_eq!(store.read(&id).unwrap().unwrap().content(), &mark_of_version(u64::MAX));
    }
}

#[test]
fn content_that_looks_like_the_mark_of_this_version_lets_no_newer_store_in() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    store_with_mark(&path, 1);
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", &*mark_of_version(2)).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refusal(&path), Error::UnsupportedFormat { found: 2, supported: 1, .. }));
}

#[test]
fn a_format_that_never_was_is_no_store_and_left_as_it_is() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let bytes = store_of_version(&path, 0);
    assert!(matches!(refusal(&path), Error::NotASessionStore { .. }));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn every_truncation_is_an_error_or_a_new_store() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    {
        let store = Store::open(&path).unwrap();
        for _ in 0..10 {
            store.create(Attributes::new()).unwrap();
        }
    }
    let whole = fs::read(&path).unwrap();
    // Every length of the header, and then some lengths in each page.
    let lengths = (1..700).chain((700..whole.len()).step_by(1_021));
    for len in lengths {
        let cut = folder.path("cut.redb");
        fs::write(&cut, &whole[..len]).unwrap();
        let error = refusal(&cut);
        assert!(
            matches!(error, Error::NotASessionStore { .. } | Error::DamagedFile { .. }),
            "{len} bytes: {error:?}"
        );
    }
}

#[test]
fn a_file_that_was_cut_inside_its_log_is_refused_as_damaged() {
    let folder = Folder::new();
    let (path, copy) = (folder.path("sessions.redb"), folder.path("copy.redb"));
    let store = Store::open(&path).unwrap();
    let id = store.create(Attributes::new()).unwrap().id().clone();
    fs::copy(&path, &copy).unwrap();
    assert!(Store::open(&copy).unwrap().read(&id).unwrap().is_some(), "as a crash leaves it");
    fs::copy(&path, &copy).unwrap();
    let file = File::options().write(true).open(&copy).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    assert!(matches!(refusal(&copy), Error::DamagedFile { .. }));
}
