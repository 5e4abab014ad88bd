//! Tests each side against a small model: a stored session is read, an unknown id has no session,
//! expired and destroyed sessions are absent, and a sweep reports the right number.

use std::path::PathBuf;

use crate::contender::{Contender, Kind};
use crate::session::{self, ABSOLUTE, CONTENT_BYTES, Content, INACTIVITY, Id, Outcome, Times};

/// A directory of one test, removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(kind: Kind, test: &str) -> Self {
        let name = format!("sessile-peers-{test}-{}-{}", kind.word(), std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn follows_the_model(store: &dyn Contender) -> Outcome<()> {
    let population = store.populate(100, 50, 20)?;
    assert_eq!((population.live.len(), population.expired.len()), (50, 20));
    for (index, id) in (100..).zip(&population.live) {
        assert_eq!(store.read(id)?, Some(Content::of(index, 0)));
    }
    for id in &population.expired {
        assert_eq!(store.read(id)?, None);
        assert!(!store.extend(id)?);
        assert_eq!(store.read_and_extend(id)?, None);
        assert!(!store.update(id, &Content::of(1, 1))?);
    }
    let unknown = store.draw_unknown()?;
    assert_eq!(store.read(&unknown)?, None);
    assert!(!store.extend(&unknown)?);
    assert!(!store.update(&unknown, &Content::of(1, 1))?);

    let created = store.create(&Content::of(7, 3))?;
    assert_eq!(store.read(&created)?, Some(Content::of(7, 3)));
    assert!(store.update(&created, &Content::of(7, 4))?);
    assert_eq!(store.read_and_extend(&created)?, Some(Content::of(7, 4)));
    assert!(store.extend(&created)?);
    assert_eq!(store.read(&created)?, Some(Content::of(7, 4)));
    assert!(store.destroy(&created)?);
    assert_eq!(store.read(&created)?, None);
    assert!(!store.extend(&created)?);

    assert!(store.extend(&population.live[0])?);
    assert_eq!(store.delete_expired()?, 20);
    assert_eq!(store.delete_expired()?, 0);
    for (index, id) in (100..).zip(&population.live) {
        assert_eq!(store.read(id)?, Some(Content::of(index, 0)));
    }
    assert_eq!(store.populate(1000, 0, 5)?.expired.len(), 5);
    assert_eq!(store.delete_expired()?, 5);
    Ok(())
}

/// Creates sessions on several threads at once, closes and opens the store, and reads all of them.
fn keeps_what_threads_create(kind: Kind, test: &str) -> Outcome<()> {
    let scratch = Scratch::new(kind, test);
    let store = kind.open(&scratch.0)?;
    let create_ten = &|thread: u64| -> Outcome<Vec<(u64, Id)>> {
        let numbers = thread * 10..thread * 10 + 10;
        numbers.map(|index| Ok((index, store.create(&Content::of(index, 0))?))).collect()
    };
    let mut created = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || create_ten(thread))).collect();
        for thread in threads {
            created.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Outcome::Ok(())
    })?;
    assert_eq!(created.len(), 40);
    let store = if kind == Kind::Memory {
        store
    } else {
        store.close()?;
        kind.open(&scratch.0)?
    };
    for (index, id) in created {
        assert_eq!(store.read(&id)?, Some(Content::of(index, 0)));
    }
    Ok(())
}

fn check(kind: Kind) -> Outcome<()> {
    let scratch = Scratch::new(kind, "model");
    let store = kind.open(&scratch.0)?;
    follows_the_model(store.as_ref())?;
    drop(store);
    keeps_what_threads_create(kind, "threads")
}

#[test]
fn ours() -> Outcome<()> {
    check(Kind::Ours)
}

#[test]
fn ours_deferred() -> Outcome<()> {
    check(Kind::OursDeferred)
}

#[test]
fn ours_in_two_phases() -> Outcome<()> {
    check(Kind::OursTwoPhase)
}

#[test]
fn lmdb() -> Outcome<()> {
    check(Kind::Lmdb)
}

#[test]
fn lmdb_with_a_kept_transaction() -> Outcome<()> {
    check(Kind::LmdbKept)
}

#[test]
fn sqlite() -> Outcome<()> {
    check(Kind::Sqlite)
}

#[test]
fn fjall() -> Outcome<()> {
    check(Kind::Fjall)
}

#[test]
fn plain_redb() -> Outcome<()> {
    check(Kind::PlainRedb)
}

#[test]
fn memory() -> Outcome<()> {
    check(Kind::Memory)
}

#[cfg(feature = "tower")]
#[test]
fn tower() -> Outcome<()> {
    check(Kind::Tower)
}

#[test]
fn floor_keeps_what_it_writes() -> Outcome<()> {
    let scratch = Scratch::new(Kind::Floor, "model");
    let store = Kind::Floor.open(&scratch.0)?;
    let population = store.populate(5, 3, 0)?;
    assert_eq!(store.read(&population.live[2])?, Some(Content::of(7, 0)));
    let created = store.create(&Content::of(9, 1))?;
    assert_eq!(store.read_and_extend(&created)?, Some(Content::of(9, 1)));
    assert!(store.update(&created, &Content::of(9, 2))? && store.extend(&created)?);
    assert_eq!(store.read(&created)?, Some(Content::of(9, 2)));
    assert!(store.destroy(&created)?);
    assert_eq!(store.read(&created)?, None);
    Ok(())
}

#[test]
fn every_content_has_the_same_length() -> Outcome<()> {
    for index in (0..2000).chain([99_999_999]) {
        for revision in [0, 1, 77] {
            let content = Content::of(index, revision);
            let bytes = session::encode_content(&content)?;
            assert_eq!(bytes.len(), CONTENT_BYTES);
            assert_eq!(session::decode_content(&bytes)?, content);
        }
    }
    Ok(())
}

#[test]
fn a_deadline_is_the_nearer_of_the_two_limits() -> Outcome<()> {
    let young = Times { created_at: 1000, last_active: 2000 };
    assert_eq!(young.deadline(), 2000 + INACTIVITY);
    let old = Times { created_at: 1000, last_active: ABSOLUTE };
    assert_eq!(old.deadline(), 1000 + ABSOLUTE);
    let record = session::encode_record(young, &Content::of(1, 0))?;
    assert!(session::extend_record(&record, young.deadline())?.is_none());
    let extended = session::extend_record(&record, young.deadline() - 1)?.ok_or("it still lives")?;
    assert_eq!(extended.old_deadline, young.deadline());
    assert_eq!(extended.new_deadline, young.deadline() - 1 + INACTIVITY);
    Ok(())
}
