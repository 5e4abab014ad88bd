//! Sessions are chosen by how long they have been idle.

#[cfg(target_os = "linux")]
use std::io::{BufRead, BufReader, Read, Write};
#[cfg(target_os = "linux")]
use std::process::Stdio;

#[cfg(target_os = "linux")]
use sessile::admin::AdminSocket;
use sessile::{SessionStore, Timeouts};

#[cfg(target_os = "linux")]
use crate::on_a_terminal;
use crate::{Store, TwoHoursAgo};

#[test]
fn idle_sessions_are_listed_and_end_and_others_stay() {
    let store = Store::of(0);
    let day = Timeouts::from_seconds(86_400, 86_400).unwrap();
    let builder = || SessionStore::<u64>::builder().timeouts(day).manual_maintenance();
    let path = store.path("both.redb");
    let earlier = builder().clock(TwoHoursAgo).open(&path).unwrap();
    let idle: Vec<_> = (0..3).map(|it| earlier.create(it).unwrap().key().to_string()).collect();
    earlier.close().unwrap();
    let later = builder().open(&path).unwrap();
    later.create(4).unwrap();
    later.close().unwrap();

    let listed = |least: &str| {
        let arguments = ["list", "both.redb", "--json", "--idle-for", least];
        let (out, _) = store.prints(0, &arguments);
        let key = |line: &str| {
            let session: serde_json::Value = serde_json::from_str(line).unwrap();
            session["key"].as_str().unwrap().to_owned()
        };
        let mut keys: Vec<_> = out.lines().map(key).collect();
        keys.sort();
        keys
    };
    let mut expected = idle;
    expected.sort();
    assert_eq!(listed("1h"), expected);
    assert_eq!(listed("3h"), Vec::<String>::new());
    assert_eq!(listed("0s").len(), 4);

    let revoke = |least: &str, more: &str| {
        let arguments = ["revoke", "both.redb", "--json", "--idle-for", least, more];
        store.json(0, &arguments)
    };
    assert_eq!(revoke("1h", "--dry-run")["would_end"], 3);
    assert_eq!(revoke("3h", "--yes")["ended"], 0);
    assert_eq!(revoke("1h", "--yes")["ended"], 3);
    assert_eq!(store.json(0, &["stats", "both.redb", "--json"])["sessions"], 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_session_that_becomes_active_at_the_question_is_left() {
    let store = Store::of(0);
    let day = Timeouts::from_seconds(86_400, 86_400).unwrap();
    let builder = || SessionStore::<u64>::builder().timeouts(day).manual_maintenance();
    let path = store.path("idle.redb");
    let earlier = builder().clock(TwoHoursAgo).open(&path).unwrap();
    let idle: Vec<_> = (0..3).map(|it| earlier.create(it).unwrap()).collect();
    earlier.close().unwrap();
    let running = builder().open(&path).unwrap();
    running.serve_admin(AdminSocket::beside_file()).unwrap();

    let mut python = on_a_terminal(&["revoke", "idle.redb", "--idle-for", "1h", "--json"]);
    python.current_dir(store.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut asked = String::new();
    told.read_line(&mut asked).unwrap();
    assert_eq!(asked, "asked\n");
    assert!(running.extend_lifetime(idle[1].id()).unwrap());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    child.wait().unwrap();
    assert!(rest.contains(r#"{"active_again":1,"ended":2}"#) && rest.ends_with(" 0\n"), "{rest}");
    let is_live = |session: &sessile::Session<u64>| running.read(session.id()).unwrap().is_some();
    assert_eq!(idle.iter().map(is_live).collect::<Vec<_>>(), [false, true, false]);
    running.close().unwrap();
}
