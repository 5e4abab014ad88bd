//! A file that another program writes to while it is open, for instance a restored backup.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile::{Durability, Error, SessionId, SessionStore};

type Store = SessionStore<String>;

struct Restored {
    folder: tempfile::TempDir,
    durability: Durability,
    /// In the backup.
    old: Vec<SessionId>,
}

fn fill(store: &Store, count: usize) -> Vec<SessionId> {
    let create = |_| store.create_for_user("ann", "x".repeat(300)).unwrap().id().clone();
    (0..count).map(create).collect()
}

impl Restored {
    /// A closed store and a backup of it.
    fn new(durability: Durability) -> Self {
        let mut restored = Self { folder: tempfile::tempdir().unwrap(), durability, old: vec![] };
        let store = restored.open();
        restored.old = fill(&store, 20);
        store.close().unwrap();
        fs::copy(restored.path(), restored.backup()).unwrap();
        restored
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.redb")
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup.redb")
    }

    fn open(&self) -> Store {
        Store::builder().durability(self.durability).manual_maintenance().open(self.path()).unwrap()
    }

    /// The store is refused from now on, and leaves the file unchanged.
    fn is_refused(&self, store: Store, what: &str) {
        let before = fs::read(self.path()).unwrap();
        let replaced = |answer: Result<(), Error>, call: &str| {
            assert!(
                matches!(answer, Err(Error::FileReplaced { .. })),
                "{what}, {call}: {answer:?}"
            );
        };
        for _ in 0..3 {
            replaced(store.create(String::new()).map(drop), "create");
            replaced(store.destroy(&self.old[0]).map(drop), "destroy");
            replaced(store.clear(), "clear");
            replaced(store.len().map(drop), "len");
            replaced(store.for_each(|_, _| ()).map(drop), "for_each");
            replaced(store.flush(), "flush");
        }
        replaced(store.close(), "close");
        assert!(fs::read(self.path()).unwrap() == before, "{what}: the file was written to");
    }

    /// The restored file is a store with the contents of the backup and no others.
    fn is_the_backup(&self) {
        let store = self.open();
        assert!(self.old.iter().all(|id| store.read(id).unwrap().is_some()));
        assert_eq!(store.len().unwrap(), self.old.len() as u64);
        assert!(store.check().unwrap().is_sound());
        store.close().unwrap();
    }
}

const DURABILITIES: [Durability; 3] = [
    Durability::Immediate,
    Durability::TwoPhase,
    Durability::Deferred { interval: Duration::from_secs(3_600) },
];

/// Writes like `rsync --inplace`: the inode stays, and the length until the end.
fn copy_in_place(from: &Path, to: &Path) {
    let mut file = File::options().write(true).open(to).unwrap();
    let bytes = fs::read(from).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

#[test]
fn a_backup_copied_over_the_open_file_is_noticed_before_more_is_acknowledged() {
    for durability in DURABILITIES {
        // However many changes came after the backup.
        for since in [0, 1, 400] {
            let restored = Restored::new(durability);
            let store = restored.open();
            fill(&store, since);
            fs::copy(restored.backup(), restored.path()).unwrap();
            restored.is_refused(store, &format!("{durability:?}, {since}"));
            restored.is_the_backup();

            let store = restored.open();
            fill(&store, since);
            copy_in_place(&restored.backup(), &restored.path());
            restored.is_refused(store, &format!("{durability:?}, {since}, in place"));
            restored.is_the_backup();
        }
    }
}

#[test]
fn a_copy_of_the_open_file_put_back_over_it_is_noticed_once_anything_came_in_between() {
    for durability in [Durability::Immediate, Durability::TwoPhase] {
        let restored = Restored::new(durability);
        let store = restored.open();
        fill(&store, 10);
        fs::copy(restored.path(), restored.backup()).unwrap();
        // The bytes are equal, so nothing is noticed, and nothing is lost.
        copy_in_place(&restored.backup(), &restored.path());
        fill(&store, 1);
        copy_in_place(&restored.backup(), &restored.path());
        restored.is_refused(store, &format!("{durability:?}"));
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_open_is_noticed_before_more_is_acknowledged() {
    for durability in DURABILITIES {
        for len in [0, 100, 5_000, 60_000] {
            let restored = Restored::new(durability);
            let store = restored.open();
            fill(&store, 5);
            File::options().write(true).open(restored.path()).unwrap().set_len(len).unwrap();
            restored.is_refused(store, &format!("{durability:?}, {len} bytes"));
        }
    }
}

#[test]
fn a_read_that_meets_a_copy_put_over_the_file_does_not_go_on_with_it() {
    let restored = Restored::new(Durability::Immediate);
    let builder = || Store::builder().record_cache(false).cache_size(1 << 20).manual_maintenance();
    let store = builder().open(restored.path()).unwrap();
    let create = |_| store.create("x".repeat(3_000)).unwrap().id().clone();
    let since: Vec<_> = (0..2_000).map(create).collect();
    store.close().unwrap();
    // With an empty cache, which has room for a sixth of it.
    let store = builder().open(restored.path()).unwrap();
    fs::copy(restored.backup(), restored.path()).unwrap();
    let mut refused = 0;
    for id in &since {
        match store.read(id) {
            Ok(Some(session)) => assert_eq!(session.content().len(), 3_000),
            Ok(None) => panic!("a session of after the backup is absent"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1_000, "{refused}");
    restored.is_refused(store, "after reads");
    restored.is_the_backup();
}

/// A store of 20 users whose sessions have ended and 20 whose sessions are left, none of them in memory;
/// a backup of the time before, as long as the file; and every session with its user.
struct Halved {
    folder: tempfile::TempDir,
    store: Store,
    left: Vec<String>,
    sessions: Vec<(String, SessionId)>,
}

impl Halved {
    fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.redb")
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup.redb")
    }

    fn copy_the_backup_over(&self) {
        let len = |path| fs::metadata(path).unwrap().len();
        assert_eq!(len(self.path()), len(self.backup()));
        copy_in_place(&self.backup(), &self.path());
    }
}

fn halved() -> Halved {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("sessions.redb"), folder.path().join("backup.redb"));
    let builder = || Store::builder().record_cache(false).cache_size(1 << 20).manual_maintenance();
    let store = builder().open(&path).unwrap();
    let users: Vec<_> = (0..40).map(|number| format!("user{number}")).collect();
    let create = |user: &String| {
        let session = store.create_for_user(user.as_str(), "x".repeat(3_000)).unwrap();
        (user.clone(), session.id().clone())
    };
    let sessions: Vec<_> = (0..30).flat_map(|_| users.iter().map(create)).collect();
    store.close().unwrap();

    // Every commit goes to the tables, so no session is in memory.
    let store = builder().durability(Durability::TwoPhase).open(&path).unwrap();
    fs::copy(&path, &backup).unwrap();
    let (ended, left) = users.split_at(20);
    for user in ended {
        assert_eq!(store.destroy_all_of(user.as_str()).unwrap(), 30);
    }
    Halved { folder, store, left: left.to_vec(), sessions }
}

#[test]
fn a_listing_shows_nothing_from_a_backup_of_equal_length_put_over_the_open_file() {
    let halved = halved();
    let mut shown = 0;
    let listed = halved.store.for_each(|session, _| {
        let user = session.user().unwrap().to_string();
        assert!(halved.left.contains(&user), "it shows a session of the backup");
        if shown == 0 {
            halved.copy_the_backup_over();
        }
        shown += 1;
    });
    assert!(matches!(listed, Err(Error::FileReplaced { .. })), "{listed:?}");
    assert!(shown < 600, "{shown}");
}

#[test]
fn a_read_answers_nothing_from_a_backup_of_equal_length_put_over_the_open_file() {
    let halved = halved();
    halved.copy_the_backup_over();
    let (path, backup) = (halved.path(), halved.backup());
    let Halved { folder: _folder, store, left, sessions } = halved;
    let mut refused = 0;
    for (user, id) in &sessions {
        let answers = [
            store.read(id).map(|session| session.is_some()),
            store.extend_lifetime(id),
            store.read_and_extend(id).map(|session| session.is_some()),
        ];
        for answer in answers {
            match answer {
                Ok(lives) => assert_eq!(lives, left.contains(user), "it answers from the backup"),
                Err(Error::FileReplaced { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
    assert!(matches!(store.close(), Err(Error::FileReplaced { .. })));
    assert!(fs::read(&path).unwrap() == fs::read(&backup).unwrap());
}

#[test]
fn what_a_checkpoint_takes_over_does_not_spoil_a_file_that_was_restored() {
    let restored = Restored::new(Durability::Immediate);
    let store = Store::builder().open(restored.path()).unwrap();
    // More than half of a log, so that the thread has work.
    fill(&store, 40);
    fs::copy(restored.backup(), restored.path()).unwrap();
    let before = fs::read(restored.path()).unwrap();
    assert!(matches!(store.create(String::new()), Err(Error::FileReplaced { .. })));
    drop(store);
    assert!(fs::read(restored.path()).unwrap() == before);
    restored.is_the_backup();
}

#[test]
fn what_only_looks_goes_on_after_the_file_was_deleted() {
    for record_cache in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let builder = Store::builder().record_cache(record_cache);
        let store = builder.open(&path).unwrap();
        let ids = fill(&store, 100);
        crate::child::remove_open(&path);
        for _ in 0..2 {
            assert!(ids.iter().all(|id| store.read(id).unwrap().is_some()));
            assert!(store.extend_lifetime(&ids[0]).unwrap());
            assert_eq!(store.sessions_of("ann").unwrap().len(), 100);
            assert_eq!(store.for_each(|_, _| ()).unwrap(), 100);
            assert_eq!(store.len().unwrap(), 100);
            let checked = store.check().unwrap();
            assert!(checked.is_sound() && checked.sessions == 100);
            assert_eq!((checked.expiry_entries, checked.user_entries), (100, 100));
            let stats = store.stats().unwrap();
            assert!(stats.sessions == 100 && stats.file_bytes.unwrap() > 4_096);
            assert!(matches!(store.create(String::new()), Err(Error::FileReplaced { .. })));
        }
    }
}
