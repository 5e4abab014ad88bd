//! A random source that fails once: whichever draw fails, nothing is created with fewer random
//! bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sessile::engine::{Engine, Insert, Limits, MemoryEngine, Moment, Record};
use sessile::testing::{EngineFixture, RandomSource};
use sessile::{Error, Session, SessionKey, SessionOptions, SessionStore, Source};

use crate::fixtures::on_every_engine;

on_every_engine! {
    whichever_draw_fails_no_session_is_made_or_moved_without_it
}

/// Returns other bytes each time. The draw of one number fails, the others succeed.
#[derive(Clone, Debug, Default)]
struct FailsOnce {
    draws: Arc<AtomicU64>,
    fails_at: Arc<AtomicU64>,
}

impl FailsOnce {
    /// Makes the draw after so many others fail.
    fn fail_after(&self, draws: u64) {
        self.fails_at.store(self.draws.load(Ordering::SeqCst) + draws, Ordering::SeqCst);
    }

    fn has_struck(&self) -> bool {
        self.draws.load(Ordering::SeqCst) > self.fails_at.load(Ordering::SeqCst)
    }
}

impl RandomSource for FailsOnce {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Source> {
        let draw = self.draws.fetch_add(1, Ordering::SeqCst);
        if draw == self.fails_at.load(Ordering::SeqCst) {
            return Err(Arc::new(io::Error::other("no entropy")));
        }
        bytes.fill(draw as u8);
        Ok(())
    }
}

/// Makes the first draw of a call fail, then the second, and so on, until the call succeeds;
/// returns the number of its draws.
fn at_each_draw<T>(
    random: &FailsOnce,
    subject: &mut T,
    call: impl Fn(&mut T) -> sessile::Result<()>,
    assert_unchanged: impl Fn(&T),
) -> u64 {
    for draw in 0.. {
        random.fail_after(draw);
        let result = call(subject);
        if !random.has_struck() {
            random.fails_at.store(u64::MAX, Ordering::SeqCst);
            result.unwrap();
            return draw;
        }
        assert!(matches!(result, Err(Error::Generator { .. })), "draw {draw}: {result:?}");
        assert_unchanged(subject);
    }
    unreachable!()
}

fn token_of(session: &Session<u64>) -> String {
    session.csrf_token().unwrap().encode()
}

fn whichever_draw_fails_no_session_is_made_or_moved_without_it<F: EngineFixture>() {
    let (fixture, random) = (F::new(), FailsOnce::default());
    let store: SessionStore<u64> = SessionStore::builder()
        .engine(fixture.open())
        .random_source(random.clone())
        .manual_maintenance()
        .build()
        .unwrap();
    let options = SessionOptions::new().user("ann").csrf_token();
    let create = |made: &mut Option<_>| {
        *made = Some(store.create_with(1, &options)?);
        Ok(())
    };
    let mut made = None;
    let draws = at_each_draw(&random, &mut made, create, |_| assert!(store.is_empty().unwrap()));
    assert_eq!((draws, store.len().unwrap()), (2, 1), "a token and an id");

    let mut session = made.unwrap();
    let before = session.clone();
    let same = |session: &Session<u64>| {
        assert_eq!((session.id(), token_of(session)), (before.id(), token_of(&before)));
    };
    let regenerate = |session: &mut Session<u64>| store.regenerate_id(session);
    let draws = at_each_draw(&random, &mut session, regenerate, |session| {
        same(session);
        same(&store.read(before.id()).unwrap().unwrap());
        assert_eq!(store.len().unwrap(), 1);
    });
    assert_eq!(draws, 2, "a token and an id");
    assert_ne!(token_of(&session), token_of(&before));
    assert!(store.read(before.id()).unwrap().is_none());
    assert!(store.read(session.id()).unwrap().is_some());
}

/// An engine on a server that carries no insert out, and says nothing.
#[derive(Debug, Default)]
struct Unanswering {
    inner: MemoryEngine,
    inserts: AtomicU64,
}

impl Engine for Unanswering {
    fn insert(&self, _: &SessionKey, _: Record, _: Moment, _: Limits) -> sessile::Result<Insert> {
        self.inserts.fetch_add(1, Ordering::SeqCst);
        Ok(Insert::Occupied)
    }

    sessile::forward_engine!(inner, but insert);
}

#[test]
fn a_creation_that_a_server_does_not_answer_is_no_fault_of_the_generator() {
    let engine = Arc::new(Unanswering::default());
    let builder = SessionStore::<u32>::builder().engine(engine.clone()).manual_maintenance();
    let created = builder.build().unwrap().create(1);
    assert!(matches!(created, Err(Error::OutcomeUnknown { .. })), "{created:?}");
    assert_eq!(engine.inserts.load(Ordering::SeqCst), 2, "each may take the whole time of a call");
}
