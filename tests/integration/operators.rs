//! The tasks of operators: checking, recovering and compacting a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::{Database, ReadableTable, TableDefinition};
use sessile::engine::{Engine, Moment, Record, Timestamp};
use sessile::{
    CheckReport, Durability, Error, Problem, RedbEngine, Session, SessionStore, UserId, UserLimit,
};

type Key = &'static [u8; 16];
const SESSIONS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("sessions");
const EXPIRY: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("expiry");
const USERS: TableDefinition<'_, (&[u8], Key), ()> = TableDefinition::new("users");

fn store_at(path: &Path) -> SessionStore<u64> {
    SessionStore::builder().manual_maintenance().open(path).unwrap()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    (folder, path)
}

/// The deadline in the session's index entry.
fn deadline_of(path: &Path, session: &Session<u64>) -> u64 {
    let engine = RedbEngine::open(path).unwrap();
    engine.load(&session.key(), Moment::BEGINNING).unwrap().unwrap().index_deadline().as_millis()
}

/// `check` reports such an entry as `StrayInUsers`.
#[test]
fn an_index_entry_of_another_user_neither_shows_nor_ends_nor_hands_over_a_session() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    let session = store.create_for_user("ann", 7).unwrap();
    store.close().unwrap();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let eve = [&[3][..], b"eve"].concat();
    let entry = (eve.as_slice(), session.key());
    transaction.open_table(USERS).unwrap().insert((entry.0, entry.1.as_bytes()), ()).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let builder = SessionStore::builder().manual_maintenance();
    let store: SessionStore<u64> =
        builder.max_sessions_per_user(1, UserLimit::EndLeastRecentlyActive).open(&path).unwrap();
    assert_eq!(store.sessions_of_with("eve").unwrap().len(), 0);
    assert_eq!(store.sessions_of("eve").unwrap().len(), 0);
    assert_eq!(store.users(None, 10).unwrap(), [(UserId::from("ann"), 1)]);
    assert_eq!(store.destroy_all_of("eve").unwrap(), 0);
    assert!(!store.destroy_of("eve", &session.key()).unwrap());
    assert_eq!(store.rename_user("eve", "mallory").unwrap(), 0);
    // A login at the limit, and the end of all other sessions.
    let own = store.create_for_user("eve", 8).unwrap();
    assert_eq!(store.destroy_others(&own).unwrap(), 0);
    let found = store.read(session.id()).unwrap().unwrap();
    assert_eq!((found.user(), *found.content()), (Some(&UserId::from("ann")), 7));
    assert_eq!(store.destroy_all_of("ann").unwrap(), 1);
}

#[test]
fn a_check_finds_each_kind_of_damage_by_its_key() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    let sessions: Vec<_> =
        (0..7).map(|number| store.create_for_user("ann", number).unwrap()).collect();
    store.close().unwrap();
    let key = |number: usize| sessions[number].key();
    let deadlines: Vec<_> = sessions.iter().map(|session| deadline_of(&path, session)).collect();
    let ann = [&[3][..], b"ann"].concat();
    let mut expected = Vec::new();

    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(SESSIONS).unwrap();
        let mut expiry = transaction.open_table(EXPIRY).unwrap();
        let mut users = transaction.open_table(USERS).unwrap();
        let bytes_of = |table: &redb::Table<'_, Key, &[u8]>, number: usize| {
            table.get(key(number).as_bytes()).unwrap().unwrap().value().to_vec()
        };

        let mut bytes = bytes_of(&table, 0);
        bytes[30] ^= 1;
        table.insert(key(0).as_bytes(), bytes.as_slice()).unwrap();
        let reason = "its checksum is wrong";
        expected.push(Problem::DamagedRecord { key: key(0), reason });

        expiry.remove((deadlines[1], key(1).as_bytes())).unwrap();
        let deadline = Timestamp::from_millis(deadlines[1]);
        expected.push(Problem::NotInExpiry { key: key(1), deadline });

        let late = Timestamp::from_millis(deadlines[2] + 1);
        let record = Record::decode(&key(2), &bytes_of(&table, 2)).unwrap().indexed_under(late);
        table.insert(key(2).as_bytes(), record.encode(&key(2)).as_slice()).unwrap();
        expiry.remove((deadlines[2], key(2).as_bytes())).unwrap();
        expiry.insert((deadlines[2] + 1, key(2).as_bytes()), ()).unwrap();
        let deadline = Timestamp::from_millis(deadlines[2]);
        expected.push(Problem::LateInExpiry { key: key(2), indexed_under: late, deadline });

        // The record is removed, and both entries stay behind.
        table.remove(key(3).as_bytes()).unwrap();
        let deadline = Timestamp::from_millis(deadlines[3]);
        expected.push(Problem::StrayInExpiry { key: key(3), deadline });
        expected.push(Problem::StrayInUsers { key: key(3), user: Some("ann".into()) });

        users.remove((ann.as_slice(), key(4).as_bytes())).unwrap();
        expected.push(Problem::NotInUsers { key: key(4), user: UserId::from("ann") });

        // Extra entries of a session: under another deadline, of another user, of no valid user
        // key.
        expiry.insert((7, key(5).as_bytes()), ()).unwrap();
        let deadline = Timestamp::from_millis(7);
        expected.push(Problem::StrayInExpiry { key: key(5), deadline });
        users.insert((&[3, b'b'][..], key(5).as_bytes()), ()).unwrap();
        expected.push(Problem::StrayInUsers { key: key(5), user: Some("b".into()) });
        users.insert((&[9][..], key(5).as_bytes()), ()).unwrap();
        expected.push(Problem::StrayInUsers { key: key(5), user: None });
    }
    transaction.commit().unwrap();
    drop(database);

    let store = store_at(&path);
    let report = store.check().unwrap();
    assert_eq!(report.problem_count, expected.len() as u64);
    assert!(!report.is_sound());
    for problem in &expected {
        assert!(report.problems.contains(problem), "{problem} is not in {:#?}", report.problems);
        assert!(problem.to_string().contains(&problem.key().to_string()), "{problem}");
    }
    assert_eq!((report.sessions, report.expiry_entries, report.user_entries), (5, 7, 8));
    assert!(store.read(sessions[6].id()).unwrap().is_some());
}

#[test]
fn removing_a_damaged_record_removes_its_index_entries_and_nobody_elses() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    let damaged = store.create_for_user("ann", 1).unwrap();
    let sound = ["ann", "bob"].map(|user| store.create_for_user(user, 2).unwrap().key());
    store.close().unwrap();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(SESSIONS).unwrap();
        table.insert(damaged.key().as_bytes(), &[0][..]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);

    let store = store_at(&path);
    assert!(store.destroy_key(&damaged.key()).unwrap());
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.expiry_entries, report.user_entries), (2, 2));
    for (user, key) in ["ann", "bob"].into_iter().zip(sound) {
        let listed: Vec<_> =
            store.sessions_of(user).unwrap().iter().map(|info| info.key()).collect();
        assert_eq!(listed, [key]);
    }
}

#[test]
fn a_sweep_removes_an_index_entry_that_leads_to_no_record_and_counts_no_session() {
    let (_folder, path) = folder();
    store_at(&path).close().unwrap();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(EXPIRY).unwrap().insert((1, &[7; 16]), ()).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let store = store_at(&path);
    assert_eq!(store.check().unwrap().problem_count, 1);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_report_holds_so_many_problems_and_counts_the_rest() {
    let (_folder, path) = folder();
    drop(store_at(&path));
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut expiry = transaction.open_table(EXPIRY).unwrap();
        for number in 0..1_500_u128 {
            expiry.insert((1, &number.to_be_bytes()), ()).unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);
    let report = store_at(&path).check().unwrap();
    assert_eq!(report.problem_count, 1_500);
    assert_eq!(report.problems.len(), CheckReport::MAX_PROBLEMS);
}

#[test]
fn a_check_shows_one_moment_while_others_write() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..300 {
                let session = store.create_for_user(number % 3, number).unwrap();
                if number % 2 == 0 {
                    store.destroy(session.id()).unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let report = store.check().unwrap();
            assert!(report.is_sound(), "{:?}", report.problems);
            assert_eq!(report.sessions, report.expiry_entries);
            assert_eq!(report.sessions, report.user_entries);
        }
    });
}

#[test]
fn recovery_is_reported_after_an_unclean_end_and_can_be_called_off() {
    // With `TwoPhase`, the check of redb itself starts after our verification.
    for durability in [Durability::Immediate, Durability::TwoPhase] {
        recovery_is_reported(durability);
    }
}

fn recovery_is_reported(durability: Durability) {
    let (folder, path) = folder();
    let builder = SessionStore::<u64>::builder().manual_maintenance().durability(durability);
    let store = builder.open(&path).unwrap();
    let id = store.create(1).unwrap().id().clone();
    // The bytes on the disk now are those that a killed process leaves.
    let crashed = folder.path().join("crashed.redb");
    fs::copy(&path, &crashed).unwrap();
    store.close().unwrap();

    let seen = Arc::new(Mutex::new(Vec::new()));
    let open = |path: &Path, abort: bool| {
        seen.lock().unwrap().clear();
        let seen = Arc::clone(&seen);
        let callback = move |recovery: &mut sessile::Recovery| {
            seen.lock().unwrap().push(recovery.progress());
            if abort {
                recovery.abort();
            }
        };
        SessionStore::<u64>::builder().manual_maintenance().on_recovery(callback).open(path)
    };
    drop(open(&path, true).expect("a file that was closed needs none"));
    drop(open(&folder.path().join("new.redb"), true).expect("nor does a new one"));
    assert!(seen.lock().unwrap().is_empty());

    let error = open(&crashed, true).unwrap_err();
    assert!(matches!(&error, Error::RecoveryAborted { path } if *path == crashed), "{error:?}");
    assert_eq!(*seen.lock().unwrap(), [0.0]);

    let store = open(&crashed, false).unwrap();
    let progress = seen.lock().unwrap().clone();
    assert!(progress.len() > 1 && progress.is_sorted(), "{progress:?}");
    assert!(progress.iter().all(|done| (0.0..1.0).contains(done)), "{progress:?}");
    assert!(store.read(&id).unwrap().is_some());
    store.close().unwrap();
    drop(open(&crashed, true).expect("it was recovered and closed"));
}

/// A store of 8,000 large sessions, most of them ended.
fn mostly_empty(path: &Path) -> Vec<sessile::SessionId> {
    let durability = Durability::Deferred { interval: Duration::from_secs(60) };
    let store = SessionStore::<Vec<u8>>::builder()
        .durability(durability)
        .manual_maintenance()
        .open(path)
        .unwrap();
    let kept = AtomicU64::new(0);
    let ids = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16_u64)
            .map(|thread| {
                let (store, kept) = (&store, &kept);
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    for number in 0..500_u64 {
                        let user = if number % 50 == 0 { "kept" } else { "crowd" };
                        let content = vec![(thread + number) as u8; 3_000];
                        let session = store.create_for_user(user, content).unwrap();
                        if user == "kept" {
                            kept.fetch_add(1, Ordering::Relaxed);
                            ids.push(session.id().clone());
                        }
                    }
                    ids
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(store.destroy_all_of("crowd").unwrap(), 8_000 - kept.load(Ordering::Relaxed));
    store.close().unwrap();
    ids
}

#[test]
fn a_mostly_empty_file_gives_back_its_space_when_it_is_opened() {
    let (_folder, path) = folder();
    let ids = mostly_empty(&path);
    let len = || fs::metadata(&path).unwrap().len();
    let full = len();
    assert!(full > 16 * 1024 * 1024, "{full}");

    let builder = SessionStore::<Vec<u8>>::builder;
    for builder in [builder().compact_on_open(false), builder().verify_on_open(false)] {
        builder.open(&path).unwrap().close().unwrap();
    }
    assert!(len() > full / 2, "only where it is wanted: {} of {full}", len());

    let store = SessionStore::<Vec<u8>>::builder().manual_maintenance().open(&path).unwrap();
    assert!(len() < full / 8, "{} of {full}", len());
    assert_eq!(store.len().unwrap(), ids.len() as u64);
    for id in &ids {
        assert!(store.read(id).unwrap().is_some());
    }
    assert!(store.check().unwrap().is_sound());
    let session = store.create(vec![1]).unwrap();
    store.close().unwrap();
    let store = SessionStore::<Vec<u8>>::open(&path).unwrap();
    assert!(store.read(session.id()).unwrap().is_some());
}
