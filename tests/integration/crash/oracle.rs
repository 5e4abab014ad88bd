//! The rows that must be stored, and their comparison with the found sessions.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sessile::{Result, SessionKey, SessionStore, UserId};

pub(super) type Millis = u64;

pub(super) const START: Millis = 1_000_000;
pub(super) const INACTIVITY: Millis = 1_000;
pub(super) const ABSOLUTE: Millis = 10_000;

/// A tag that is unique to a write, and a length and filling that follow from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) tag: u32,
    filling: String,
}

impl Content {
    pub(super) fn new(tag: u32) -> Self {
        Self { tag, filling: Self::filling(tag) }
    }

    /// Mostly small; sometimes one that makes the file grow.
    fn len(tag: u32) -> usize {
        match tag % 16 {
            3 => 20_000,
            7 => 3_000,
            other => other as usize * 9,
        }
    }

    fn filling(tag: u32) -> String {
        ["a", "b", "c", "d", "e", "f", "g"][tag as usize % 7].repeat(Self::len(tag))
    }

    fn is_whole(&self) -> bool {
        self.filling == Self::filling(self.tag)
    }
}

/// A session as it must be stored, expired or not.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `None` if the creating call failed half way and returned no key.
    pub(super) key: Option<SessionKey>,
    pub(super) user: Option<u8>,
    pub(super) tag: u32,
    pub(super) created_at: Millis,
    pub(super) last_active: Millis,
    /// The touch that must survive a crash; later ones may.
    pub(super) durable_touch: Millis,
    pub(super) inactivity: Millis,
}

impl Row {
    pub(super) fn deadline(&self) -> Millis {
        (self.last_active + self.inactivity).min(self.created_at + ABSOLUTE)
    }
}

/// A found session.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: SessionKey,
    user: Option<UserId>,
    created_at: Millis,
    pub(super) last_active: Millis,
    expires_at: Millis,
}

/// Everything that is stored, by its tag.
pub(super) fn look(store: &SessionStore<Content>) -> Result<HashMap<u32, Found>> {
    let mut found = HashMap::new();
    let visited = store.for_each(|info, content| {
        assert!(content.is_whole(), "the content with tag {} is torn", content.tag);
        let session = Found {
            key: info.key(),
            user: info.user().cloned(),
            created_at: millis(info.created_at()),
            last_active: millis(info.last_active()),
            expires_at: millis(info.expires_at()),
        };
        let twice = found.insert(content.tag, session);
        assert!(twice.is_none(), "tag {} is stored twice", content.tag);
    })?;
    assert_eq!(visited, found.len() as u64);
    Ok(found)
}

/// Which touches must be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Touches {
    /// All of them, because no crash came between.
    All,
    /// The durable ones.
    Durable,
}

/// The disagreement, if any. Sessions in `may_be_there` may be missing.
pub(super) fn disagreement(
    found: &HashMap<u32, Found>,
    rows: &[Row],
    may_be_there: &[Row],
    touches: Touches,
) -> Option<String> {
    let mut expected = 0;
    for row in rows.iter().chain(may_be_there) {
        match found.get(&row.tag) {
            Some(found) => {
                expected += 1;
                if let Some(what) = difference(row, found, touches) {
                    return Some(format!("{what}: {found:?} for {row:?}"));
                }
            }
            None if may_be_there.iter().any(|other| other.tag == row.tag) => {}
            None => return Some(format!("not there: {row:?}")),
        }
    }
    (expected != found.len()).then(|| {
        let known = |tag: &u32| rows.iter().chain(may_be_there).any(|row| row.tag == *tag);
        let more: Vec<_> = found.keys().filter(|tag| !known(tag)).collect();
        format!("there, and should not be: tags {more:?}")
    })
}

fn difference(row: &Row, found: &Found, touches: Touches) -> Option<&'static str> {
    let oldest = match touches {
        Touches::All => row.last_active,
        Touches::Durable => row.durable_touch,
    };
    let deadline = (found.last_active + row.inactivity).min(row.created_at + ABSOLUTE);
    if row.key.is_some_and(|key| key != found.key) {
        Some("under another key")
    } else if row.user.map(UserId::from) != found.user {
        Some("another user")
    } else if row.created_at != found.created_at {
        Some("another time of creation")
    } else if found.last_active < oldest {
        Some("a lost touch")
    } else if found.last_active > row.last_active || found.expires_at != deadline {
        Some("a later deadline")
    } else {
        None
    }
}

fn millis(time: SystemTime) -> Millis {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis() as Millis
}
