//! Every format ever written opens: a file of each, committed, and read back whole.
//!
//! `SESSILE_WRITE_FIXTURE=tests/fixtures/format-1.redb cargo test --test integration fixture`
//! writes the file anew. Do so only for a new format, under a new name.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sessile::testing::{ManualClock, RandomSource};
use sessile::{SessionId, SessionOptions, SessionStore, Source, Timeouts, UserId};

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

/// Ids and tokens that a test can know: sixteen times 1, sixteen times 2, and so on.
#[derive(Debug)]
struct Counting(AtomicU8);

impl RandomSource for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Source> {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.redb");
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
    // Base64 has no shorter way to say sixteen equal bytes.
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
}
