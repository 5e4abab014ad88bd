//! A source of random bytes that fails once: whichever draw it is, nothing is made with less.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sessile::testing::{EngineFixture, RandomSource};
use sessile::{Error, Session, SessionOptions, SessionStore, Source};

use crate::fixtures::on_every_engine;

on_every_engine! {
    whichever_draw_fails_no_session_is_made_or_moved_without_it
}

/// Gives other bytes each time; the draw of one number fails, those before and after it do not.
#[derive(Clone, Debug, Default)]
struct FailsOnce {
    draws: Arc<AtomicU64>,
    fails_at: Arc<AtomicU64>,
}

impl FailsOnce {
    /// Makes the draw fail that comes after so many others.
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

/// Makes the first draw of a call fail, then the second, until a call needs no more of them; and
/// returns how many of them there are.
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
