//! A session of this race: its id, its typed content, its deadline, and the record of them.
//!
//! Every side stores the same content under the same kind of id and applies the same two timeouts,
//! so that the race compares only the ways of storing sessions.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sessile::SessionId;
use sha2::{Digest, Sha256};

/// The error type of the race: any error ends the run with its text.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// The result of every step of the race.
pub type Outcome<T> = Result<T, Failure>;
/// The client's id. The crate's type for ids hides its bytes, so each side gets its ids back in the
/// type that it gave out, and converts none in a timed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    Raw([u8; 16]),
    Ours(SessionId),
}

impl Default for Id {
    fn default() -> Self {
        Self::Raw([0; 16])
    }
}

impl Id {
    /// The id as a text without spaces.
    pub fn encode(&self) -> String {
        match self {
            Self::Raw(bytes) => format!("{:032x}", u128::from_be_bytes(*bytes)),
            Self::Ours(id) => id.encode(),
        }
    }

    /// The id that [`encode`](Self::encode) wrote.
    pub fn parse(word: &str) -> Outcome<Self> {
        Ok(match word.len() {
            32 => Self::Raw(u128::from_str_radix(word, 16)?.to_be_bytes()),
            _ => Self::Ours(SessionId::parse(word)?),
        })
    }
}

/// The key, which the store keeps instead of the id.
pub type Key = [u8; 16];

/// A session ends after this long without use, in milliseconds.
pub const INACTIVITY: u64 = 24 * 60 * 60 * 1000;
/// A session ends this long after its creation, in milliseconds.
pub const ABSOLUTE: u64 = 30 * 24 * 60 * 60 * 1000;
/// The encoded length of every content.
pub const CONTENT_BYTES: usize = 256;
/// The least bytes of one session: its key, its two times and its content.
pub const RECORD_BYTES: usize = 16 + TIMES_BYTES + CONTENT_BYTES;

const TIMES_BYTES: usize = 16;

/// The content of one session, as an application would declare it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub user: u64,
    pub revision: u64,
    pub name: String,
    pub email: String,
    pub request_token: String,
    pub roles: Vec<String>,
    pub cart: Vec<CartLine>,
    pub last_page: String,
    pub locale: String,
    pub dark: bool,
}

/// One line of the shopping cart in a session's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    pub article: u64,
    pub count: u8,
}

impl Content {
    /// The content that belongs to session number `index` after `revision` updates.
    pub fn of(index: u64, revision: u64) -> Self {
        let mut random = Random::new(index ^ (revision << 48));
        // Numbers above 2^40 all encode to nine bytes, so every content has the same length.
        let wide = |number: u64| (1 << 40) | number;
        Self {
            user: wide(index),
            revision: wide(revision),
            name: random.letters(24),
            email: random.letters(40),
            request_token: random.letters(43),
            roles: (0..3).map(|_| random.letters(8)).collect(),
            cart: (0..4u8).map(|count| CartLine { article: wide(random.next() >> 32), count }).collect(),
            last_page: random.letters(51),
            locale: random.letters(5),
            dark: index.is_multiple_of(2),
        }
    }

    /// How many updates this content has had.
    pub fn revision(&self) -> u64 {
        self.revision & ((1 << 40) - 1)
    }
}

/// The two times, in milliseconds since 1970, that give a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub created_at: u64,
    pub last_active: u64,
}

impl Times {
    pub fn starting(now: u64) -> Self {
        Self { created_at: now, last_active: now }
    }

    /// The first moment at which the session is absent.
    pub fn deadline(self) -> u64 {
        (self.last_active + INACTIVITY).min(self.created_at + ABSOLUTE)
    }
}

/// The real clock, read for every operation.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The key of a session: the first half of its id's SHA-256.
pub fn key_of(id: &Id) -> Key {
    let digest: [u8; 32] = match id {
        Id::Raw(bytes) => Sha256::digest(bytes).into(),
        Id::Ours(id) => return *id.key().as_bytes(),
    };
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

/// An unguessable id from the operating system's generator, as a store must draw it.
pub fn draw_id() -> Outcome<Id> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    Ok(Id::Raw(id))
}

/// A content as bytes, in the format that all sides but tower-sessions use.
pub fn encode_content(content: &Content) -> Outcome<Vec<u8>> {
    Ok(bincode::serde::encode_to_vec(content, bincode::config::standard())?)
}

/// The content that [`encode_content`] wrote.
pub fn decode_content(bytes: &[u8]) -> Outcome<Content> {
    Ok(bincode::serde::decode_from_slice(bytes, bincode::config::standard())?.0)
}

/// A whole record: the two times, then the content.
pub fn encode_record(times: Times, content: &Content) -> Outcome<Vec<u8>> {
    let mut record = Vec::with_capacity(TIMES_BYTES + CONTENT_BYTES);
    record.extend_from_slice(&times.created_at.to_le_bytes());
    record.extend_from_slice(&times.last_active.to_le_bytes());
    record.extend_from_slice(&encode_content(content)?);
    Ok(record)
}

/// Splits a record into its times and the bytes of its content.
pub fn open_record(record: &[u8]) -> Outcome<(Times, &[u8])> {
    let (created_at, rest) = record.split_first_chunk::<8>().ok_or("a record is cut short")?;
    let (last_active, content) = rest.split_first_chunk::<8>().ok_or("a record is cut short")?;
    let times =
        Times { created_at: u64::from_le_bytes(*created_at), last_active: u64::from_le_bytes(*last_active) };
    Ok((times, content))
}

/// The content of a record, or nothing if its deadline has passed.
pub fn read_record(record: &[u8]) -> Outcome<Option<Content>> {
    let (times, content) = open_record(record)?;
    if times.deadline() <= now() {
        return Ok(None);
    }
    decode_content(content).map(Some)
}

/// The record after a use at `now`, or nothing if its deadline has passed.
pub fn extend_record(record: &[u8], now: u64) -> Outcome<Option<Extended>> {
    let (before, content) = open_record(record)?;
    if before.deadline() <= now {
        return Ok(None);
    }
    let after = Times { created_at: before.created_at, last_active: now };
    let mut record = Vec::with_capacity(TIMES_BYTES + content.len());
    record.extend_from_slice(&after.created_at.to_le_bytes());
    record.extend_from_slice(&after.last_active.to_le_bytes());
    record.extend_from_slice(content);
    Ok(Some(Extended { old_deadline: before.deadline(), new_deadline: after.deadline(), record }))
}

/// The record with other content, or nothing if its deadline has passed.
pub fn update_record(record: &[u8], content: &Content) -> Outcome<Option<Vec<u8>>> {
    let (times, _) = open_record(record)?;
    if times.deadline() <= now() {
        return Ok(None);
    }
    encode_record(times, content).map(Some)
}

/// An extended record, with its old and its new deadline for the index of deadlines.
pub struct Extended {
    pub old_deadline: u64,
    pub new_deadline: u64,
    pub record: Vec<u8>,
}

/// One session of a side's population.
pub struct Planned {
    pub id: Id,
    pub key: Key,
    pub expired: bool,
    pub times: Times,
    pub content: Content,
}

/// Session number `index` of a population; if `expired` is set, its deadline has passed.
pub fn plan(index: u64, expired: bool) -> Planned {
    let mut random = Random::new(index ^ 0x5e55_1013_5e55_1013);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next().to_le_bytes());
    let id = Id::Raw(bytes);
    // The last uses are spread over half a day, so that deadlines are ordered as in practice.
    let age = random.next() % (INACTIVITY / 2) + if expired { INACTIVITY } else { 0 };
    let times = Times::starting(now() - age - 1);
    Planned { key: key_of(&id), id, expired, times, content: Content::of(index, 0) }
}

/// A small generator (SplitMix64) that gives the same numbers in each run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn letters(&mut self, count: usize) -> String {
        let mut drawn = self.next();
        (0..count)
            .map(|position| {
                if position % 12 == 11 {
                    drawn = self.next();
                }
                let letter = (b'a' + (drawn % 26) as u8) as char;
                drawn /= 26;
                letter
            })
            .collect()
    }
}
