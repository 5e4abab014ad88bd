//! The guarantees beyond tower-sessions' trait: exact expiry, final logouts, threads.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::SystemTime;

use serde_json::{Value, json};
use sessile::testing::ManualClock;
use sessile::{Clock, Json, SessionId, SessionInfo, SessionStore as Sessile, UserId, UserLimit};
use sessile_tower_sessions::{Content, Data, SessileStore};
use time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, ExpiredDeletion};
use tower_sessions::{Expiry, Session, SessionStore};

const HOUR: Duration = Duration::hours(1);

/// This machine's clock, in whole milliseconds.
fn this_machine() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// A store whose clock is not this machine's, as a server's may be.
fn with_clock(millis: u64) -> (SessileStore, ManualClock) {
    let clock = ManualClock::new();
    clock.set_millis(millis);
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    (SessileStore::new(sessions.in_memory().unwrap()), clock)
}

fn record(life: Duration) -> Record {
    let expiry_date = OffsetDateTime::now_utc() + life;
    Record { id: Id::default(), data: Data::default(), expiry_date }
}

fn named(user: &str) -> Data {
    Data::from([("user".into(), user.into())])
}

fn store_by_user() -> SessileStore {
    SessileStore::in_memory().unwrap().with_user(|data| Some(data.get("user")?.as_str()?.into()))
}

#[tokio::test]
async fn a_save_never_brings_back_what_was_deleted() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    let in_flight = store.load(&record.id).await.unwrap().unwrap();
    store.delete(&record.id).await.unwrap();
    store.save(&in_flight).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), None);
    assert!(store.sessions().is_empty().unwrap());
}

#[tokio::test]
async fn a_save_creates_nothing() {
    let store = SessileStore::in_memory().unwrap();
    store.save(&record(Duration::hours(1))).await.unwrap();
    assert!(store.sessions().is_empty().unwrap());
}

#[tokio::test]
async fn a_save_moves_the_end_in_either_direction_whatever_the_stores_clock_shows() {
    const HOURS: u64 = 3_600_000;
    for of_the_store in [this_machine(), this_machine() + 5 * HOURS, this_machine() - 5 * HOURS] {
        let (store, clock) = with_clock(of_the_store);
        let mut record = record(Duration::hours(1));
        store.create(&mut record).await.unwrap();
        let id = SessionId::parse(&record.id.to_string()).unwrap();
        for life in [Duration::days(400), Duration::minutes(10), Duration::weeks(2)] {
            // The session ages; its lifetime counts from the save.
            clock.advance(std::time::Duration::from_secs(60));
            record.expiry_date = OffsetDateTime::now_utc() + life;
            store.save(&record).await.unwrap();
            assert_eq!(store.load(&record.id).await.unwrap(), Some(record.clone()));
            // The store's own deadline, which the sweep uses, is as far away: rounded up to
            // milliseconds, less the time that this test has taken since.
            let expires_at = store.sessions().read(&id).unwrap().unwrap().expires_at();
            let left = OffsetDateTime::from(expires_at) - OffsetDateTime::from(clock.now());
            let most = life + Duration::milliseconds(2);
            assert!((most - Duration::minutes(5)..most).contains(&left), "{life}: {left}");
        }
    }
}

#[tokio::test]
async fn a_cycled_id_of_a_session_that_was_ended_meanwhile_is_a_new_session() {
    let store = Arc::new(SessileStore::in_memory().unwrap());
    let session = Session::new(None, store.clone(), None);
    session.insert("user", "ann").await.unwrap();
    session.save().await.unwrap();
    let id = session.id().unwrap();

    let in_flight = Session::new(Some(id), store.clone(), None);
    in_flight.load().await.unwrap();
    store.delete(&id).await.unwrap();
    in_flight.save().await.unwrap();
    assert!(store.sessions().is_empty().unwrap(), "nothing comes back under its id");

    // As the README says: a handler must not call `cycle_id` unless the user has just logged in.
    in_flight.cycle_id().await.unwrap();
    in_flight.save().await.unwrap();
    assert_eq!(store.load(&id).await.unwrap(), None);
    let new = store.load(&in_flight.id().unwrap()).await.unwrap().unwrap();
    assert_eq!(new.data, named("ann"));
}

#[tokio::test]
async fn an_end_in_the_past_ends_the_session() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    record.expiry_date = OffsetDateTime::now_utc() - Duration::nanoseconds(1);
    store.save(&record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), None);
    // No later save revives it.
    record.expiry_date = OffsetDateTime::now_utc() + Duration::hours(1);
    store.save(&record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), None);
}

/// The record's end is compared with this machine's clock, whatever the store's clock shows.
#[tokio::test]
async fn a_record_whose_end_has_passed_is_not_loaded_while_the_stores_clock_stands_still() {
    let (store, _standing) = with_clock(this_machine());
    let now = OffsetDateTime::now_utc();
    for (ends, is_loaded) in [(now + HOUR, true), (now - Duration::nanoseconds(1), false)] {
        let expires = (ends.unix_timestamp(), ends.nanosecond());
        let content = json!({ "data": named("ann"), "expires": expires });
        let content: Content = serde_json::from_value(content).unwrap();
        let stored = store.sessions().create(Json(content)).unwrap();
        assert!(store.sessions().read(stored.id()).unwrap().is_some(), "stored, and live there");
        let id: Id = stored.id().encode().parse().unwrap();
        assert_eq!(store.load(&id).await.unwrap().is_some(), is_loaded);
    }
}

#[tokio::test]
async fn a_record_that_has_ended_is_created_for_nobody() {
    let store = SessileStore::in_memory().unwrap();
    for life in [Duration::ZERO, Duration::days(-1), Duration::MIN / 1_000_000] {
        let mut record = record(Duration::ZERO);
        record.expiry_date = record.expiry_date.saturating_add(life);
        store.create(&mut record).await.unwrap();
        assert_eq!(store.load(&record.id).await.unwrap(), None, "{life}");
    }
    assert!(store.sessions().is_empty().unwrap());
}

#[tokio::test]
async fn the_last_moment_of_the_calendar_is_an_end() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::ZERO);
    record.expiry_date = time::PrimitiveDateTime::MAX.assume_utc();
    store.create(&mut record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
}

#[tokio::test]
async fn expired_sessions_are_swept() {
    let (store, clock) = with_clock(this_machine());
    store.create(&mut record(Duration::hours(1))).await.unwrap();
    let mut longer = record(Duration::hours(3));
    store.create(&mut longer).await.unwrap();
    clock.advance(std::time::Duration::from_secs(2 * 3_600));
    store.delete_expired().await.unwrap();
    assert_eq!(store.sessions().stats().unwrap().swept, 1);
    assert_eq!(store.load(&longer.id).await.unwrap(), Some(longer));
}

/// A clock that records the threads that read it. The store reads the clock once in every call.
#[derive(Clone, Debug, Default)]
struct Noting(Arc<Mutex<Vec<ThreadId>>>);

impl Clock for Noting {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap().push(thread::current().id());
        SystemTime::now()
    }
}

#[tokio::test]
async fn reads_are_in_place_and_writes_on_another_thread() {
    let clock = Noting::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::new(sessions.in_memory().unwrap());
    let here = thread::current().id();
    let asked = || std::mem::take(&mut *clock.0.lock().unwrap());
    let elsewhere = |asked: Vec<ThreadId>| !asked.is_empty() && !asked.contains(&here);

    asked();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    assert!(elsewhere(asked()), "create");
    store.save(&record).await.unwrap();
    assert!(elsewhere(asked()), "save");
    store.load(&record.id).await.unwrap();
    assert!(asked().iter().all(|thread| *thread == here), "load");
    store.delete(&record.id).await.unwrap();
    assert!(elsewhere(asked()), "delete");
    store.delete_expired().await.unwrap();
    assert!(elsewhere(asked()), "delete_expired");
}

#[tokio::test]
async fn a_read_on_a_server_is_on_another_thread() {
    let clock = Noting::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::on_server(sessions.in_memory().unwrap());
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    clock.0.lock().unwrap().clear();
    assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
    let asked = std::mem::take(&mut *clock.0.lock().unwrap());
    assert!(!asked.is_empty() && !asked.contains(&thread::current().id()));
}

/// A clock that ends a session at its second reading. The store reads the clock once in every call,
/// so the session ends after the `read` of a save and before the `update`.
#[derive(Clone, Debug, Default)]
struct Ending(Arc<Mutex<Option<(u32, SessileStore, SessionId)>>>);

impl Ending {
    fn at_the_second_reading(&self, store: &SessileStore, id: SessionId) {
        *self.0.lock().unwrap() = Some((2, store.clone(), id));
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

#[tokio::test]
async fn a_session_that_ends_within_a_save_stays_ended() {
    let clock = Ending::default();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let store = SessileStore::new(sessions.in_memory().unwrap());
    let mut record = record(HOUR);
    store.create(&mut record).await.unwrap();
    clock.at_the_second_reading(&store, SessionId::parse(&record.id.to_string()).unwrap());
    store.save(&record).await.unwrap();
    assert!(clock.0.lock().unwrap().is_none(), "the session has ended within the save");
    assert_eq!(store.load(&record.id).await.unwrap(), None);
    assert!(store.sessions().is_empty().unwrap());
}

#[tokio::test(flavor = "current_thread")]
async fn of_saves_at_once_one_wins_and_none_fails() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    let mut saves = tokio::task::JoinSet::new();
    for value in 0..16 {
        let (store, mut record) = (store.clone(), record.clone());
        saves.spawn(async move {
            record.data.insert("value".into(), json!(value));
            store.save(&record).await
        });
    }
    while let Some(saved) = saves.join_next().await {
        saved.unwrap().unwrap();
    }
    let value = store.load(&record.id).await.unwrap().unwrap().data.remove("value");
    assert!((0..16).any(|written| value == Some(json!(written))), "{value:?}");
}

#[tokio::test]
async fn a_session_is_listed_under_the_user_that_its_values_name() {
    let store = store_by_user();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    let count = |user: &str| store.sessions().sessions_of(user).unwrap().len();
    assert_eq!((count("ann"), count("bob")), (0, 0));
    record.data = named("ann");
    store.save(&record).await.unwrap();
    assert_eq!((count("ann"), count("bob")), (1, 0));
    record.data = named("bob");
    store.save(&record).await.unwrap();
    assert_eq!((count("ann"), count("bob")), (0, 1));
    record.data.clear();
    store.save(&record).await.unwrap();
    assert_eq!((count("ann"), count("bob")), (0, 0));

    let mut other = self::record(Duration::hours(1));
    other.data = named("ann");
    store.create(&mut other).await.unwrap();
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 1);
    assert_eq!(store.load(&other.id).await.unwrap(), None);
    assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
}

#[tokio::test]
async fn the_file_has_the_digest_of_an_id_and_not_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = SessileStore::open(&path).unwrap();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    let id = SessionId::parse(&record.id.to_string()).unwrap();
    store.sessions().clone().close().unwrap();
    drop(store);
    let file = std::fs::read(&path).unwrap();
    let holds = |bytes: &[u8]| file.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(id.key().as_bytes()), "the digest");
    assert!(!holds(record.id.to_string().as_bytes()), "the text");
    assert!(!holds(&record.id.0.to_le_bytes()), "the bytes");
    let store = SessileStore::open(&path).unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
}

#[tokio::test]
async fn values_of_every_shape_come_back() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::hours(1));
    let shapes: [Value; 9] = [
        Value::Null,
        json!(true),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.1),
        json!("\u{0}\u{1f980}\"\\"),
        json!([]),
        json!({}),
        json!({ "a": [1, { "b": null }] }),
    ];
    let values = shapes.into_iter().enumerate().map(|(n, value)| (n.to_string(), value));
    record.data = values.collect();
    store.create(&mut record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
}

#[tokio::test]
async fn too_much_is_an_error_that_says_so_and_changes_nothing() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    let mut large = record.clone();
    large.data.insert("blob".into(), "x".repeat(100_000).into());
    let refused = store.save(&large).await.unwrap_err();
    let Error::Encode(text) = refused else { panic!("{refused:?}") };
    assert!(text.contains("max_content_len"), "{text}");
    assert!(matches!(store.create(&mut large).await, Err(Error::Encode(_))));
    assert_eq!(store.load(&record.id).await.unwrap(), Some(record));
}

#[tokio::test]
async fn a_closed_store_is_an_error_and_no_missing_session() {
    let store = SessileStore::in_memory().unwrap();
    let mut record = record(Duration::hours(1));
    store.create(&mut record).await.unwrap();
    store.sessions().clone().close().unwrap();
    assert!(matches!(store.load(&record.id).await, Err(Error::Backend(_))));
    assert!(matches!(store.save(&record).await, Err(Error::Backend(_))));
    assert!(matches!(store.delete(&record.id).await, Err(Error::Backend(_))));
}

#[tokio::test]
async fn a_session_with_a_new_expiry_is_saved_under_it() {
    let store = Arc::new(SessileStore::in_memory().unwrap());
    let session =
        Session::new(None, store.clone(), Some(Expiry::OnInactivity(Duration::minutes(5))));
    session.insert("key", 1).await.unwrap();
    session.save().await.unwrap();
    let id = session.id().unwrap();
    let end = OffsetDateTime::now_utc() + Duration::days(30);
    session.set_expiry(Some(Expiry::AtDateTime(end)));
    session.save().await.unwrap();
    assert_eq!(store.load(&id).await.unwrap().unwrap().expiry_date, end);

    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    assert_eq!(store.load(&id).await.unwrap(), None);
    let renewed = store.load(&session.id().unwrap()).await.unwrap().unwrap();
    assert_eq!((renewed.expiry_date, &renewed.data["key"]), (end, &json!(1)));
}

/// With `with_always_save` the middleware saves after a request that only reads, too.
#[tokio::test]
async fn a_save_of_what_was_only_read_undoes_what_another_request_has_saved() {
    let store = Arc::new(SessileStore::in_memory().unwrap());
    let session = |id| Session::new(id, store.clone(), None);
    let first = session(None);
    first.insert("key", "old").await.unwrap();
    first.save().await.unwrap();

    let [reads, writes] = [(); 2].map(|()| session(first.id()));
    assert_eq!(reads.get("key").await.unwrap(), Some("old".to_owned()));
    writes.insert("key", "new").await.unwrap();
    writes.save().await.unwrap();
    reads.save().await.unwrap();
    assert_eq!(session(first.id()).get("key").await.unwrap(), Some("old".to_owned()));
}

#[tokio::test]
async fn a_session_from_before_with_user_has_no_user_until_its_next_save() {
    let before = SessileStore::in_memory().unwrap();
    let mut record = record(HOUR);
    record.data = named("ann");
    before.create(&mut record).await.unwrap();
    let store = SessileStore::new(before.sessions().clone());
    let store = store.with_user(|data| Some(data.get("user")?.as_str()?.into()));
    assert_eq!(store.load(&record.id).await.unwrap().as_ref(), Some(&record));
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 0);

    let mut without_user = Vec::new();
    let look = |info: SessionInfo, _| {
        if info.user().is_none() {
            without_user.push(info.key());
        }
    };
    store.sessions().for_each(look).unwrap();
    assert_eq!(without_user.len(), 1);
    store.save(&record).await.unwrap();
    assert_eq!(store.sessions().destroy_all_of("ann").unwrap(), 1);
}

#[tokio::test]
async fn a_panic_of_with_user_is_an_error_without_the_values_that_its_message_has() {
    let store = SessileStore::in_memory().unwrap();
    let store = store.with_user(|data| panic!("no user is named {}", data["user"]));
    let mut record = record(HOUR);
    record.data = named("ann");
    let Err(Error::Backend(text)) = store.create(&mut record).await else { panic!("no error") };
    assert!(text.contains("panicked") && !text.contains("ann"), "{text}");
    assert!(store.sessions().is_empty().unwrap());
}

#[test]
fn a_write_on_a_runtime_that_has_ended_is_an_error_that_says_so() {
    let store = SessileStore::in_memory().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ended = runtime.handle().clone();
    drop(runtime);
    let _entered = ended.enter();
    let mut record = record(HOUR);
    let mut write = store.create(&mut record);
    let polled = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(Error::Backend(text))) = polled else { panic!("{polled:?}") };
    assert!(text.contains("shutting down"), "{text}");
    assert!(store.sessions().is_empty().unwrap());
}

#[tokio::test]
async fn a_load_is_no_activity_so_a_limit_ends_the_session_that_was_saved_the_longest_ago() {
    let clock = ManualClock::new();
    let sessions = Sessile::builder().clock(clock.clone()).manual_maintenance();
    let sessions = sessions.max_sessions_per_user(2, UserLimit::EndLeastRecentlyActive);
    let store = SessileStore::new(sessions.in_memory().unwrap()).with_user(|_| Some("ann".into()));
    let [mut used, mut idle, mut new] = [(); 3].map(|()| record(HOUR));
    store.create(&mut used).await.unwrap();
    clock.advance(std::time::Duration::from_secs(60));
    store.create(&mut idle).await.unwrap();
    clock.advance(std::time::Duration::from_secs(60));
    assert!(store.load(&used.id).await.unwrap().is_some());
    store.create(&mut new).await.unwrap();
    assert_eq!(store.load(&used.id).await.unwrap(), None);
    assert!(store.load(&idle.id).await.unwrap().is_some());
}

#[test]
fn a_handle_shows_nothing_of_its_sessions() {
    let store = SessileStore::in_memory().unwrap().with_user(|_| Some(UserId::from("ann")));
    assert_eq!(format!("{store:?}"), "SessileStore { .. }");
}
