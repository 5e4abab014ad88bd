//! The admin socket of a running program: it offers everything that an inspector does, and no
//! client can harm the program.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use sessile::admin::{AdminSocket, LeaveOut, RunningStore};
use sessile::testing::ManualClock;
use sessile::{Clock, EndReason, Error, Event, Inspector, SessionStore, UserId};

use super::by_hand::{AnotherDoor, ByHand, leave_dead_door};
use super::{folder, go_on, keys, names, store_at};

fn socket(path: &Path) -> PathBuf {
    AdminSocket::path_beside(path)
}

fn through(path: &Path) -> Inspector {
    Inspector::on(RunningStore::beside(path).unwrap()).unwrap()
}

/// A client that has been greeted. It comes again while the clients before it are being let out.
fn admitted(path: &Path) -> ByHand {
    for _ in 0..20_000 {
        let mut client = ByHand::connect(&socket(path));
        if client.line().contains("hello") {
            return client;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("no place becomes free");
}

#[test]
fn an_inspector_sees_and_ends_through_the_door_what_it_would_in_the_file() {
    let (folder, path) = folder();
    let ended = std::sync::Arc::new(Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&ended);
    let observer = move |event: &Event| {
        if let Event::Ended { key, reason, .. } = event {
            told.lock().unwrap().push((*key, *reason));
        }
    };
    let builder = SessionStore::<String>::builder().manual_maintenance().content_name("shop");
    let store = builder.observer(observer).open(&path).unwrap();
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    assert!(matches!(
        store.serve_admin(AdminSocket::beside_file()),
        Err(Error::InvalidSetting { .. })
    ));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::symlink_metadata(socket(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(names(&path), ["sessions.redb", "sessions.redb.admin"]);

    let ann: Vec<_> =
        (0..3).map(|n| store.create_for_user("ann", n.to_string()).unwrap()).collect();
    let bob = store.create_for_user(42, "bob".into()).unwrap();
    let (one, other) = (store.create("".into()).unwrap(), store.create("".into()).unwrap());
    let inspector = through(&path);
    let overview = inspector.overview().unwrap();
    assert_eq!((overview.sessions, overview.with_user, overview.users), (6, 4, 2));
    assert_eq!(overview.content_name.as_deref(), Some("shop"));
    assert_eq!(inspector.timeouts_on_record(), Some(store.timeouts()));
    assert_eq!(keys(&inspector).len(), 6);
    // A session created while the inspector is connected is seen, too.
    let late = store.create_for_user("eve", "late".into()).unwrap();
    let shown = inspector.session(&late.key()).unwrap().unwrap();
    assert_eq!((shown.user(), shown.revision()), (Some("eve".into()), 1));
    let mut users = Vec::new();
    let visit = &mut |user, sessions| {
        users.push((user, sessions));
        Ok(ControlFlow::Continue(()))
    };
    inspector.users(visit).unwrap();
    users.sort();
    assert_eq!(users.len(), 3);
    assert!(inspector.check().unwrap().is_sound());

    assert!(inspector.revoke(&late.key()).unwrap());
    assert!(!inspector.revoke(&late.key()).unwrap());
    assert_eq!(inspector.revoke_others(&ann[0].key()).unwrap(), Some(2));
    assert_eq!(inspector.revoke_others(&late.key()).unwrap(), None);
    assert_eq!(inspector.revoke_user(42).unwrap(), 1);
    assert_eq!(inspector.sweep(&mut |_| ControlFlow::Continue(())).unwrap(), 0);
    assert!(store.read(bob.id()).unwrap().is_none() && store.read(ann[0].id()).unwrap().is_some());
    {
        let ended = ended.lock().unwrap();
        assert_eq!(ended.len(), 4, "observers are told of what ends through the door");
        assert_eq!(ended[0], (late.key(), EndReason::Destroyed));
    }

    let backup = folder.path().join("backup.redb");
    let report = inspector.backup_with(&backup, &LeaveOut::nothing(), &mut go_on).unwrap();
    assert_eq!(report.sessions, 3);
    let mut archive = Vec::new();
    inspector.export(&mut archive, true, &LeaveOut::nothing(), &mut go_on).unwrap();
    assert_eq!(archive.split(|byte| *byte == b'\n').count(), 3 + 3);
    let mut left = keys(&Inspector::open(&backup).unwrap());
    let mut expected = vec![ann[0].key(), one.key(), other.key()];
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(inspector.revoke_all().unwrap(), 3);
    assert!(store.is_empty().unwrap());
    let other_timeouts = inspector.with_timeouts(sessile::Timeouts::from_seconds(1, 1).unwrap());
    let refused = other_timeouts.sweep(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("own timeouts"));

    // Another handle is left, so it is the closing that ends the socket.
    let other_handle = store.clone();
    store.close().unwrap();
    assert_eq!(names(&path), ["backup.redb", "sessions.redb"], "the socket is gone with the store");
    drop(other_handle);
    assert!(matches!(RunningStore::beside(&path), Err(Error::Io { .. })));
}

#[test]
fn the_last_handle_closes_the_door_and_frees_the_file_though_clients_are_there() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    let mut idle = ByHand::connect(&socket(&path));
    assert!(idle.line().contains("hello"));
    let mut watching = ByHand::connect(&socket(&path));
    watching.send(b"{\"call\":\"watch\"}\n");
    assert!(watching.line().contains("hello") && watching.line().contains("alive"));
    let inspector = through(&path);
    drop(store);
    assert!(!socket(&path).exists());
    assert_eq!(idle.line(), "");
    assert!(inspector.overview().is_err());
    // No process holds the file.
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    assert_eq!(through(&path).overview().unwrap().sessions, 0);
}

#[test]
fn whatever_a_client_sends_costs_it_its_connection_and_nobody_else_anything() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    let session = store.create_for_user("ann", "x".into()).unwrap();
    let id = session.id().encode().to_string();
    let garbage: [&[u8]; 7] = [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 1_000],
        &[b'a'; 100_000],
        b"{\"call\":\"remove\",\"key\":\"",
        b"{\"call\":\"drop_tables\"}\n",
        &[b'['; 9_000],
    ];
    for bytes in garbage {
        let mut client = ByHand::connect(&socket(&path));
        client.send(bytes);
        let answer = client.end();
        assert!(!answer.contains("done"), "{answer}");
    }
    // A session id is no key.
    let mut client = ByHand::connect(&socket(&path));
    client.send(format!("{{\"call\":\"remove\",\"key\":\"{id}\"}}\n").as_bytes());
    let answer = client.end();
    assert!(answer.contains("error") && !answer.contains(&id), "{answer}");

    // The maximum number of clients, all silent; the next client is told so.
    let quiet: Vec<_> = (0..8).map(|_| admitted(&path)).collect();
    assert!(ByHand::connect(&socket(&path)).line().contains("there already"));
    assert!(store.read(session.id()).unwrap().is_some());
    drop(quiet);
    // As many die after half a line, and in the middle of an answer.
    for bytes in [&b"{\"call\":\"sc"[..], b"{\"call\":\"watch\"}\n"] {
        for _ in 0..8 {
            admitted(&path).send(bytes);
        }
    }
    // There is room once the dead are gone, and not only for one.
    let mut last: Vec<_> = (0..8).map(|_| admitted(&path)).collect();
    last[0].send(b"{\"call\":\"count\"}\n");
    assert_eq!(last[0].line(), "{\"done\":{\"count\":1}}\n");
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_the_program_nor_another_client() {
    let (folder, _) = folder();
    // In memory, so nothing here waits for a disk.
    let store: SessionStore<String> = SessionStore::in_memory().unwrap();
    let path = folder.path().join("door");
    store.serve_admin(AdminSocket::at(socket(&path))).unwrap();
    for _ in 0..64 {
        store.create("x".repeat(16_384)).unwrap();
    }
    let mut stalled = ByHand::connect(&socket(&path));
    stalled.send(b"{\"call\":\"scan\",\"after\":null}\n");
    let mut deaf = ByHand::connect(&socket(&path));
    deaf.send(b"{\"call\":\"watch\"}\n");
    assert!(deaf.line().contains("hello") && deaf.line().contains("alive"));
    for _ in 0..5_000 {
        let session = store.create("y".into()).unwrap();
        store.destroy(session.id()).unwrap();
    }
    assert_eq!(through(&path).overview().unwrap().sessions, 64);
    // It is told that it was too slow.
    let mut told = String::new();
    while !told.contains("missed") {
        told = deaf.line();
        assert!(!told.is_empty(), "the connection ended");
    }
    store.close().unwrap();
    assert!(!stalled.end().contains("done"), "the answer was cut off");
}

#[test]
fn events_are_watched_from_now_on_and_until_the_client_wants_no_more() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    store.create("before".into()).unwrap();
    let running = RunningStore::beside(&path).unwrap();
    let mut told = Vec::new();
    let mut session = None;
    running
        .watch(&mut |event| {
            match event {
                Some(event) => told.push(event.to_owned()),
                None if session.is_none() => {
                    let mut new = store.create_for_user("ann", "x".into()).unwrap();
                    store.regenerate_id(&mut new).unwrap();
                    store.destroy(new.id()).unwrap();
                    session = Some(new);
                }
                None => {}
            }
            match told.len() < 3 {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
        .unwrap();
    let session = session.unwrap();
    let id = session.id().encode().to_string();
    for (event, name) in told.iter().zip(["created", "regenerated", "ended"]) {
        assert!(event.contains(&format!("\"event\":\"{name}\"")), "{event}");
        assert!(!event.contains(&id));
    }
    assert!(told[1].contains(&session.key().to_string()) && told[2].contains("destroyed"));
    assert!(told[0].contains("\"user\":{\"text\":\"ann\"}"), "{}", told[0]);
}

#[test]
fn the_socket_of_a_killed_program_is_taken_over_and_anothers_is_not() {
    let (folder, path) = folder();
    leave_dead_door(&socket(&path));
    assert!(AdminSocket::is_at(&socket(&path)) && !AdminSocket::is_at(folder.path()));
    assert!(matches!(RunningStore::beside(&path), Err(Error::Io { .. })));
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    assert_eq!(through(&path).overview().unwrap().sessions, 0);
    store.close().unwrap();

    let others = AnotherDoor::at(socket(&path));
    let store = store_at(&path);
    let refused = store.serve_admin(AdminSocket::beside_file()).unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("another program"));
    store.close().unwrap();
    assert!(socket(&path).exists(), "it is not ours");
    drop(others);

    fs::write(socket(&path), "a thesis").unwrap();
    let store = store_at(&path);
    assert!(store.serve_admin(AdminSocket::beside_file()).is_err());
    store.close().unwrap();
    assert_eq!(fs::read(socket(&path)).unwrap(), b"a thesis");
    assert!(!AdminSocket::is_at(&socket(&path)) && !AdminSocket::is_at(&path));
}

#[test]
fn a_socket_has_a_place_of_its_own_where_the_store_has_no_file() {
    let (folder, _) = folder();
    let store: SessionStore<u32> = SessionStore::in_memory().unwrap();
    assert!(matches!(
        store.serve_admin(AdminSocket::beside_file()),
        Err(Error::InvalidSetting { .. })
    ));
    let at = folder.path().join("door");
    store.serve_admin(AdminSocket::at(&at)).unwrap();
    store.create(1).unwrap();
    let inspector = Inspector::on(RunningStore::at(&at).unwrap()).unwrap();
    assert_eq!(inspector.overview().unwrap().sessions, 1);
    let too_long = folder.path().join("x".repeat(300));
    let other: SessionStore<u32> = SessionStore::in_memory().unwrap();
    assert!(matches!(other.serve_admin(AdminSocket::at(too_long)), Err(Error::Io { .. })));
}

#[test]
fn users_of_any_number_go_through_the_door_and_live_by_the_programs_clock() {
    let (_folder, path) = folder();
    let clock = ManualClock::new();
    let builder = SessionStore::<u32>::builder().manual_maintenance().clock(clock.clone());
    let store = builder.open(&path).unwrap();
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    let mut expected =
        [UserId::from(u128::from(u64::MAX) + 1), i128::MIN.into(), u128::MAX.into(), 7.into()];
    expected.sort();
    let inspector = through(&path);
    for user in &expected {
        store.create_for_user(user, 1).unwrap();
    }
    let mut users = Vec::new();
    inspector
        .users(&mut |user, sessions| {
            users.push(user);
            assert_eq!(sessions, 1);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    users.sort();
    assert_eq!(users, expected);
    assert_eq!(inspector.now().unwrap(), clock.now());
    assert_eq!(inspector.overview().unwrap().sessions, 4);
    for user in users {
        assert_eq!(inspector.revoke_user(&user).unwrap(), 1, "{user}");
    }
    assert!(store.is_empty().unwrap());
}

#[test]
fn the_doors_of_many_stores_of_one_process_are_opened_at_once() {
    let (folder, _) = folder();
    for round in 0..16 {
        let together = std::sync::Barrier::new(4);
        thread::scope(|scope| {
            for number in 0..4 {
                let (together, folder) = (&together, folder.path());
                scope.spawn(move || {
                    let store: SessionStore<u32> =
                        SessionStore::builder().manual_maintenance().in_memory().unwrap();
                    let at = folder.join(format!("door-{number}"));
                    together.wait();
                    store.serve_admin(AdminSocket::at(&at)).unwrap();
                    let inspector = Inspector::on(RunningStore::at(&at).unwrap()).unwrap();
                    assert_eq!(inspector.overview().unwrap().sessions, 0, "{round}");
                });
            }
        });
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn no_line_of_an_answer_grows_with_the_sessions_that_a_request_ends() {
    let (_folder, path) = folder();
    let store = store_at(&path);
    store.serve_admin(AdminSocket::beside_file()).unwrap();
    let guests =
        || (0..40).map(|_| store.create_for_user("guest", String::new()).unwrap()).collect();
    let first: Vec<_> = guests();
    let requests = [
        (format!(r#"{{"call":"remove_others","keep":"{}"}}"#, first[0].key()), 39),
        (r#"{"call":"remove_user","user":{"text":"guest"}}"#.into(), 41),
    ];
    for (request, ended) in requests {
        let mut client = ByHand::connect(&socket(&path));
        client.send(format!("{request}\n").as_bytes());
        assert!(client.line().contains("hello"));
        for _ in 0..ended {
            let line = client.line();
            assert!(line.starts_with(r#"{"ended":{"key":""#) && line.len() < 100, "{line}");
        }
        assert_eq!(client.line(), format!("{{\"done\":{{\"ended\":{ended}}}}}\n"));
        let _: Vec<_> = guests();
    }
    // The client of the library counts them.
    assert_eq!(through(&path).revoke_user("guest").unwrap(), 40);
}
