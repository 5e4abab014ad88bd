//! The guarantees beyond actix-session's trait: final logouts, exact lifetimes, threads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration as Std, SystemTime};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use actix_web::cookie::time::Duration;
use sessile::testing::ManualClock;
use sessile::{Clock, SessionId, SessionStore as Sessile};
use sessile_actix_session::{SessileStore, State};

const HOUR: Duration = Duration::hours(1);

fn state(value: &str) -> State {
    HashMap::from([("user_id".into(), serde_json::to_string(value).unwrap())])
}

fn key(text: &str) -> SessionKey {
    text.to_owned().try_into().unwrap()
}

/// A copy of a key, whose type has no `Clone`.
fn copy(of: &SessionKey) -> SessionKey {
    key(of.as_ref())
}

fn id_of(key: &SessionKey) -> SessionId {
    SessionId::parse(key.as_ref()).unwrap()
}

fn with_clock() -> (SessileStore, ManualClock) {
    let clock = ManualClock::new();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    (SessileStore::new(sessions.in_memory().unwrap()), clock)
}

#[actix_web::test]
async fn what_is_saved_is_loaded_and_what_is_deleted_is_not() {
    let store = SessileStore::in_memory().unwrap();
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), Some(state("ann")));
    let same = store.update(copy(&key), state("bob"), &HOUR).await.unwrap();
    assert_eq!(same, key);
    assert_eq!(store.load(&key).await.unwrap(), Some(state("bob")));
    store.delete(&key).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), None);
    store.delete(&key).await.unwrap();
}

#[actix_web::test]
async fn a_key_that_nobody_gave_out_is_no_session() {
    let store = SessileStore::in_memory().unwrap();
    for unknown in ["AAAAAAAAAAAAAAAAAAAAAA", "", "no id", &"x".repeat(4_064)] {
        let unknown = key(unknown);
        assert_eq!(store.load(&unknown).await.unwrap(), None);
        store.update_ttl(&unknown, &HOUR).await.unwrap();
        store.delete(&unknown).await.unwrap();
    }
    assert!(store.sessions().is_empty().unwrap());
}

#[actix_web::test]
async fn an_update_of_a_session_that_has_ended_is_handled_gracefully() {
    let store = SessileStore::in_memory().unwrap();
    for ended in ["AAAAAAAAAAAAAAAAAAAAAA", "no id"] {
        let new = store.update(key(ended), HashMap::new(), &Duration::seconds(1)).await.unwrap();
        assert_ne!(new, key(ended));
        assert_eq!(store.load(&new).await.unwrap(), Some(State::new()));
    }
}

#[actix_web::test]
async fn an_update_never_brings_back_what_was_deleted() {
    let store = SessileStore::in_memory().unwrap();
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    let in_flight = store.load(&key).await.unwrap().unwrap();
    store.delete(&key).await.unwrap();
    let new = store.update(copy(&key), in_flight, &HOUR).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), None);
    let found = store.load(&new).await.unwrap();
    assert_eq!(found, Some(State::new()), "the new session has no old state");
    store.update_ttl(&key, &HOUR).await.unwrap();
    store.update_ttl(&key, &Duration::hours(2)).await.unwrap();
    assert_eq!(store.load(&key).await.unwrap(), None);
}

/// A clock that ends a session at its second reading. The store reads the clock once in every call,
/// so the session ends after the `read` of an update and before its commit.
#[derive(Clone, Debug, Default)]
struct Ending(Arc<Mutex<Option<(u32, SessileStore, SessionId)>>>);

impl Ending {
    fn at_the_second_reading(&self, store: &SessileStore, id: SessionId) {
        *self.0.lock().unwrap() = Some((2, store.clone(), id));
    }

    fn has_ended_it(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl Clock for Ending {
    fn now(&self) -> SystemTime {
        let due = self.0.lock().unwrap().take_if(|(readings, ..)| {
            *readings -= 1;
            *readings == 0
        });
        if let Some((_, store, id)) = due {
            assert!(store.sessions().destroy(&id).unwrap(), "it was live until now");
        }
        SystemTime::now()
    }
}

#[actix_web::test]
async fn a_session_that_ends_within_an_update_stays_ended() {
    let clock = Ending::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::new(sessions.in_memory().unwrap());
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    clock.at_the_second_reading(&store, id_of(&key));
    let new = store.update(copy(&key), state("bob"), &HOUR).await.unwrap();
    assert!(clock.has_ended_it(), "within the update");
    assert_eq!(store.load(&key).await.unwrap(), None);
    assert_ne!(new, key);
    assert_eq!(store.load(&new).await.unwrap(), Some(State::new()));
}

#[actix_web::test]
async fn a_session_ends_after_its_life_whichever_call_set_it() {
    let (store, clock) = with_clock();
    let key = store.save(state("ann"), &Duration::seconds(60)).await.unwrap();
    let left = || {
        let session = store.sessions().read(&id_of(&key)).unwrap().unwrap();
        let now = SystemTime::UNIX_EPOCH + Std::from_millis(clock.millis());
        session.expires_at().duration_since(now).unwrap().as_millis()
    };
    assert_eq!(left(), 60_000);
    clock.advance(Std::from_secs(10));
    assert_eq!(left(), 50_000);
    store.update_ttl(&key, &Duration::seconds(60)).await.unwrap();
    assert_eq!(left(), 60_000, "touched");
    store.update_ttl(&key, &Duration::days(400)).await.unwrap();
    assert_eq!(left(), 400 * 86_400_000, "longer");
    store.update_ttl(&key, &Duration::seconds(5)).await.unwrap();
    assert_eq!(left(), 5_000, "shorter");
    store.update(copy(&key), state("bob"), &Duration::milliseconds(7)).await.unwrap();
    assert_eq!(left(), 7);
    clock.advance(Std::from_millis(6));
    assert_eq!(store.load(&key).await.unwrap(), Some(state("bob")));
    clock.advance(Std::from_millis(1));
    assert_eq!(store.load(&key).await.unwrap(), None);
}

#[actix_web::test]
async fn a_life_that_is_over_ends_the_session() {
    let store = SessileStore::in_memory().unwrap();
    for over in [Duration::ZERO, Duration::seconds(-1), Duration::MIN] {
        let key = store.save(state("ann"), &over).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), None);
        let key = store.save(state("ann"), &HOUR).await.unwrap();
        store.update(copy(&key), state("ann"), &over).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), None);
        let key = store.save(state("ann"), &HOUR).await.unwrap();
        store.update_ttl(&key, &over).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), None);
    }
    assert!(store.sessions().is_empty().unwrap());
}

#[actix_web::test]
async fn the_same_life_again_costs_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = Sessile::builder().manual_maintenance();
    let store = SessileStore::new(sessions.open(folder.path().join("sessions.redb")).unwrap());
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    let commits = || store.sessions().stats().unwrap().commits;
    let before = commits();
    for _ in 0..100 {
        store.update_ttl(&key, &HOUR).await.unwrap();
    }
    assert_eq!(commits(), before);
    store.update_ttl(&key, &Duration::hours(2)).await.unwrap();
    assert_eq!(commits(), before + 1);
}

#[actix_web::test]
async fn a_session_from_before_with_user_has_no_user_until_its_next_update() {
    let before = SessileStore::in_memory().unwrap();
    let key = before.save(state("ann"), &HOUR).await.unwrap();
    let store = SessileStore::new(before.sessions().clone());
    let store = store.with_user(|state| {
        serde_json::from_str::<String>(state.get("user_id")?).ok().map(Into::into)
    });
    assert_eq!(store.load(&key).await.unwrap(), Some(state("ann")));
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 0);
    store.update(copy(&key), state("ann"), &HOUR).await.unwrap();
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 1);
}

#[actix_web::test]
async fn a_load_is_no_activity_and_an_extension_is() {
    let (store, clock) = with_clock();
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    let last_active = || {
        let session = store.sessions().read(&id_of(&key)).unwrap().unwrap();
        session.last_active()
    };
    let saved = last_active();
    clock.advance(Std::from_secs(60));
    assert!(store.load(&key).await.unwrap().is_some());
    assert_eq!(last_active(), saved);
    store.update_ttl(&key, &HOUR).await.unwrap();
    assert_eq!(last_active(), saved + Std::from_secs(60));
}

#[actix_web::test]
async fn a_session_is_listed_under_the_user_that_its_values_name() {
    let store = SessileStore::in_memory().unwrap().with_user(|state| {
        serde_json::from_str::<String>(state.get("user_id")?).ok().map(Into::into)
    });
    for user in ["ann", r"CORP\ann", "\"ann\""] {
        let key = store.save(State::new(), &HOUR).await.unwrap();
        let count = || store.sessions().sessions_of(user).unwrap().len();
        assert_eq!(count(), 0);
        store.update(copy(&key), state(user), &HOUR).await.unwrap();
        assert_eq!(count(), 1);
        store.update(copy(&key), State::new(), &HOUR).await.unwrap();
        assert_eq!(count(), 0);
        store.save(state(user), &HOUR).await.unwrap();
        assert_eq!(store.sessions().destroy_all_of(user).unwrap(), 1);
        assert_eq!(store.load(&key).await.unwrap(), Some(State::new()));
    }
}

/// A clock that records the threads that read it. The store reads the clock in every call.
#[derive(Clone, Debug, Default)]
struct Noting(Arc<Mutex<Vec<ThreadId>>>);

impl Clock for Noting {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap().push(thread::current().id());
        SystemTime::now()
    }
}

#[actix_web::test]
async fn reads_are_in_place_and_commits_on_another_thread() {
    let clock = Noting::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::new(sessions.in_memory().unwrap());
    let here = thread::current().id();
    let asked = || std::mem::take(&mut *clock.0.lock().unwrap());
    let elsewhere = |asked: Vec<ThreadId>| !asked.is_empty() && !asked.contains(&here);

    asked();
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    assert!(elsewhere(asked()), "save");
    store.update(copy(&key), state("bob"), &HOUR).await.unwrap();
    assert!(elsewhere(asked()), "update");
    store.load(&key).await.unwrap();
    assert!(asked().iter().all(|thread| *thread == here), "load");
    store.update_ttl(&key, &HOUR).await.unwrap();
    assert!(asked().iter().all(|thread| *thread == here), "a touch");
    store.update_ttl(&key, &Duration::hours(2)).await.unwrap();
    assert!(asked().iter().any(|thread| *thread != here), "another life");
    store.delete(&key).await.unwrap();
    assert!(elsewhere(asked()), "delete");
}

#[actix_web::test]
async fn reads_and_touches_on_a_server_are_on_another_thread() {
    let clock = Noting::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::on_server(sessions.in_memory().unwrap());
    let here = thread::current().id();
    let asked = || std::mem::take(&mut *clock.0.lock().unwrap());
    let elsewhere = |asked: Vec<ThreadId>| !asked.is_empty() && !asked.contains(&here);

    let key = store.save(state("ann"), &HOUR).await.unwrap();
    asked();
    assert_eq!(store.load(&key).await.unwrap(), Some(state("ann")));
    assert!(elsewhere(asked()), "load");
    store.update_ttl(&key, &HOUR).await.unwrap();
    assert!(elsewhere(asked()), "a touch");
    store.update_ttl(&key, &Duration::hours(2)).await.unwrap();
    assert!(elsewhere(asked()), "another life");
}

#[actix_web::test]
async fn the_file_has_the_digest_of_a_key_and_not_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = SessileStore::open(&path).unwrap();
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    store.sessions().clone().close().unwrap();
    drop(store);
    let file = std::fs::read(&path).unwrap();
    let holds = |bytes: &[u8]| file.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(id_of(&key).key().as_bytes()), "the digest");
    assert!(!holds(key.as_ref().as_bytes()), "the key");
    let store = SessileStore::open(&path).unwrap();
    assert_eq!(store.load(&key).await.unwrap(), Some(state("ann")));
}

#[actix_web::test]
async fn errors_have_the_kinds_that_actix_session_knows() {
    let store = SessileStore::in_memory().unwrap();
    let key = store.save(state("ann"), &HOUR).await.unwrap();
    let large = state(&"x".repeat(100_000));
    let refused = store.save(large.clone(), &HOUR).await;
    assert!(matches!(refused, Err(SaveError::Serialization(_))));
    let refused = store.update(copy(&key), large, &HOUR).await;
    assert!(matches!(refused, Err(UpdateError::Serialization(_))));
    assert_eq!(store.load(&key).await.unwrap(), Some(state("ann")));

    store.sessions().clone().close().unwrap();
    assert!(matches!(store.load(&key).await, Err(LoadError::Other(_))));
    assert!(matches!(store.save(State::new(), &HOUR).await, Err(SaveError::Other(_))));
    let refused = store.update(copy(&key), State::new(), &HOUR).await;
    assert!(matches!(refused, Err(UpdateError::Other(_))));
    assert!(store.update_ttl(&key, &HOUR).await.is_err());
    assert!(store.delete(&key).await.is_err());
}

#[actix_web::test]
async fn content_that_is_no_state_is_a_deserialization_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let other = Sessile::<u32>::open(&path).unwrap();
    let id = other.create(7).unwrap().id().encode();
    other.close().unwrap();
    let store = SessileStore::new(Sessile::builder().open(&path).unwrap());
    let refused = store.load(&key(&id)).await;
    assert!(matches!(refused, Err(LoadError::Deserialization(_))));
}

#[actix_web::test]
async fn an_update_of_what_cannot_be_read_brings_back_nothing_that_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let other = Sessile::<u32>::open(&path).unwrap();
    let [first, second] = [7, 8].map(|content| other.create(content).unwrap().id().encode());
    other.close().unwrap();
    let clock = Ending::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::new(sessions.open(&path).unwrap());
    let new = store.update(key(&first), state("ann"), &HOUR).await.unwrap();
    assert_eq!(store.load(&new).await.unwrap(), Some(state("ann")));
    assert_eq!(store.load(&key(&first)).await.unwrap(), None);

    // Another request deletes it after the update has read it.
    clock.at_the_second_reading(&store, id_of(&key(&second)));
    let new = store.update(key(&second), state("ann"), &HOUR).await.unwrap();
    assert!(clock.has_ended_it(), "within the update");
    assert_eq!(store.load(&new).await.unwrap(), Some(State::new()));
}

#[actix_web::test]
async fn what_cannot_be_read_ends_with_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let other = Sessile::<u32>::open(&path).unwrap();
    let id = key(&other.create(7).unwrap().id().encode());
    other.close().unwrap();
    let store = SessileStore::new(Sessile::builder().open(&path).unwrap());
    let ends = || store.sessions().list(None, 2).unwrap().first().map(|info| info.expires_at());
    let before = ends();
    store.update_ttl(&id, &Duration::hours(2)).await.unwrap();
    assert_eq!(ends(), before, "it lives no longer");
    store.update_ttl(&id, &Duration::ZERO).await.unwrap();
    assert_eq!(ends(), None);
}

#[test]
fn a_handle_shows_nothing_of_its_sessions() {
    let store = SessileStore::in_memory().unwrap();
    assert_eq!(format!("{store:?}"), "SessileStore { .. }");
}
