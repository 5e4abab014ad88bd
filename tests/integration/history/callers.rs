//! Real threads on one session, which record histories for the checker.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use sessile::testing::EngineFixture;
use sessile::{Error, Session, SessionByKey, SessionId, SessionStore};

use super::{Answer, Call, Event, IdNumber, What, is_linearizable};
use crate::child::{self, Numbers};
use crate::fixtures::on_every_engine;

on_every_engine! {
    concurrent_operations_on_one_session_are_linearizable
}

/// Four threads make a few calls each on one session, which changes its id until one of them ends
/// it.
fn concurrent_operations_on_one_session_are_linearizable<F: EngineFixture>() {
    const THREADS: u64 = 4;
    const CALLS: u64 = 6;
    let fixture = F::new();
    let builder = SessionStore::<u64>::builder().engine(fixture.open());
    let store = builder.manual_maintenance().build().unwrap();
    let rounds = child::number("SESSILE_HISTORIES", 60);
    let mut seen = [0; 3];
    for round in 0..rounds {
        let session = store.create_for_user("ann", 0).unwrap();
        let (ticks, start) = (AtomicU64::new(0), Barrier::new(THREADS as usize));
        let ids = Mutex::new(vec![session.id().clone()]);
        let events: Vec<Event> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (ticks, start) = (&ticks, &start);
                    let mut caller = Caller {
                        store: &store,
                        ids: &ids,
                        id: 0,
                        handle: session.clone(),
                        numbers: Numbers(round * THREADS + thread),
                    };
                    scope.spawn(move || {
                        start.wait();
                        let call = |number: u64| {
                            let new = 1 + thread * 100 + number;
                            let began = ticks.fetch_add(1, Ordering::SeqCst);
                            let call = caller.call(new, number + 2 > CALLS);
                            let ended = ticks.fetch_add(1, Ordering::SeqCst);
                            caller.look_around();
                            Event { began, ended, call }
                        };
                        (0..CALLS).map(call).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(is_linearizable(&events, Some((0, 0))), "no order explains {events:#?}");
        for event in &events {
            match event.call.what {
                What::Regenerate { answer: Answer::Saved, .. } => seen[0] += 1,
                What::Update { answer: Answer::Conflict, .. } => seen[1] += 1,
                What::Destroy(true) | What::DestroyAll(1) => seen[2] += 1,
                _ => {}
            }
        }
        store.destroy_all_of("ann").unwrap();
    }
    assert!(seen.iter().all(|times| *times > 0), "moves, conflicts, ends: {seen:?}");
}

/// A thread that uses one session.
struct Caller<'a> {
    store: &'a SessionStore<u64>,
    /// Every id that the session has had.
    ids: &'a Mutex<Vec<SessionId>>,
    /// The id that this thread uses; perhaps not the latest.
    id: IdNumber,
    handle: Session<u64>,
    numbers: Numbers,
}

impl Caller<'_> {
    /// Makes one call, which stores `new` if it saves.
    fn call(&mut self, new: u64, may_end_it: bool) -> Call {
        let (store, id) = (self.store, self.handle.id().clone());
        let what = match self.numbers.below(16) {
            0..3 => self.save(new, false),
            3..5 => {
                let modified = store.modify(&id, |session| *session.content_mut() = new).unwrap();
                What::Modify { new, found: modified.is_some() }
            }
            5 => What::Extend(store.extend_lifetime(&id).unwrap()),
            6 | 7 => {
                let called = Call { id: self.id, what: self.save(new, true) };
                if let What::Regenerate { new_id, answer: Answer::Saved, .. } = called.what {
                    self.id = new_id;
                }
                return called;
            }
            8 if may_end_it => What::Destroy(store.destroy(&id).unwrap()),
            10 if may_end_it => What::Destroy(store.destroy_of("ann", &id.key()).unwrap()),
            11 => {
                let change = |session: &mut SessionByKey<u64>| *session.content_mut() = new;
                let modified = store.modify_key(&id.key(), change).unwrap();
                What::Modify { new, found: modified.is_some() }
            }
            12 => {
                let read = store.read_key(&id.key()).unwrap();
                What::Read(read.map(SessionByKey::into_content))
            }
            13 => {
                let mut listed = store.sessions_of_with("ann").unwrap().into_iter();
                let found = listed.find(|session| session.info().key() == id.key());
                What::Read(found.map(|session| session.into_content().unwrap()))
            }
            9 if may_end_it => What::DestroyAll(store.destroy_all_of("ann").unwrap()),
            other => {
                let read = match other % 2 {
                    0 => store.read(&id).unwrap(),
                    _ => store.read_and_extend(&id).unwrap(),
                };
                self.handle = read.clone().unwrap_or(self.handle.clone());
                What::Read(read.map(Session::into_content))
            }
        };
        Call { id: self.id, what }
    }

    /// Saves through the handle, which stays unchanged if the save is refused.
    fn save(&mut self, new: u64, under_new_id: bool) -> What {
        let base = *self.handle.content();
        *self.handle.content_mut() = new;
        let saved = match under_new_id {
            true => self.store.regenerate_id(&mut self.handle),
            false => self.store.update(&mut self.handle),
        };
        let answer = match saved {
            Ok(()) => Answer::Saved,
            Err(Error::Conflict { .. }) => Answer::Conflict,
            Err(Error::Gone { .. }) => Answer::Gone,
            Err(other) => panic!("{other}"),
        };
        if answer != Answer::Saved {
            *self.handle.content_mut() = base;
        }
        if !under_new_id {
            return What::Update { base, new, answer };
        }
        let mut ids = self.ids.lock().unwrap();
        let new_id = ids.len() as IdNumber;
        if answer == Answer::Saved {
            ids.push(self.handle.id().clone());
        }
        What::Regenerate { base, new, new_id, answer }
    }

    /// Reads the latest id now and then, as a browser gets a new cookie.
    fn look_around(&mut self) {
        let (number, id) = {
            let ids = self.ids.lock().unwrap();
            (ids.len() - 1, ids[ids.len() - 1].clone())
        };
        if self.numbers.below(2) == 0
            && let Some(session) = self.store.read(&id).unwrap()
        {
            (self.id, self.handle) = (number as IdNumber, session);
        }
    }
}
