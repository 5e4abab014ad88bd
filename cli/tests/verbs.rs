//! The tool as a shell calls it: every verb, its refusals, its JSON and its exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sessile::admin::AdminSocket;
use sessile::{Attributes, SessionKey, SessionStore, Timeouts};

struct Store {
    folder: tempfile::TempDir,
    ann: Vec<SessionKey>,
    bob: SessionKey,
    ids: Vec<String>,
}

impl Store {
    /// Three sessions of Ann, one of user 42, one without a user; timeouts of 30 and 60 days.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let timeouts = Timeouts::from_seconds(30 * 86_400, 60 * 86_400).unwrap();
        let store: SessionStore = SessionStore::builder()
            .timeouts(timeouts)
            .content_name("shop")
            .manual_maintenance()
            .open(folder.path().join("sessions.redb"))
            .unwrap();
        let mut cart = Attributes::new();
        cart.set("cart", ["tea"]).unwrap();
        let mut ids = Vec::new();
        let mut create = |user: Option<sessile::UserId>| {
            let session = match user {
                Some(user) => store.create_for_user(user, cart.clone()).unwrap(),
                None => store.create(cart.clone()).unwrap(),
            };
            ids.push(session.id().encode().to_string());
            session.key()
        };
        let ann = (0..3).map(|_| create(Some("ann".into()))).collect();
        let bob = create(Some(42.into()));
        create(None);
        store.close().unwrap();
        Self { folder, ann, bob, ids }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = command(self.folder.path(), arguments).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(!err.contains("panicked"), "{arguments:?}: {err}");
        for id in &self.ids {
            assert!(!out.contains(id) && !err.contains(id), "{arguments:?} shows an id");
        }
        output
    }

    /// The standard output of a command that must end with this exit code.
    fn prints(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        text(&output.stdout)
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(code, arguments)).unwrap()
    }

    /// The error text of a command that must be refused.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        err
    }

    fn sessions(&self, file: &str) -> u64 {
        self.json(0, &["stats", file, "--json"])["sessions"].as_u64().unwrap()
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// That nobody else may read the file, where files have modes.
fn assert_private(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
    assert!(metadata.is_file());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn no_verb_creates_a_store_or_touches_what_is_none() {
    let store = Store::new();
    fs::write(store.path("thesis"), "a thesis").unwrap();
    for verb in ["stats", "list", "sweep", "compact", "check"] {
        assert!(store.refuses(&[verb, "sesions.redb"]).contains("check the path"), "{verb}");
        assert!(store.refuses(&[verb, "thesis"]).contains("not a session store"), "{verb}");
    }
    assert!(!store.path("sesions.redb").exists());
    assert_eq!(fs::read(store.path("thesis")).unwrap(), b"a thesis");
}

#[test]
fn a_url_is_a_target_where_a_verb_takes_one_and_its_password_is_not_shown() {
    let store = Store::new();
    for verb in ["stats", "list", "check", "sweep"] {
        // Nobody listens on port 1.
        for url in ["redis://ann:hidden@127.0.0.1:1/", "postgres://ann:hidden@127.0.0.1:1/"] {
            let refused = store.refuses(&[verb, url]);
            assert!(refused.contains("127.0.0.1:1") && !refused.contains("hidden"), "{refused}");
        }
        let refused = store.refuses(&[verb, "https://ann:hidden@example.com"]);
        assert!(refused.contains("scheme") && !refused.contains("hidden"), "{refused}");
    }
    let refused = store.refuses(&["compact", "redis://ann:hidden@127.0.0.1:1/"]);
    assert!(refused.contains("needs a file") && !refused.contains("hidden"), "{refused}");
    let key = store.bob.to_string();
    for arguments in [
        // In the wrong order, mistyped, as a flag's value, and in the place of a verb.
        &["show", &key, "redis://ann:hidden@127.0.0.1:1/"][..],
        &["show", "postgres:ann:hidden@127.0.0.1:1/", &key],
        &["show", "mongodb:ann:hidden@127.0.0.1:1/", &key],
        &["list", "sessions.redb", "--limit=mysql://ann:hidden@127.0.0.1:1/d"],
        &["redis://ann:hidden@127.0.0.1:1/"],
        // One begins with the other.
        &["copy", "redis://ann", "other", "redis://ann:hidden@127.0.0.1:1/"],
    ] {
        let refused = store.refuses(arguments);
        assert!(!refused.contains("hidden"), "{refused}");
    }
}

#[test]
fn a_name_that_commands_a_terminal_is_shown_without_its_commands() {
    let store = Store::new();
    let name = "\u{1b}[2J\u{61c}.redb";
    for arguments in [&["stats", name][..], &["import", name, "new.redb", "--create"]] {
        let refused = store.refuses(arguments);
        assert!(refused.contains("\\u{1b}[2J\\u{61c}.redb"), "{refused}");
    }
    let written = store.prints(0, &["backup", "sessions.redb", name]);
    assert!(written.contains("\\u{1b}[2J"), "{written}");
}

#[test]
fn stats_tell_what_is_there() {
    let store = Store::new();
    let stats = store.json(0, &["stats", "sessions.redb", "--json", "--utc"]);
    assert_eq!(stats["sessions"], 5);
    assert_eq!((&stats["with_user"], &stats["without_user"]), (&4.into(), &1.into()));
    assert_eq!(stats["users"], 2);
    assert_eq!(stats["content_name"], "shop");
    assert_eq!(stats["timeouts"]["inactivity_ms"], 30_u64 * 86_400_000);
    assert!(stats["oldest"].as_str().unwrap().ends_with("+00:00"));
    let text = store.prints(0, &["stats", "sessions.redb"]);
    assert!(text.contains("30d of inactivity, 60d in all"), "{text}");
}

#[test]
fn sessions_are_listed_by_activity_chosen_and_paged() {
    let store = Store::new();
    let listed = |arguments: &[&str]| -> Vec<Value> {
        let out = store.prints(0, &[&["list", "sessions.redb", "--json"], arguments].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = listed(&[]);
    assert_eq!(all.len(), 5);
    let times: Vec<_> = all.iter().map(|it| it["last_active_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");
    let first = listed(&["--limit", "2"]);
    let after = first[1]["key"].as_str().unwrap();
    let rest = listed(&["--after", after]);
    assert_eq!([first, rest].concat(), all);
    assert_eq!(listed(&["--user", "ann"]).len(), 3);
    assert_eq!(listed(&["--user", "42"])[0]["user"], 42);
    assert_eq!(listed(&["--user", "\"42\""]).len(), 0);
    assert_eq!(listed(&["--idle-for", "1h"]).len(), 0);
    assert_eq!(listed(&["--expires-within", "31d"]).len(), 5);
    assert_eq!(listed(&["--expires-within", "1d"]).len(), 0);
    assert_eq!(listed(&["--content"])[0]["content"]["cart"][0], "tea");
    let users = listed(&["--users"]);
    assert_eq!((&users[0]["user"], &users[0]["sessions"]), (&"ann".into(), &3.into()));
    let table = store.prints(0, &["list", "sessions.redb"]);
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(store.refuses(&["list", "sessions.redb", "--idle-for", "soon"]).contains("30s, 15m"));
}

#[test]
fn one_session_is_shown_with_its_content() {
    let store = Store::new();
    let key = store.bob.to_string();
    let shown = store.json(0, &["show", "sessions.redb", &key, "--json"]);
    assert_eq!((&shown["user"], &shown["revision"]), (&42.into(), &1.into()));
    assert_eq!(shown["content"]["cart"][0], "tea");
    assert!(store.prints(0, &["show", "sessions.redb", &key]).contains("{\"cart\":[\"tea\"]}"));
    let other = "0".repeat(32);
    assert!(store.refuses(&["show", "sessions.redb", &other]).contains("there is no session"));
}

#[test]
fn an_id_on_the_command_line_is_refused_and_not_shown() {
    let store = Store::new();
    let id = store.ids.iter().find(|id| !id.starts_with('-')).unwrap();
    let file = "sessions.redb";
    for arguments in [
        &["show", file, id][..],
        &["show", file, &format!("id={id}")],
        &["show", file, &format!(" \"{id}\" ")],
        &["show", file, &format!("{id}x")],
        &["stats", file, id],
        &["revoke", file, id, "--yes"],
        &["revoke", file, "--all-but", id, "--yes"],
        &["list", file, "--after", id],
        &["list", file, &format!("--after={id}")],
        &[id],
    ] {
        let refused = store.refuses(arguments);
        assert!(refused.contains("`sessile list` shows the keys"), "{refused}");
    }
    store.refuses(&["stats", id]);
    store.prints(0, &["revoke", file, "--user", id, "--yes"]);
    assert_eq!(store.sessions(file), 5);
}

#[test]
fn sessions_end_by_key_by_user_and_all_but_one_and_only_when_told_so() {
    let store = Store::new();
    let keep = store.ann[0].to_string();
    let revoke = ["revoke", "sessions.redb"];
    assert!(store.refuses(&[&revoke[..], &["--all"]].concat()).contains("--yes"));
    let dry = store.json(0, &[&revoke[..], &["--all", "--dry-run", "--json"]].concat());
    assert_eq!(dry["would_end"], 5);
    assert_eq!(store.sessions("sessions.redb"), 5);
    let ended = store.json(0, &[&revoke[..], &["--all-but", &keep, "-y", "--json"]].concat());
    assert_eq!(ended["ended"], 2);
    let gone = store.ann[1].to_string();
    store.prints(1, &[&revoke[..], &[&gone, &store.bob.to_string(), "--yes"]].concat());
    assert_eq!(store.sessions("sessions.redb"), 2);
    let none = store.json(0, &[&revoke[..], &["--idle-for", "1h", "-y", "--json"]].concat());
    assert_eq!(none["ended"], 0);
    let ended = store.json(0, &[&revoke[..], &["--user", "ann", "-y", "--json"]].concat());
    assert_eq!(ended["ended"], 1);
    assert_eq!(store.json(0, &[&revoke[..], &["--all", "-y", "--json"]].concat())["ended"], 1);
    let none = store.run(&revoke);
    assert_eq!(none.status.code(), Some(2), "`revoke` without sessions to end is refused");
}

#[test]
fn a_sweep_goes_by_the_timeouts_on_record_unless_told_otherwise() {
    let store = Store::new();
    let sweep = ["sweep", "sessions.redb", "--json"];
    assert_eq!(store.json(0, &sweep)["swept"], 0);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let others = ["--inactivity", "1ms", "--absolute", "1ms"];
    assert_eq!(store.json(0, &[&sweep[..], &others].concat())["swept"], 5);
    store.prints(2, &["sweep", "sessions.redb", "--inactivity", "1ms"]);
}

#[test]
fn check_and_compact_say_what_they_found() {
    let store = Store::new();
    let report = store.json(0, &["check", "sessions.redb", "--json"]);
    assert_eq!((&report["sound"], &report["sessions"]), (&true.into(), &5.into()));
    let compacted = store.json(0, &["compact", "sessions.redb", "--json"]);
    let bytes = |name: &str| compacted[name].as_u64().unwrap();
    assert!(bytes("bytes_after") <= bytes("bytes_before"));
    assert_eq!(store.sessions("sessions.redb"), 5);
}

#[test]
fn a_damaged_file_is_refused_and_a_sound_one_is_salvaged() {
    let store = Store::new();
    let mut bytes = fs::read(store.path("sessions.redb")).unwrap();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page.fill(0);
    }
    fs::write(store.path("damaged.redb"), &bytes).unwrap();
    assert!(store.refuses(&["check", "damaged.redb"]).contains("salvage"));
    let report = store.json(0, &["salvage", "sessions.redb", "sound.redb", "--json"]);
    assert_eq!((&report["kept"], &report["lost_count"]), (&5.into(), &0.into()));
    assert!(store.refuses(&["salvage", "sessions.redb", "sound.redb"]).contains("written over"));
}

#[test]
fn a_backup_is_restored_without_what_must_not_come_back() {
    let store = Store::new();
    let backup = store.json(0, &["backup", "sessions.redb", "backup.redb", "--json"]);
    assert_eq!(backup["sessions"], 5);
    assert_private(&store.path("backup.redb"));
    assert!(store.refuses(&["backup", "sessions.redb", "backup.redb"]).contains("written over"));
    let restore = ["restore", "backup.redb", "sessions.redb"];
    assert!(store.refuses(&restore).contains("--replace"));
    let without = ["--replace", "--without-user", "ann", "--json"];
    let restored = store.json(0, &[&restore[..], &without].concat());
    assert_eq!((&restored["sessions"], &restored["left_out"]), (&2.into(), &3.into()));
    assert_eq!(store.sessions("sessions.redb"), 2);
    let old = ["restore", "backup.redb", "none.redb", "--created-before", "0s", "--json"];
    assert_eq!(store.json(0, &old)["sessions"], 0);
}

#[test]
fn a_user_whose_text_only_resembles_a_number_is_left_out_listed_and_ended_by_that_text() {
    let store = Store::new();
    let open: SessionStore = SessionStore::builder()
        .content_name("shop")
        .manual_maintenance()
        .open(store.path("members.redb"))
        .unwrap();
    let texts = ["+4917612345", "007", r"dom\ann", "a\"b", "a\nb", " x", "\"x\"", "5\""];
    for user in texts.into_iter().chain([&*u128::MAX.to_string()]) {
        open.create_for_user(user, Attributes::new()).unwrap();
    }
    for number in [7, 4_917_612_345, u128::MAX] {
        open.create_for_user(number, Attributes::new()).unwrap();
    }
    open.close().unwrap();
    let users = store.prints(0, &["list", "members.redb", "--users"]);
    let users = users.lines().skip(1).map(|row| row.trim().strip_suffix('1').unwrap().trim());
    let in_json = store.prints(0, &["list", "members.redb", "--users", "--json"]);
    let in_json = in_json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The JSON of a number of more than 64 bits is a text of its digits, as that of the text.
    let in_json = in_json.map(|it| it["user"].to_string());
    let spellings: Vec<_> = users.map(str::to_owned).chain(in_json).collect();
    assert_eq!(spellings.len(), 2 * 12, "{spellings:?}");
    for user in spellings {
        let listed = store.prints(0, &["list", "members.redb", "--json", "--user", &user]);
        assert_eq!(listed.lines().count(), 1, "{user} as it is listed");
    }
    let (number, digits) = (u128::MAX.to_string(), format!("\"{}\"", u128::MAX));
    let dom = (r#""dom\\ann""#, r"dom\ann");
    for (user, shown) in [dom, (&*number, &*number), (&*digits, &*digits)] {
        let revoke = ["revoke", "members.redb", "--yes", "--user", user];
        let ended = store.run(&revoke);
        assert_eq!(text(&ended.stdout) + &text(&ended.stderr), "1 session ended\n");
        let again = store.run(&revoke);
        let warning = format!("--user: {shown} has no live session");
        assert!(text(&again.stderr).contains(&warning), "{again:?}");
    }
    let restore = ["restore", "members.redb", "restored.redb", "--without-user", "+4917612345"];
    let restored = store.run(&restore);
    assert_eq!((text(&restored.stderr), restored.status.code()), (String::new(), Some(0)));
    assert!(text(&restored.stdout).ends_with("; 1 left out\n"), "{restored:?}");
    let left = |user| store.prints(0, &["list", "restored.redb", "--json", "--user", user]);
    assert_eq!(left("+4917612345"), "");
    assert_eq!(left("4917612345").lines().count(), 1);
    store.prints(0, &["revoke", "restored.redb", "--user", "007", "--yes"]);
    assert_eq!((left("007"), left("7").lines().count()), (String::new(), 1));
}

#[test]
fn a_copy_that_leaves_nothing_out_says_so_and_names_each_user_without_a_session() {
    let store = Store::new();
    let left_out = ["--without-user", "anne", "--without-user", "\"42\"", "--without-user", "ann"];
    let old = ["--created-before", "52w"];
    for (verb, new) in [("restore", ["r1.redb", "r2.redb"]), ("export", ["1.jsonl", "2.jsonl"])] {
        let output = store.run(&[&[verb, "sessions.redb", new[0]], &left_out[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output.stdout).ends_with("; 3 left out\n"), "{output:?}");
        let err = text(&output.stderr);
        let named: Vec<_> = err.lines().collect();
        assert_eq!(named.len(), 2, "{err}");
        assert!(named[0].contains("anne has no session"), "{err}");
        assert!(named[1].contains("\"42\" has no session"), "{err}");
        let none = store.run(&[&[verb, "sessions.redb", new[1]], &old[..]].concat());
        assert!(text(&none.stdout).ends_with("; 0 left out\n"), "{none:?}");
        assert_eq!((text(&none.stderr), none.status.code()), (String::new(), Some(0)));
    }
    let told = store.run(&[&["export", "sessions.redb"], &left_out[..]].concat());
    let err = text(&told.stderr);
    assert!(
        err.contains("anne has no session") && err.contains("2 sessions; 3 left out\n"),
        "{err}"
    );
    let told = store.run(&[&["export", "sessions.redb"], &old[..]].concat());
    assert_eq!(text(&told.stderr), "sessile: 5 sessions; 0 left out\n");
}

#[test]
fn an_id_in_a_part_of_an_argument_is_shown_by_no_message() {
    let store = Store::new();
    for cookie in [format!("__Host-session={}", store.ids[0]), format!("{}; Path=/", store.ids[0])]
    {
        // `run` looks for the ids.
        let whom = ["revoke", "sessions.redb", "--user", &cookie, "--yes"];
        let told = store.run(&whom);
        assert!(text(&told.stderr).contains("ID"), "{told:?}");
        for arguments in [
            &["list", &cookie][..],
            &["watch", &cookie],
            &["import", &cookie, "sessions.redb"],
            &["export", "sessions.redb", &cookie, "--without-user", &cookie],
            &["check", &cookie],
        ] {
            let told = store.run(arguments);
            assert!(format!("{told:?}").contains("ID"), "{arguments:?}: {told:?}");
        }
    }
}

#[test]
fn an_archive_goes_out_and_comes_back_and_a_cut_one_is_refused() {
    let store = Store::new();
    let plain = store.prints(0, &["export", "sessions.redb"]);
    assert_eq!(plain.lines().count(), 7);
    assert!(!plain.contains("\"content\":"));
    let export = ["export", "sessions.redb", "a.jsonl", "--with-content", "--json"];
    assert_eq!(store.json(0, &export)["sessions"], 5);
    assert!(store.refuses(&export).contains("a.jsonl"), "no file is written over");
    assert_private(&store.path("a.jsonl"));

    let import = ["import", "a.jsonl", "new.redb"];
    assert!(store.refuses(&import).contains("--create"));
    let imported = store.json(0, &[&import[..], &["--create", "--json"]].concat());
    assert_eq!(imported["imported"], 5);
    let again = store.json(0, &[&import[..], &["--json"]].concat());
    assert_eq!((&again["imported"], &again["already_there"]), (&0.into(), &5.into()));

    let archive = fs::read_to_string(store.path("a.jsonl")).unwrap();
    let cut: String = archive.split_inclusive('\n').take(3).collect();
    fs::write(store.path("cut.jsonl"), cut).unwrap();
    let import = ["import", "cut.jsonl", "cut.redb", "--create"];
    assert!(store.refuses(&import).contains("line 4"));
    let partial = store.json(1, &[&import[..], &["--partial", "--json"]].concat());
    assert_eq!(partial["imported"], 2);
    assert!(partial["fault"].as_str().unwrap().contains("line 4"));
}

#[test]
fn a_store_is_copied_into_another_and_compared() {
    let store = Store::new();
    let copy = ["copy", "sessions.redb", "other.redb"];
    assert!(store.refuses(&copy).contains("--create"));
    let copied = store.json(0, &[&copy[..], &["--create", "--json"]].concat());
    assert_eq!((&copied["copied"], &copied["equal"]), (&5.into(), &5.into()));
    store.prints(0, &["revoke", "sessions.redb", "--user", "42", "-y"]);
    assert_eq!(store.json(1, &[&copy[..], &["--json"]].concat())["differing_count"], 1);
    assert_eq!(store.json(0, &[&copy[..], &["--exact", "--json"]].concat())["ended"], 1);
}

#[test]
fn a_file_that_a_program_has_open_is_refused_with_its_process() {
    let store = Store::new();
    let held = SessionStore::<Attributes>::builder()
        .content_name("shop")
        .open(store.path("sessions.redb"))
        .unwrap();
    let refused = store.refuses(&["stats", "sessions.redb"]);
    if cfg!(target_os = "linux") {
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    }
    assert_eq!(refused.lines().count(), 4, "an error, two causes and a hint: {refused}");
    drop(held);
}

#[test]
fn shells_and_man_are_told_of_every_verb() {
    let store = Store::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(store.prints(0, &["completions", shell]).contains("salvage"), "{shell}");
    }
    assert!(store.prints(0, &["man"]).contains("salvage"));
}

/// Every verb that works through a program's admin socket, while the program has the file open.
#[test]
fn a_running_program_is_looked_into_through_its_door() {
    let store = Store::new();
    let running = SessionStore::<Attributes>::builder()
        .content_name("shop")
        .timeouts(Timeouts::from_seconds(30 * 86_400, 60 * 86_400).unwrap())
        .open(store.path("sessions.redb"))
        .unwrap();
    let closed = store.refuses(&["list", "sessions.redb"]);
    assert!(closed.contains("serve_admin"), "{closed}");
    running.serve_admin(AdminSocket::beside_file()).unwrap();

    let stats = store.json(0, &["stats", "sessions.redb", "--json"]);
    assert_eq!((&stats["sessions"], &stats["content_name"]), (&5.into(), &"shop".into()));
    assert_eq!(stats["program"]["maintenance_failures"], 0);
    let by_socket = store.json(0, &["stats", "sessions.redb.admin", "--json"]);
    assert_eq!(by_socket["sessions"], 5);
    let listed = store.prints(0, &["list", "sessions.redb", "--json", "--content"]);
    assert_eq!(listed.lines().count(), 5);
    assert!(listed.contains("tea"));
    assert!(store.prints(0, &["list", "sessions.redb", "--users"]).contains("ann"));
    let key = store.bob.to_string();
    assert_eq!(store.json(0, &["show", "sessions.redb", &key, "--json"])["user"], 42);
    assert_eq!(store.json(0, &["check", "sessions.redb", "--json"])["sound"], true);
    assert_eq!(store.json(0, &["sweep", "sessions.redb", "--json"])["swept"], 0);
    let others = ["sweep", "sessions.redb", "--inactivity", "1ms", "--absolute", "1ms"];
    assert!(store.refuses(&others).contains("own timeouts"));

    let mut watching = command(store.folder.path(), &["watch", "sessions.redb", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = std::io::BufReader::new(watching.stdout.take().unwrap()).lines();
    // `watch` prints events from when it has connected: sessions are created until it prints one.
    let seen = std::sync::atomic::AtomicBool::new(false);
    let session = std::thread::scope(|scope| {
        let creating = scope.spawn(|| {
            let mut last = None;
            while !seen.load(std::sync::atomic::Ordering::SeqCst) {
                last = Some(running.create_for_user("eve", Attributes::new()).unwrap());
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            last.unwrap()
        });
        let first: Value = serde_json::from_str(&events.next().unwrap().unwrap()).unwrap();
        seen.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!((&first["event"], &first["user"]), (&"created".into(), &"eve".into()));
        creating.join().unwrap()
    });
    let revoke = ["revoke", "sessions.redb", &session.key().to_string(), "--yes", "--json"];
    assert_eq!(store.json(0, &revoke)["ended"], 1);
    assert!(running.read(session.id()).unwrap().is_none(), "the program sees it at once");
    let ended = events.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let ended = ended.into_iter().find(|event| event["event"] == "ended").unwrap();
    assert_eq!(ended["key"], session.key().to_string());
    watching.kill().unwrap();
    watching.wait().unwrap();
    store.json(0, &["revoke", "sessions.redb", "--user", "eve", "--yes", "--json"]);
    assert_eq!(running.len().unwrap(), 5);

    assert_eq!(store.json(0, &["backup", "sessions.redb", "b.redb", "--json"])["sessions"], 5);
    let export = ["export", "sessions.redb", "a.jsonl", "--with-content", "--json"];
    assert_eq!(store.json(0, &export)["sessions"], 5);
    assert_eq!(
        store.json(0, &["copy", "sessions.redb", "c.redb", "--create", "--json"])["equal"],
        5
    );
    assert!(store.refuses(&["compact", "sessions.redb"]).contains("the file to itself"));
    running.close().unwrap();
    assert_eq!(store.sessions("sessions.redb"), 5);
    assert!(store.refuses(&["watch", "sessions.redb"]).contains("serve_admin"));
}
