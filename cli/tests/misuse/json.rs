//! The fields of `--json` are those of the table in docs/tool.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufRead;
use std::time::Duration;

use serde_json::Value;
use sessile::admin::AdminSocket;
use sessile::{Json, SessionOptions, SessionStore, UserId};

use crate::Store;
use crate::refusals::damage;

type Fields = BTreeSet<String>;

/// The table's rows: what prints the object, and its fields.
fn table() -> BTreeMap<String, Fields> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tool.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("| JSON of | fields |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1);
        let (of, fields) = (cells.next().unwrap().trim(), cells.next().unwrap());
        // The texts in backquotes are the fields.
        let fields = fields.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (of.replace('`', ""), fields)
    })
    .collect()
}

fn fields(value: &Value) -> Fields {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().cloned().collect()
}

#[test]
fn json_has_the_fields_in_the_page() {
    let store = Store::of(3);
    damage(&store);
    let key = store.keys[1].to_string();
    let mut seen = BTreeMap::new();
    let mut print = |of: &str, code: i32, arguments: &[&str]| {
        let (out, err) = store.prints(code, &[arguments, &["--json"]].concat());
        let first = out.lines().next().unwrap_or_else(|| panic!("{arguments:?}: {err}"));
        let value: Value = serde_json::from_str(first).unwrap();
        seen.insert(of.to_owned(), fields(&value));
        value
    };
    let stats = print("stats", 1, &["stats", "sessions.redb"]);
    let sessions = print("list", 1, &["list", "sessions.redb"]);
    assert_eq!(sessions["user"], "ann");
    print("list --content", 1, &["list", "sessions.redb", "--content"]);
    print("list --users", 0, &["list", "sessions.redb", "--users"]);
    let shown = print("show", 0, &["show", "sessions.redb", &key]);
    assert_eq!((&shown["content"], &shown["content_hex"]), (&Value::Null, &"01".into()));
    print("revoke --dry-run", 0, &["revoke", "sessions.redb", "--user", "bob", "--dry-run"]);
    print("revoke", 0, &["revoke", "sessions.redb", "--user", "bob", "--yes"]);
    print("sweep", 0, &["sweep", "sessions.redb"]);
    let checked = print("check", 1, &["check", "sessions.redb"]);
    print("salvage", 1, &["salvage", "sessions.redb", "salvaged.redb"]);
    print("backup", 1, &["backup", "sessions.redb", "backup.redb"]);
    print("restore", 0, &["restore", "backup.redb", "restored.redb"]);
    print("export", 1, &["export", "sessions.redb", "a.jsonl", "--with-content"]);
    print("import", 0, &["import", "a.jsonl", "imported.redb", "--create"]);
    print("copy", 0, &["copy", "backup.redb", "copied.redb", "--create"]);
    print("compact", 0, &["compact", "backup.redb"]);

    let open = store.opened();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    let running = print("stats of a running program", 1, &["stats", "sessions.redb"]);
    for (of, value) in [
        ("timeouts", &stats["timeouts"]),
        ("time_left_ms, content_bytes of stats", &stats["time_left_ms"][0]),
        ("problems", &checked["problems"][0]),
        ("program", &running["program"]),
    ] {
        seen.insert(of.into(), fields(value));
    }
    seen.insert("watch".into(), watched(&store, &open));
    open.close().unwrap();
    assert_eq!(seen, table());
}

#[test]
fn a_number_in_a_content_keeps_its_digits() {
    let store = Store::of(0);
    let path = store.path("json.redb");
    let open = SessionStore::<Json<u128>>::builder().manual_maintenance().open(&path).unwrap();
    let key = open.create(Json(u128::MAX)).unwrap().key().to_string();
    open.close().unwrap();
    let content = format!("\"content\":{},", u128::MAX);
    for arguments in
        [&["show", "json.redb", &key, "--json"][..], &["list", "json.redb", "--content", "--json"]]
    {
        let (out, _) = store.prints(0, arguments);
        assert!(out.contains(&content), "{out}");
    }
}

#[test]
fn a_time_that_rfc_3339_does_not_know_is_null() {
    let store = Store::of(0);
    let open = store.opened();
    let long = Duration::from_millis(u64::MAX / 4);
    let options = SessionOptions::new().inactivity(long).absolute(long);
    let key = open.create_with(1, &options).unwrap().key().to_string();
    open.close().unwrap();
    let shown = store.json(0, &["show", "sessions.redb", &key, "--json"]);
    assert_eq!(shown["expires_at"], Value::Null);
    assert!(shown["created_at"].is_string());
    let (text, _) = store.prints(0, &["show", "sessions.redb", &key]);
    assert!(text.contains("after the year 9999"), "{text}");
}

#[test]
fn a_long_list_is_whole_and_has_one_header() {
    let store = Store::of(2_345);
    let (out, _) = store.prints(0, &["list", "sessions.redb"]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 1 + 2_345);
    assert!(lines[0].trim_start().starts_with("KEY"), "{}", lines[0]);
    let listed: BTreeSet<_> =
        lines[1..].iter().map(|line| line.trim_start()[..32].into()).collect();
    let keys: BTreeSet<_> = store.keys.iter().map(ToString::to_string).collect();
    assert_eq!(listed, keys);
    // A part of the table that is exactly full is followed by nothing.
    let (out, _) = store.prints(0, &["list", "sessions.redb", "--limit", "1000"]);
    assert_eq!(out.lines().count(), 1 + 1_000);
    let (out, _) = store.prints(0, &["list", "sessions.redb", "--limit", "0"]);
    assert_eq!(out.lines().count(), 1);
}

/// The fields of all events of a session's life.
fn watched(store: &Store, open: &sessile::SessionStore<u64>) -> Fields {
    let mut watching = store.command(&["watch", "sessions.redb", "--json"]).spawn().unwrap();
    let mut lines = std::io::BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut seen = Fields::new();
    // `watch` prints the events from when it has connected.
    let lives = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while lives.load(std::sync::atomic::Ordering::SeqCst) {
                let mut session = open.create_for_user("eve", 1).unwrap();
                open.regenerate_id(&mut session).unwrap();
                open.destroy_key(&session.key()).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        for line in lines.by_ref().take(6) {
            seen.extend(fields(&serde_json::from_str(&line.unwrap()).unwrap()));
        }
        lives.store(false, std::sync::atomic::Ordering::SeqCst);
    });
    watching.kill().unwrap();
    watching.wait().unwrap();
    seen
}

#[test]
fn a_user_goes_from_a_list_to_a_flag_and_stays_the_same_user() {
    let store = Store::of(0);
    let open = store.opened();
    // A reader of JSON that rounds takes the first two for one.
    let texts = ["9007199254740993", "null", "-", "a\nb", r#""x""#];
    let users = [9_007_199_254_740_992_i64, 9_007_199_254_740_993, -9_007_199_254_740_993];
    let users = users.into_iter().map(UserId::from).chain(texts.map(UserId::from));
    let users: Vec<_> = users.chain([u128::MAX.into(), u128::MAX.to_string().into()]).collect();
    for user in &users {
        open.create_for_user(user.clone(), 1).unwrap();
    }
    let nobodys = open.create(1).unwrap().key().to_string();
    open.close().unwrap();
    for arguments in
        [&["list", "sessions.redb", "--json", "--users"][..], &["list", "sessions.redb", "--json"]]
    {
        let (out, _) = store.prints(0, arguments);
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let listed: Vec<_> = lines.filter(|line| line["user"] != Value::Null).collect();
        assert_eq!(listed.len(), users.len(), "{out}");
        for line in listed {
            let user = line["user_argument"].as_str().unwrap();
            let (out, _) = store.prints(0, &["list", "sessions.redb", "--json", "--user", user]);
            let found: Value = serde_json::from_str(&out).unwrap();
            assert_eq!((&found["user"], &found["user_argument"]), (&line["user"], &user.into()));
        }
    }
    let shown = store.json(0, &["show", "sessions.redb", &nobodys, "--json"]);
    assert_eq!((&shown["user"], shown.get("user_argument")), (&Value::Null, None));
}
