//! Files that a store is created in, and those around them.

use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sessile::{Attributes, Error};

use super::{Folder, Store, refusal};

#[test]
fn a_new_file_is_private_and_alone_in_its_folder() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let store = Store::open(&path).unwrap();
    store.create(Attributes::new()).unwrap();
    assert!(crate::child::is_private(&path));
    assert_eq!(folder.names(), ["sessions.redb"]);
}

#[test]
fn an_empty_file_becomes_a_store_and_stays_the_same_file() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    File::create(&path).unwrap();
    #[cfg(unix)]
    let before = fs::metadata(&path).unwrap().ino();
    let id = Store::open(&path).unwrap().create(Attributes::new()).unwrap().id().clone();
    assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some());
    #[cfg(unix)]
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    assert!(crate::child::is_private(&path));
    assert_eq!(folder.names(), ["sessions.redb"]);
}

#[test]
fn an_empty_file_with_two_names_becomes_one_store() {
    let folder = Folder::new();
    let (path, other) = (folder.path("sessions.redb"), folder.path("other.redb"));
    File::create(&path).unwrap();
    fs::hard_link(&path, &other).unwrap();
    let store = Store::open(&path).unwrap();
    assert!(matches!(refusal(&other), Error::AlreadyOpen { .. }));
    let id = store.create(Attributes::new()).unwrap().id().clone();
    store.close().unwrap();
    assert!(Store::open(&other).unwrap().read(&id).unwrap().is_some());
}

/// The mark of a file under creation, as docs/internals/format.md describes it.
fn with_mark_of_making(path: &Path) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let head = [b"sess-new".as_slice(), &1_u64.to_le_bytes(), &[0; 16]].concat();
    let mut bytes = fs::read(path).unwrap();
    bytes[3_072..3_104].copy_from_slice(&head);
    bytes[3_104..3_120].copy_from_slice(&Sha256::digest(&head)[..16]);
    bytes
}

#[test]
fn what_a_killed_creation_left_is_begun_again_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    drop(Store::open(&path).unwrap());
    let unfinished = with_mark_of_making(&path);
    for len in [3_584, 4_096, 10_000, unfinished.len()] {
        fs::write(&path, &unfinished[..len]).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(store.is_empty().unwrap());
        let id = store.create(Attributes::new()).unwrap().id().clone();
        drop(store);
        assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some(), "{len} bytes");
        assert_eq!(&fs::read(&path).unwrap()[3_072..3_584], [0; 512], "the mark is gone");
        assert_eq!(folder.names(), ["sessions.redb"]);
    }
}

#[test]
fn a_new_store_leaves_every_other_file_alone_whatever_its_name() {
    let folder = Folder::new();
    let mut names: Vec<String> = [".new", ".copy", ".old", ".tmp", "~", ".lock", ".bak", ".draft"]
        .iter()
        .flat_map(|end| [format!("sessions.redb{end}"), format!(".sessions.redb{end}")])
        .collect();
    for name in &names {
        fs::write(folder.path(name), name).unwrap();
    }
    // A store, closed and sound, under such a name.
    let precious = Store::open(folder.path("precious.new")).unwrap();
    let id = precious.create(Attributes::new()).unwrap().id().clone();
    precious.close().unwrap();
    drop(Store::open(folder.path("precious")).unwrap());
    drop(Store::open(folder.path("sessions.redb")).unwrap());
    for name in &names {
        assert_eq!(&fs::read_to_string(folder.path(name)).unwrap(), name);
    }
    assert!(Store::open(folder.path("precious.new")).unwrap().read(&id).unwrap().is_some());
    names.extend(["precious".into(), "precious.new".into(), "sessions.redb".into()]);
    names.sort();
    assert_eq!(folder.names(), names);
}

#[test]
fn two_threads_that_create_one_file_end_up_with_one_store() {
    for _ in 0..20 {
        let folder = Folder::new();
        let path = folder.path("sessions.redb");
        let stores: Vec<_> = std::thread::scope(|scope| {
            let open = || scope.spawn(|| Store::open(&path));
            let threads = [open(), open(), open(), open()];
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let opened: Vec<_> = stores.iter().filter_map(|store| store.as_ref().ok()).collect();
        assert_eq!(opened.len(), 1);
        for error in stores.iter().filter_map(|store| store.as_ref().err()) {
            assert!(matches!(error, Error::AlreadyOpen { .. }), "{error:?}");
        }
        let id = opened[0].create(Attributes::new()).unwrap().id().clone();
        drop(stores);
        assert!(Store::open(&path).unwrap().read(&id).unwrap().is_some());
        assert_eq!(folder.names(), ["sessions.redb"]);
    }
}

#[test]
fn every_setting_out_of_its_range_is_refused_before_anything_is_created() {
    use std::time::Duration;

    use sessile::{Durability, UserLimit};

    let folder = Folder::new();
    let path = folder.path("sessions.redb");
    let builder = Store::builder;
    let too_long = Duration::from_secs(1_000_000);
    let deferred = |interval| builder().durability(Durability::Deferred { interval });
    for (name, settings) in [
        ("cache_size", builder().cache_size(1_000_000)),
        ("max_content_len", builder().max_content_len(16 * 1024 * 1024 + 1)),
        ("max_sessions", builder().max_sessions(0)),
        ("max_sessions_per_user", builder().max_sessions_per_user(0, UserLimit::Refuse)),
        ("touch_interval", builder().touch_interval(Duration::ZERO)),
        ("touch_interval", builder().touch_interval(too_long)),
        ("sweep_interval", builder().sweep_interval(Duration::ZERO)),
        ("sweep_interval", builder().sweep_interval(too_long)),
        ("durability", deferred(Duration::ZERO)),
        ("durability", deferred(too_long)),
        ("content_name", builder().content_name("")),
        ("content_version", builder().content_version(0, |old| old.decode())),
        ("engine", builder().engine(sessile::MemoryEngine::new())),
    ] {
        match settings.open(&path) {
            Err(Error::InvalidSetting { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(matches!(builder().build(), Err(Error::InvalidSetting { name: "engine", .. })));
    assert!(folder.names().is_empty());
}
