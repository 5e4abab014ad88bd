//! Every format ever written opens: a committed file of each is read back whole.
//!
//! `SESSILE_WRITE_FIXTURE=tests/fixtures/format-1.redb cargo test --test integration fixture`
//! writes the file again, and `SESSILE_WRITE_LOG_FIXTURE` writes the file that was not closed. Do
//! so only for a new format, under a new name.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sessile::testing::{ManualClock, RandomSource};
use sessile::{
    Engine, RedbEngine, SessionId, SessionOptions, SessionStore, Source, Timeouts, UserId,
};

use crate::bad_records::SESSIONS;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Content {
    text: String,
    numbers: Vec<i64>,
    choice: Option<Choice>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Small(u8),
    Large { value: u128 },
}

/// Ids and tokens that a test can predict: sixteen times 1, sixteen times 2, and so on.
#[derive(Debug)]
struct Counting(AtomicU8);

impl RandomSource for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Source> {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.redb");
const LOG_FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1-log.redb");
const CREATED_AT: Duration = Duration::from_millis(1_767_225_600_000);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn open(path: &Path, clock: &ManualClock) -> SessionStore<Content> {
    SessionStore::builder()
        .clock(clock.clone())
        .random_source(Counting(AtomicU8::new(1)))
        .content_name("fixture")
        .content_version(3, |old| old.decode())
        .timeouts(Timeouts::from_seconds(3_600, 86_400).unwrap())
        .manual_maintenance()
        .open(path)
        .unwrap()
}

fn content(choice: Option<Choice>) -> Content {
    Content { text: "gr\u{fc}n".into(), numbers: vec![0, -1, i64::MAX], choice }
}

fn id(number: u8) -> SessionId {
    // Base64 of sixteen equal bytes.
    let text = [
        "",
        "AQEBAQEBAQEBAQEBAQEBAQ",
        "AgICAgICAgICAgICAgICAg",
        "AwMDAwMDAwMDAwMDAwMDAw",
        "BAQEBAQEBAQEBAQEBAQEBA",
        "BQUFBQUFBQUFBQUFBQUFBQ",
    ][usize::from(number)];
    SessionId::parse(text).unwrap()
}

fn write(path: &Path) {
    let clock = ManualClock::new();
    let store = open(path, &clock);
    store.create(content(None)).unwrap();
    store.create_for_user(-7, content(Some(Choice::Small(9)))).unwrap();
    // The token is drawn before the id, so the id is the fourth draw.
    let options = SessionOptions::new().user("ann").csrf_token().inactivity(YEAR).absolute(YEAR);
    let large = content(Some(Choice::Large { value: u128::MAX }));
    let mut session = store.create_with(large, &options).unwrap();
    clock.advance(Duration::from_secs(60));
    session.content_mut().text.push('!');
    store.update(&mut session).unwrap();
    assert!(store.extend_lifetime(&id(1)).unwrap());
    store.close().unwrap();
}

#[test]
fn a_file_of_format_1_is_read_whole() {
    if let Some(path) = std::env::var_os("SESSILE_WRITE_FIXTURE") {
        write(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("format-1.redb");
    std::fs::copy(FIXTURE, &copy).unwrap();
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(61));
    let store = open(&copy, &clock);

    let plain = store.read(&id(1)).unwrap().unwrap();
    assert_eq!(plain.content(), &content(None));
    assert_eq!((plain.user(), plain.csrf_token().is_some()), (None, false));
    assert_eq!(plain.created_at(), UNIX_EPOCH + CREATED_AT);
    assert_eq!(plain.last_active(), plain.created_at() + Duration::from_secs(60));
    assert_eq!(plain.expires_at(), plain.last_active() + Duration::from_secs(3_600));

    let numbered = store.read(&id(2)).unwrap().unwrap();
    assert_eq!(numbered.user(), Some(&UserId::from(-7)));
    assert_eq!(numbered.content().choice, Some(Choice::Small(9)));
    assert_eq!(numbered.last_active(), numbered.created_at());

    let named = store.read(&id(4)).unwrap().unwrap();
    assert_eq!(named.content().text, "gr\u{fc}n!");
    assert_eq!(named.content().choice, Some(Choice::Large { value: u128::MAX }));
    assert!(named.csrf_token().unwrap().verify(&id(3).encode()));
    assert_eq!(named.expires_at(), named.created_at() + YEAR);

    assert_eq!(store.len().unwrap(), 3);
    assert_eq!(store.sessions_of("ann").unwrap()[0].key(), id(4).key());
    assert_eq!(store.sessions_of(-7).unwrap().len(), 1);
    let mut visited = 0;
    assert_eq!(store.for_each(|_, _| visited += 1).unwrap(), 3);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(store.clean_up_expired().unwrap(), 2);
    store.close().unwrap();
    let engine = RedbEngine::open(&copy).unwrap();
    let timeouts = [3_600_000_u64.to_le_bytes(), 86_400_000_u64.to_le_bytes()].concat();
    assert_eq!(engine.load_meta("timeouts").unwrap(), Some(timeouts));
    assert_eq!(engine.load_meta("content_name").unwrap(), Some(b"fixture".to_vec()));
}

/// Sessions 1 to 5, with 2 updated and 3 removed, in a store that is not closed: all of them are in
/// the log alone.
fn write_log(path: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.redb");
    let store = open(&live, &ManualClock::new());
    for number in 1..=5 {
        store.create_for_user(number, content(Some(Choice::Small(number as u8)))).unwrap();
    }
    store.modify(&id(2), |session| session.content_mut().text.push('!')).unwrap().unwrap();
    assert!(store.destroy(&id(3)).unwrap());
    // The file as a killed process would leave it.
    std::fs::copy(&live, path).unwrap();
}

#[test]
fn the_log_of_a_file_of_format_1_is_replayed() {
    if let Some(path) = std::env::var_os("SESSILE_WRITE_LOG_FIXTURE") {
        write_log(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("format-1-log.redb");
    std::fs::copy(LOG_FIXTURE, &copy).unwrap();
    // A reader of redb's part alone finds no sessions.
    let database = redb::Database::open(&copy).unwrap();
    let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
    let sessions = transaction.open_table(SESSIONS).unwrap();
    assert_eq!(redb::ReadableTableMetadata::len(&sessions).unwrap(), 0);
    drop((sessions, transaction, database));
    std::fs::copy(LOG_FIXTURE, &copy).unwrap();

    let store = open(&copy, &ManualClock::new());
    assert_eq!(store.len().unwrap(), 4);
    for number in [1, 2, 4, 5] {
        let session = store.read(&id(number)).unwrap().unwrap();
        assert_eq!(session.user(), Some(&UserId::from(number)));
        assert_eq!(session.content().choice, Some(Choice::Small(number)));
        assert_eq!(session.content().text.ends_with('!'), number == 2);
        assert_eq!(session.created_at(), UNIX_EPOCH + CREATED_AT);
    }
    assert!(store.read(&id(3)).unwrap().is_none());
    store.close().unwrap();
    assert_eq!(open(&copy, &ManualClock::new()).len().unwrap(), 4);
}
