//! Sessions that come into a running program through its admin socket.

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::admin::{AdminSocket, ImportOptions, LeaveOut, Progress, RunningStore, transfer};
use sessile::testing::ManualClock;
use sessile::{Builder, Error, Event, Inspector, SessionKey, SessionStore, Timeouts};

use super::by_hand::ByHand;
use super::{folder, go_on, keys};

type Store = SessionStore<String>;

fn builder(clock: &ManualClock) -> Builder<String> {
    SessionStore::builder().clock(clock.clone()).content_name("shop").manual_maintenance()
}

/// A store at a path that the tool can come into.
fn running(builder: Builder<String>, path: &Path) -> Store {
    let store = builder.open(path).unwrap();
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    store
}

fn through(path: &Path) -> Inspector {
    Inspector::on(RunningStore::beside(path).unwrap()).unwrap()
}

/// A client of the door at a file, which asks a line and gets one.
fn asks(path: &Path, request: &str) -> String {
    let mut client = ByHand::connect(&AdminSocket::path_beside(path));
    assert!(client.line().contains("hello"));
    client.send(request.as_bytes());
    client.send(b"\n");
    client.line()
}

/// A record of a running store, as the door tells it.
fn loaded(path: &Path, key: &SessionKey) -> String {
    let line = asks(path, &format!(r#"{{"call":"load","key":"{key}"}}"#));
    let (_, bytes) = line.split_once(r#""bytes":""#).unwrap();
    bytes.split_once('"').unwrap().0.into()
}

#[test]
fn a_copy_comes_into_a_running_program_whole_and_a_second_one_brings_it_up_to_date() {
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let source = running(builder(&clock), &path);
    let there = folder.path().join("there.redb");
    let target = running(builder(&clock), &there);
    let mut sessions: Vec<_> =
        (0..40_u64).map(|n| source.create_for_user(n % 3, "x".repeat(50)).unwrap()).collect();
    source.create("a guest".into()).unwrap();
    let copy = || transfer(&through(&path), &through(&there), false, &mut go_on).unwrap();
    let report = copy();
    assert_eq!((report.copied, report.equal, report.differing.count()), (41, 41, 0));

    sessions[0].content_mut().push('!');
    source.update(&mut sessions[0]).unwrap();
    clock.advance(Duration::from_secs(5));
    assert!(source.extend_lifetime(sessions[1].id()).unwrap());
    let report = copy();
    assert_eq!((report.copied, report.updated, report.equal), (0, 2, 41));
    for session in &sessions {
        let [here, there] = [&source, &target].map(|it| it.read(session.id()).unwrap().unwrap());
        assert_eq!((here.content(), here.user()), (there.content(), there.user()));
        assert_eq!(
            (here.created_at(), here.last_active()),
            (there.created_at(), there.last_active())
        );
    }
    let revision = through(&there).session(&sessions[0].key()).unwrap().unwrap().revision();
    assert_eq!(revision, 2);
    assert!(target.check().unwrap().is_sound());
    target.close().unwrap();
    let reopened = builder(&clock).open(&there).unwrap();
    assert_eq!(reopened.len().unwrap(), 41, "they were on the disk");
}

#[test]
fn a_copy_ends_what_ended_in_the_source_and_no_login_of_the_target() {
    const SESSIONS: u64 = 600;
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let source = builder(&clock).open(&path).unwrap();
    source.serve_admin(AdminSocket::beside_file()).unwrap();
    let there = folder.path().join("there.redb");
    let target = running(builder(&clock), &there);
    let sessions: Vec<_> = (0..SESSIONS).map(|_| source.create(String::new()).unwrap()).collect();
    // The target has sessions already, and one more login while the copy runs.
    let before = target.create_for_user("bob", "a login before".into()).unwrap();
    let (mut late, mut login) = (None, None);
    let [mut renewed, logged_out] = [7, 8].map(|n| sessions[sessions.len() - n].clone());
    let mut progress = |progress: Progress| {
        if (1..SESSIONS).contains(&progress.done) && login.is_none() {
            login = Some(target.create_for_user("ann", "a login meanwhile".into()).unwrap());
            // The second pass sees them.
            late = Some((0..64).map(|_| source.create(String::new()).unwrap()).collect::<Vec<_>>());
        } else if progress.done == SESSIONS && target.destroy(logged_out.id()).unwrap() {
            // The first pass has brought all of them, and they are used at the target.
            target.regenerate_id(&mut renewed).unwrap();
        } else if progress.done > SESSIONS {
            for ended in late.take().into_iter().flatten().chain(sessions.iter().take(9).cloned()) {
                let _ = source.destroy(ended.id()).unwrap();
            }
        }
        go_on(progress)
    };
    let report = transfer(&through(&path), &through(&there), false, &mut progress).unwrap();
    let login = login.expect("the first pass tells of its progress");
    for session in [&before, &login, &renewed] {
        assert!(target.read(session.id()).unwrap().is_some(), "{report:?}");
    }
    assert_eq!(
        report.ended,
        9 + 64,
        "those that began and ended meanwhile are ended too: {report:?}"
    );
    assert!(target.read(logged_out.id()).unwrap().is_none(), "a logout at the target is final");
    // Three are only in the target, and two only in the source.
    assert_eq!(report.differing.count(), 5, "{report:?}");
    let others = [before.key(), login.key(), renewed.key()];
    let mut left = keys(&through(&there));
    left.retain(|key| !others.contains(key));
    let mut expected = keys(&through(&path));
    let regenerated = sessions[sessions.len() - 7].key();
    expected.retain(|key| *key != regenerated && *key != logged_out.key());
    assert_eq!(left, expected);
}

#[test]
fn an_archive_comes_into_a_running_program_and_its_observers_are_told() {
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let source = builder(&clock).open(&path).unwrap();
    let one = source.create_for_user("ann", "one".into()).unwrap();
    let other = source.create("other".into()).unwrap();
    source.close().unwrap();
    let mut archive = Vec::new();
    let nothing = LeaveOut::nothing();
    Inspector::open(&path).unwrap().export(&mut archive, true, &nothing, &mut go_on).unwrap();

    let told: Arc<Mutex<Vec<(SessionKey, _)>>> = Arc::default();
    let tells = Arc::clone(&told);
    let observer = move |event: &Event| {
        if let Event::Created { key, user } = event {
            tells.lock().unwrap().push((*key, user.clone()));
        }
    };
    let there = folder.path().join("there.redb");
    let target = running(builder(&clock).observer(observer), &there);
    let import = |archive: &[u8]| {
        let mut archive = Cursor::new(archive);
        through(&there).import(&mut archive, &ImportOptions::default(), &mut go_on)
    };
    assert_eq!(import(&archive).unwrap().imported, 2);
    let report = import(&archive).unwrap();
    assert_eq!((report.imported, report.already_there), (0, 2));
    assert_eq!(target.read(one.id()).unwrap().map(|it| it.content().clone()), Some("one".into()));
    assert_eq!(target.sessions_of("ann").unwrap().len(), 1, "the index by user has it");
    let mut told = told.lock().unwrap().clone();
    let mut expected = [(one.key(), Some("ann".into())), (other.key(), None)];
    told.sort_by_key(|(key, _)| *key);
    expected.sort_by_key(|(key, _)| *key);
    assert_eq!(told, expected);
}

#[test]
fn a_running_program_keeps_its_limits_and_its_contents_name() {
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let source = builder(&clock).open(&path).unwrap();
    for _ in 0..3 {
        source.create("x".repeat(2_000)).unwrap();
    }
    source.close().unwrap();
    let source = Inspector::open(&path).unwrap().with_clock(clock.clone());
    let refusal = |name: &str, builder: Builder<String>| {
        let path = folder.path().join(name);
        let target = running(builder, &path);
        let refused = transfer(&source, &through(&path), false, &mut go_on).unwrap_err();
        (refused, target.len().unwrap())
    };
    let (refused, stored) = refusal("short.redb", builder(&clock).max_content_len(1_000));
    assert!(matches!(refused, Error::TooLarge { max: 1_000, .. }), "{refused:?}");
    assert_eq!(stored, 0);
    let (refused, stored) = refusal("small.redb", builder(&clock).max_sessions(2));
    let text = format!("{refused}: {:?}", std::error::Error::source(&refused));
    assert!(text.contains("`max_sessions` is 2"), "{text}");
    assert_eq!(stored, 2);
    // Expired sessions make room.
    let path = folder.path().join("sweeping.redb");
    let target = running(builder(&clock).max_sessions(4), &path);
    for _ in 0..4 {
        target.create(String::new()).unwrap();
    }
    clock.advance(Duration::from_secs(1_000));
    let young = folder.path().join("young.redb");
    let store = builder(&clock).open(&young).unwrap();
    store.create("young".into()).unwrap();
    store.close().unwrap();
    let inspector = Inspector::open(&young).unwrap().with_clock(clock.clone());
    let report = transfer(&inspector, &through(&path), false, &mut go_on).unwrap();
    assert_eq!((report.copied, report.equal), (1, 1));
    let (refused, stored) = refusal("other.redb", builder(&clock).content_name("another"));
    assert!(matches!(refused, Error::ContentMismatch { .. }), "{refused:?}");
    assert_eq!(stored, 0);
    let unnamed = SessionStore::builder().clock(clock.clone()).manual_maintenance();
    let (refused, stored) = refusal("unnamed.redb", unnamed);
    assert!(matches!(refused, Error::ContentMismatch { .. }), "{refused:?}");
    assert_eq!(stored, 0);
}

#[test]
fn a_record_that_comes_through_the_door_is_checked_as_one_in_a_file() {
    let (folder, path) = folder();
    let clock = ManualClock::new();
    let store = running(builder(&clock).max_content_len(100), &path);
    let session = store.create_for_user("ann", "x".into()).unwrap();
    let (key, other) = (session.key(), store.create("y".into()).unwrap().key());
    let bytes: &str = &loaded(&path, &key);
    assert!(store.destroy_of("ann", &key).unwrap());

    let insert = |key: &SessionKey, bytes: &str| {
        asks(&path, &format!(r#"{{"call":"insert","key":"{key}","bytes":"{bytes}"}}"#))
    };
    // Another program stores longer content, and for longer.
    let generous = folder.path().join("generous.redb");
    let year = Duration::from_secs(365 * 86_400);
    let generous_store = builder(&clock).timeouts(Timeouts::new(year, year).unwrap());
    let generous_store = running(generous_store, &generous);
    let long = generous_store.create("x".repeat(101)).unwrap().key();
    let refused = insert(&long, &loaded(&generous, &long));
    assert!(refused.contains("error") && refused.contains("100"), "{refused}");
    let lasting = generous_store.create("lasting".into()).unwrap();
    assert!(insert(&lasting.key(), &loaded(&generous, &lasting.key())).contains("stored"));
    assert!(store.check().unwrap().is_sound(), "it is swept by the timeouts of this program");
    assert!(store.destroy(lasting.id()).unwrap());

    let damaged = format!("{}AAAA{}", &bytes[..40], &bytes[44..]);
    for (key, bytes) in [(&other, bytes), (&key, &damaged), (&key, "????"), (&key, "")] {
        let refused = insert(key, bytes);
        assert!(refused.contains("error"), "{refused}");
    }
    assert_eq!(store.len().unwrap(), 1, "none of these is stored");
    assert!(insert(&key, bytes).contains(r#""outcome":"stored""#));
    assert!(insert(&key, bytes).contains(r#""outcome":"occupied""#));
    let replace = |revision: u64| {
        let fields = format!(r#""key":"{key}","revision":{revision},"bytes":"{bytes}""#);
        asks(&path, &format!(r#"{{"call":"replace",{fields}}}"#))
    };
    assert!(replace(0).contains(r#""outcome":"conflict""#));
    assert!(replace(7).contains(r#""outcome":"conflict""#), "it would go back");
    assert!(replace(1).contains(r#""outcome":"stored""#));

    // A time that has not come is no activity.
    clock.advance(Duration::from_secs(60));
    let extended = asks(&path, &format!(r#"{{"call":"extend","key":"{key}","at":{}}}"#, u64::MAX));
    assert!(extended.contains("record"), "{extended}");
    let now = sessile::Clock::now(&clock);
    assert_eq!(store.read(session.id()).unwrap().unwrap().last_active(), now);
    assert!(store.check().unwrap().is_sound());

    // The longest request is a record of the longest content, and some more.
    let long = "A".repeat(20_000);
    assert_eq!(insert(&key, &long), "", "the connection is ended");
    assert!(store.read(session.id()).unwrap().is_some());
}
