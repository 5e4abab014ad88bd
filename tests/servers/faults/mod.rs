//! A network that fails at every byte of every operation, in each way; the stored state is compared
//! with the answer.
//!
//! The rule: `Ok` means that the operation took effect once.
//! [`Error::OutcomeUnknown`](sessile::Error::OutcomeUnknown) means that it took effect or did not.
//! Any other error means that nothing changed. And each call ends in time.

mod answers;
mod bench;
mod connections;
mod operations;
#[cfg(feature = "tls")]
mod secured;

use sessile::engine::{Engine, Moment, Record, Timestamp, UserKey};
use sessile::{SessionKey, SessionStore, Timeouts, UserId};

pub(crate) use self::answers::*;
pub(crate) use self::connections::*;
#[cfg(feature = "tls")]
pub(crate) use self::secured::*;

macro_rules! tests {
    ($place:ty) => {
        crate::each! { faults, $place;
            a_connection_that_is_cut_at_any_byte_leaves_nothing_half_done
            an_answer_that_never_comes_ends_in_time_and_leaves_nothing_half_done
            an_answer_that_comes_late_is_not_taken_for_another
            an_insert_that_comes_late_brings_no_ended_session_back
            a_save_without_an_answer_that_another_one_followed_was_not_refused
            a_store_whose_making_was_broken_off_is_made_whole
            a_server_that_is_not_there_is_unavailable_and_used_again_once_it_is
            connections_that_ended_while_nobody_used_them_are_not_noticed
            no_more_connections_than_allowed_are_opened
            who_finds_every_connection_in_use_is_told_so_and_served_afterwards
            a_wrong_url_is_an_error_that_shows_no_password
        }
    };
}
pub(crate) use tests;

fn moment(now: u64) -> Moment {
    let timeouts = Timeouts::from_seconds(1_000, 10_000).unwrap();
    Moment { now: Timestamp::from_millis(now), timeouts }
}

fn key(number: u8) -> SessionKey {
    SessionKey::from_bytes([number; 16])
}

fn user(name: &str) -> UserKey {
    // A user key is only available from a record.
    sample(1, name).user().unwrap()
}

/// A record as a store writes it.
fn sample(number: u32, name: &str) -> Record {
    let engine = std::sync::Arc::new(sessile::engine::MemoryEngine::new());
    let clock = sessile::testing::ManualClock::new();
    clock.set_millis(5_000);
    let store: SessionStore<u32> = SessionStore::builder()
        .engine(engine.clone())
        .clock(clock)
        .manual_maintenance()
        .build()
        .unwrap();
    let session = store.create_for_user(UserId::from(name), number).unwrap();
    engine.load(&session.key(), Moment::BEGINNING).unwrap().unwrap()
}

/// Retries a call that has little time, for loaded machines.
fn in_the_end<T>(mut call: impl FnMut() -> sessile::Result<T>) -> T {
    for _ in 0..50 {
        if let Ok(done) = call() {
            return done;
        }
    }
    call().unwrap()
}
