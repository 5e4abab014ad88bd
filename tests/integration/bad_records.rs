//! Records that this library did not write, in an otherwise sound file. redb alone puts them in
//! place, by docs/internals/format.md.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use redb::{Database, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sessile::testing::{ManualClock, encode_content};
use sessile::{Error, SessionId, SessionKey, SessionStore, Timeouts};

pub(crate) const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
/// Offsets of docs/internals/format.md.
const LENGTH_OF_CONTENT: std::ops::Range<usize> = 56..60;
const CONTENT: usize = 60;
/// The length of the kind and the shape, before the bytes of bincode.
const HEAD_OF_CONTENT: usize = 17;

const HOUR: Duration = Duration::from_secs(3_600);

/// A closed store with some sessions, and access to its records.
struct Closed {
    folder: tempfile::TempDir,
    clock: ManualClock,
    ids: Vec<SessionId>,
}

impl Closed {
    /// A store with one session of user "ann" for each content.
    fn with<C: Serialize + DeserializeOwned>(contents: Vec<C>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut closed = Self { folder, clock: ManualClock::new(), ids: Vec::new() };
        let store = closed.open::<C>();
        let create = |content| store.create_for_user("ann", content).unwrap().id().clone();
        closed.ids = contents.into_iter().map(create).collect();
        store.close().unwrap();
        closed
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.redb")
    }

    fn open<C: Serialize + DeserializeOwned>(&self) -> SessionStore<C> {
        SessionStore::builder()
            .clock(self.clock.clone())
            .timeouts(Timeouts::new(HOUR, 2 * HOUR).unwrap())
            .max_content_len(16 * 1024 * 1024)
            .manual_maintenance()
            .open(self.path())
            .unwrap()
    }

    fn key(&self, number: usize) -> SessionKey {
        self.ids[number].key()
    }

    /// Changes the record of a session without the library.
    fn change(&self, number: usize, change: impl FnOnce(&mut Vec<u8>)) {
        self.write(number, &{
            let mut record = self.record(number);
            change(&mut record);
            record
        });
    }

    fn record(&self, number: usize) -> Vec<u8> {
        let database = Database::open(self.path()).unwrap();
        let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
        let table = transaction.open_table(SESSIONS).unwrap();
        table.get(self.key(number).as_bytes()).unwrap().unwrap().value().to_vec()
    }

    fn write(&self, number: usize, record: &[u8]) {
        let database = Database::open(self.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        let key = self.key(number);
        transaction.open_table(SESSIONS).unwrap().insert(key.as_bytes(), record).unwrap();
        transaction.commit().unwrap();
    }

    /// Gives a session other content bytes, with fitting lengths and checksum, under the stored
    /// kind and shape.
    fn forge(&self, number: usize, content: &[u8]) {
        let key = self.key(number);
        self.change(number, |record| *record = with_content(&key, record, content));
    }
}

/// The record of a session without a token, with other content.
fn with_content(key: &SessionKey, record: &[u8], content: &[u8]) -> Vec<u8> {
    let len_of_user = usize::from(u16::from_le_bytes([record[2], record[3]]));
    let mut forged = record[..CONTENT + len_of_user + HEAD_OF_CONTENT].to_vec();
    let len = (HEAD_OF_CONTENT + content.len()) as u32;
    forged[LENGTH_OF_CONTENT].copy_from_slice(&len.to_le_bytes());
    forged.extend(content);
    seal(key, forged)
}

fn seal(key: &SessionKey, mut record: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), &record);
    record.extend(checksum.to_le_bytes());
    record
}

fn is_damaged<T: std::fmt::Debug>(result: sessile::Result<T>) -> bool {
    matches!(result, Err(Error::DamagedRecord { .. }))
}

fn is_mismatch<T: std::fmt::Debug>(result: sessile::Result<T>) -> bool {
    matches!(result, Err(Error::ContentMismatch { .. }))
}

#[test]
fn a_forged_record_with_sound_content_is_read() {
    // If this failed, the forged records of the other tests would be refused for another reason.
    let closed = Closed::with(vec![String::from("old")]);
    closed.forge(0, &encode_content(&"new").unwrap());
    assert_eq!(closed.open::<String>().read(&closed.ids[0]).unwrap().unwrap().content(), "new");
}

/// The checksum matches, so the record is as written; and it was read back when it was written.
#[test]
fn content_that_is_not_what_its_shape_says_is_another_types_and_not_damaged() {
    fn refused<C: Serialize + DeserializeOwned + std::fmt::Debug>(sound: C, bytes: &[u8]) {
        let closed = Closed::with(vec![sound]);
        closed.forge(0, bytes);
        let id = &closed.ids[0];
        let builder = SessionStore::<C>::builder().clock(closed.clock.clone());
        let store = builder.content_name("test").manual_maintenance().open(closed.path()).unwrap();
        assert!(is_mismatch(store.read(id)));
        assert!(is_mismatch(store.read_and_extend(id)));
        assert!(is_mismatch(store.modify(id, |_| ())));
        assert!(is_mismatch(store.for_each(|_, _| ())));
        assert_eq!(store.stats().unwrap().damaged_records, 0);
        let text = store.read(id).unwrap_err().to_string();
        assert!(text.contains("content_version") && !text.contains("destroy"), "{text}");
        assert!(store.destroy(id).unwrap());
    }
    refused(String::from("text"), &[253, 0, 0, 0, 0, 0, 0, 0, 0x40, b'x']);
    refused(7_u32, &[7, 0]);
    refused(vec![()], &[252, 0x00, 0xCA, 0x9A, 0x3B]);
    refused(Chain(None), &[1; 10_000]);
    refused(7_u32, &[]);
    refused(vec![7_u32], &[2, 7, 7]);
}

#[test]
fn every_length_prefix_that_promises_more_than_there_is_is_refused() {
    let closed = Closed::with(vec![String::from("text")]);
    // Strings of up to 2^64 - 1 bytes, with lengths in the encoding of bincode.
    let prefixes: [&[u8]; 4] = [
        &[250, b'x'],
        &[251, 0xFF, 0xFF, b'x'],
        &[252, 0xFF, 0xFF, 0xFF, 0x7F, b'x'],
        &[253, 0, 0, 0, 0, 0, 0, 0, 0x40, b'x'],
    ];
    for prefix in prefixes {
        closed.forge(0, prefix);
        assert!(is_mismatch(closed.open::<String>().read(&closed.ids[0])), "{prefix:?}");
        assert!(is_mismatch(closed.open::<Vec<u64>>().read(&closed.ids[0])), "{prefix:?}");
    }
    closed.change(0, |record| {
        record.truncate(record.len() - 4);
        record[LENGTH_OF_CONTENT].copy_from_slice(&u32::MAX.to_le_bytes());
        *record = seal(&closed.key(0), record.clone());
    });
    assert!(is_damaged(closed.open::<String>().read(&closed.ids[0])));
}

#[test]
fn bytes_after_the_content_are_refused() {
    let closed = Closed::with(vec![7_u32]);
    for extra in [vec![0], vec![0; 100]] {
        closed.forge(0, &[encode_content(&7_u32).unwrap(), extra].concat());
        assert!(is_mismatch(closed.open::<u32>().read(&closed.ids[0])), "in the content");
        closed.forge(0, &encode_content(&7_u32).unwrap());
    }
    closed.change(0, |record| record.push(0));
    assert!(is_damaged(closed.open::<u32>().read(&closed.ids[0])), "behind the checksum");
}

#[test]
fn a_record_moved_under_another_key_is_damaged_there() {
    let closed = Closed::with(vec![String::from("of ann"), String::from("of bob")]);
    let moved = closed.record(0);
    closed.write(1, &moved);
    let store = closed.open::<String>();
    assert!(is_damaged(store.read(&closed.ids[1])));
    assert!(is_damaged(store.read_and_extend(&closed.ids[1])));
    assert!(is_damaged(store.modify(&closed.ids[1], |_| ())));
    assert_eq!(store.read(&closed.ids[0]).unwrap().unwrap().content(), "of ann");
}

/// A list whose nesting is as deep as the list is long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

#[test]
fn nesting_without_end_is_refused_on_a_small_stack() {
    let closed = Closed::with(vec![Chain(None)]);
    // A 1 means that one more is inside; a hundred thousand of them, and never a 0.
    closed.forge(0, &[1; 100_000]);
    let small = thread::Builder::new().stack_size(256 * 1024);
    thread::scope(|scope| {
        let asked = small.spawn_scoped(scope, || {
            let store = closed.open::<Chain>();
            assert!(is_mismatch(store.read(&closed.ids[0])));
            assert!(is_mismatch(store.read_and_extend(&closed.ids[0])));
            assert!(is_mismatch(store.modify(&closed.ids[0], |_| ())));
            assert!(is_mismatch(store.for_each(|_, _| ())));
            assert_eq!(store.sessions_of("ann").unwrap().len(), 1, "its content is not looked at");
            assert!(store.destroy(&closed.ids[0]).unwrap());
        });
        asked.unwrap().join().unwrap();
    });
}

#[test]
fn a_billion_elements_of_no_bytes_are_refused() {
    let closed = Closed::with(vec![vec![()]]);
    closed.forge(0, &[252, 0x00, 0xCA, 0x9A, 0x3B]);
    assert!(is_mismatch(closed.open::<Vec<()>>().read(&closed.ids[0])));
}

#[test]
fn bad_records_stop_neither_a_listing_nor_a_sweep() {
    let closed = Closed::with((0..10).map(|number| format!("content {number}")).collect());
    closed.change(3, |record| record[60] ^= 1);
    closed.change(5, Vec::clear);
    closed.forge(7, &[9]);
    let store = closed.open::<String>();
    assert!(is_damaged(store.read(&closed.ids[3])));
    assert!(is_damaged(store.read(&closed.ids[5])));
    assert!(is_mismatch(store.read(&closed.ids[7])));

    let mut visited = Vec::new();
    let listed = store.for_each(|info, _| visited.push(info.key()));
    assert!(is_damaged(listed) || is_mismatch(store.for_each(|_, _| ())), "one is reported");
    let mut sound: Vec<_> = [0, 1, 2, 4, 6, 8, 9].map(|number| closed.key(number)).into();
    sound.sort_unstable();
    assert_eq!(visited, sound);
    // A user's list decodes no content, so it detects only the two damaged records.
    assert_eq!(store.sessions_of("ann").unwrap().len(), 8);
    assert!(store.stats().unwrap().damaged_records >= 2);

    closed.clock.advance(HOUR);
    assert_eq!(store.clean_up_expired().unwrap(), 10, "with the damaged ones");
    assert_eq!(store.len().unwrap(), 0);
    store.close().unwrap();
    let engine = sessile::RedbEngine::open(closed.path()).unwrap();
    assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
}

#[test]
fn a_user_sees_and_ends_sessions_though_the_content_of_one_cannot_be_read() {
    let closed = Closed::with((0..4).map(|number| format!("content {number}")).collect());
    closed.change(1, |record| record[60] ^= 1);
    closed.forge(2, &[9]);
    let store = closed.open::<String>();
    let listed = store.sessions_of_with("ann").unwrap();
    let content_of = |number: usize| {
        let found = listed.iter().find(|session| session.info().key() == closed.key(number));
        found.map(|session| session.content().as_ref())
    };
    assert_eq!(content_of(0).unwrap().unwrap(), "content 0");
    assert!(content_of(1).is_none(), "a damaged record has no times to show");
    assert!(matches!(content_of(2), Some(Err(Error::ContentMismatch { .. }))));
    assert_eq!(content_of(3).unwrap().unwrap(), "content 3");
    for session in &listed {
        assert!(store.destroy_of("ann", &session.info().key()).unwrap());
    }
    assert!(store.sessions_of_with("ann").unwrap().is_empty());
}

#[test]
fn a_session_that_cannot_be_read_keeps_no_other_from_a_change() {
    let closed = Closed::with((0..5).map(|number| format!("content {number}")).collect());
    closed.forge(2, &[9]);
    let store = closed.open::<String>();
    let here = store.read(&closed.ids[0]).unwrap().unwrap();
    let changed = store.update_others(&here, |other| *other.content_mut() = "revoked".into());
    assert!(is_mismatch(changed), "it is reported");
    for number in [1, 3, 4] {
        let session = store.read(&closed.ids[number]).unwrap().unwrap();
        assert_eq!(session.content(), "revoked", "{number}");
    }
    assert!(is_mismatch(store.read(&closed.ids[2])));
}

#[test]
fn a_bad_record_can_be_destroyed_by_its_key() {
    let closed = Closed::with(vec![String::from("content")]);
    closed.change(0, |record| record[0] = 9);
    let store = closed.open::<String>();
    assert!(is_damaged(store.read(&closed.ids[0])));
    store.destroy_key(&closed.key(0)).unwrap();
    assert!(store.read(&closed.ids[0]).unwrap().is_none());
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn content_of_every_size_up_to_the_limit_comes_back_whole() {
    // Around every change of the length of the prefix, of redb's pages, and of the size classes.
    let edges = [250, 251, 4_096, 65_535, 65_536, 1 << 20, 16 << 20];
    let sizes: Vec<usize> = edges
        .into_iter()
        .flat_map(|edge: usize| [edge - 6, edge - 5, edge - 1, edge, edge + 1])
        .chain(0..8)
        .filter(|size| encoded_len(*size) <= 16 << 20)
        .collect();
    let closed = Closed::with(sizes.iter().map(|size| filled(*size)).collect::<Vec<_>>());
    let store = closed.open::<String>();
    for (id, size) in closed.ids.iter().zip(&sizes) {
        assert!(*store.read(id).unwrap().unwrap().content() == filled(*size), "{size} bytes");
    }
    let largest = filled((16 << 20) - 5);
    assert_eq!(encoded_len(largest.len()), 16 << 20, "the limit itself");
    assert!(matches!(store.create(largest + "x"), Err(Error::TooLarge { .. })));
}

/// A string's length prefix comes before it.
fn encoded_len(size: usize) -> usize {
    size + match size {
        0..=250 => 1,
        251..=65_535 => 3,
        _ => 5,
    }
}

fn filled(size: usize) -> String {
    (0..size).map(|at| char::from(b'a' + (at % 26) as u8)).collect()
}

#[test]
fn content_of_another_type_is_never_a_wrong_value() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        name: String,
        flags: [bool; 3],
    }
    let closed = Closed::with(vec![String::from("a text of some length")]);
    assert!(is_mismatch(closed.open::<Other>().read(&closed.ids[0])));
    assert!(is_mismatch(closed.open::<Vec<String>>().read(&closed.ids[0])));
    assert!(is_mismatch(closed.open::<u64>().read(&closed.ids[0])));
    let text = closed.open::<String>().read(&closed.ids[0]).unwrap().unwrap();
    assert_eq!(text.content(), "a text of some length", "it is left as it was");
}
