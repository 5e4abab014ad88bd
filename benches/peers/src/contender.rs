//! The operations of a side of the race, and the list of all sides.
//!
//! A method returns only when its work is finished. On a side that promises durability, the bytes
//! are then on the disk.

use std::path::Path;

use sessile::Durability;

#[cfg(feature = "tower")]
use crate::contenders::tower;
use crate::contenders::{fjall, floor, lmdb, memory, ours, plain_redb, sqlite};
use crate::session::{self, Content, Id, Outcome, Planned};

/// The least number of sessions that one transaction adds while a side is populated.
const BATCH: u64 = 50_000;

/// The sessions that a side gets before timing starts.
#[derive(Clone, Debug, Default)]
pub struct Population {
    /// The ids of the live sessions, in the order of their numbers.
    pub live: Vec<Id>,
    /// The ids of the sessions whose deadline has passed.
    pub expired: Vec<Id>,
}

/// One way to store sessions. All methods may be called from several threads at once.
pub trait Contender: Send + Sync {
    /// Adds `live` sessions with the contents `Content::of(first, 0)`, `Content::of(first + 1, 0)`
    /// and so on. The count goes on with `expired` more, whose deadline has passed. This call is
    /// never timed, so it may use the fastest way, but it must leave no work for a timed call.
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population>;

    /// The decoded content of a session whose deadline has not passed.
    fn read(&self, id: &Id) -> Outcome<Option<Content>>;

    /// Records a use of the session, which moves its deadline; false if there is no such session.
    fn extend(&self, id: &Id) -> Outcome<bool>;

    /// `read` and `extend` in one step.
    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>>;

    /// An id that no session has.
    fn draw_unknown(&self) -> Outcome<Id> {
        session::draw_id()
    }

    /// Starts a session with a fresh id.
    fn create(&self, content: &Content) -> Outcome<Id>;

    /// Replaces the content and leaves the deadline; false if there is no such session.
    fn update(&self, id: &Id, content: &Content) -> Outcome<bool>;

    /// Ends a session; false if there is no such session.
    fn destroy(&self, id: &Id) -> Outcome<bool>;

    /// Removes all sessions whose deadline has passed, and returns their number.
    fn delete_expired(&self) -> Outcome<u64>;

    /// How much of this side's memory is a cache of its file: the cache's present size if the side
    /// reports it, else the cache's limit. Line m subtracts this from the resident memory, at most
    /// down to 0.
    fn cache_bytes(&self) -> u64 {
        0
    }

    /// Waits until what earlier calls left to background work is written, so that no contest times
    /// the rest of another.
    fn settle(&self) -> Outcome<()> {
        Ok(())
    }

    /// The commits of this side and the operations in them, if the side counts them.
    fn commits(&self) -> Outcome<Option<(u64, u64)>> {
        Ok(None)
    }

    /// Closes the store, as at the normal end of a program.
    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}

/// Plans a population and passes it to `write` in batches, for the sides that take given ids. A
/// batch is as large as everything before it, in the order of the keys. Otherwise ten million
/// sessions would take hours, since each transaction writes most pages again.
pub fn in_batches(
    first: u64,
    live: u64,
    expired: u64,
    mut write: impl FnMut(&[Planned]) -> Outcome<()>,
) -> Outcome<Population> {
    let mut population = Population::default();
    in_order(first, live, expired, |mut batch| {
        for planned in &batch {
            let ids = if planned.expired { &mut population.expired } else { &mut population.live };
            ids.push(planned.id.clone());
        }
        // Unsorted, the first batch fills pages as sessions do that are created one by one.
        if batch.len() as u64 > BATCH {
            batch.sort_unstable_by_key(|planned| planned.key);
        }
        write(&batch)
    })?;
    Ok(population)
}

/// As [`in_batches`], but in the order of the numbers.
pub fn in_order(
    first: u64,
    live: u64,
    expired: u64,
    mut write: impl FnMut(Vec<Planned>) -> Outcome<()>,
) -> Outcome<()> {
    let end = first + live + expired;
    let mut start = first;
    while start < end {
        let stop = end.min(start + BATCH.max(start - first));
        write((start..stop).map(|index| session::plan(index, index >= first + live)).collect())?;
        start = stop;
    }
    Ok(())
}

/// The sides of the race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Ours,
    /// The crate with commits that are on the disk within a second.
    OursDeferred,
    /// The crate with commits in two phases.
    OursTwoPhase,
    /// LMDB with one read transaction for each read.
    Lmdb,
    /// LMDB with one read transaction until the next commit of this process.
    LmdbKept,
    Sqlite,
    Fjall,
    PlainRedb,
    Memory,
    Floor,
    #[cfg(feature = "tower")]
    Tower,
}

impl Kind {
    pub const ALL: &'static [Self] = &[
        Self::Ours,
        Self::OursDeferred,
        Self::OursTwoPhase,
        Self::Lmdb,
        Self::LmdbKept,
        Self::Sqlite,
        Self::Fjall,
        Self::PlainRedb,
        Self::Memory,
        Self::Floor,
        #[cfg(feature = "tower")]
        Self::Tower,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "sessile",
            Self::OursDeferred => "sessile, deferred",
            Self::OursTwoPhase => "sessile, two-phase",
            Self::Lmdb => "LMDB",
            Self::LmdbKept => "LMDB, kept transaction",
            Self::Sqlite => "SQLite",
            Self::Fjall => "fjall",
            Self::PlainRedb => "redb used plainly",
            Self::Memory => "HashMap",
            Self::Floor => "write + fdatasync",
            #[cfg(feature = "tower")]
            Self::Tower => "tower-sessions",
        }
    }

    /// This side's name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursDeferred => "ours-deferred",
            Self::OursTwoPhase => "ours-two-phase",
            Self::Lmdb => "lmdb",
            Self::LmdbKept => "lmdb-kept",
            Self::Sqlite => "sqlite",
            Self::Fjall => "fjall",
            Self::PlainRedb => "redb",
            Self::Memory => "memory",
            Self::Floor => "floor",
            #[cfg(feature = "tower")]
            Self::Tower => "tower",
        }
    }

    pub fn from_word(word: &str) -> Outcome<Self> {
        let known = Self::ALL.iter().copied().find(|kind| kind.word() == word);
        known.ok_or_else(|| format!("there is no side called {word}").into())
    }

    /// Opens this side's store in its own directory, or creates it.
    pub fn open(self, directory: &Path) -> Outcome<Box<dyn Contender>> {
        std::fs::create_dir_all(directory)?;
        Ok(match self {
            Self::Ours => Box::new(ours::Ours::new(directory, Durability::Immediate)),
            Self::OursDeferred => Box::new(ours::Ours::new(directory, ours::DEFERRED)),
            Self::OursTwoPhase => Box::new(ours::Ours::new(directory, Durability::TwoPhase)),
            Self::Lmdb => Box::new(lmdb::Lmdb::open(directory, lmdb::Reading::TransactionPerGet)?),
            Self::LmdbKept => Box::new(lmdb::Lmdb::open(directory, lmdb::Reading::KeptWhileUnchanged)?),
            Self::Sqlite => Box::new(sqlite::Sqlite::open(directory)?),
            Self::Fjall => Box::new(fjall::Fjall::open(directory)?),
            Self::PlainRedb => Box::new(plain_redb::PlainRedb::open(directory)?),
            Self::Memory => Box::new(memory::Memory::default()),
            Self::Floor => Box::new(floor::Floor::open(directory)?),
            #[cfg(feature = "tower")]
            Self::Tower => Box::new(tower::Tower::open(directory)?),
        })
    }
}
