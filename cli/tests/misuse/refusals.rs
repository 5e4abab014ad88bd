//! A refusal names what is wrong, changes nothing, and says what to do.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, TableDefinition};
use sessile::admin::AdminSocket;
use sessile::{Event, Salvage, SessionStore};

use crate::Store;

const PAGE: usize = 4_096;

/// A store whose archive with contents is in `a.jsonl`.
fn exported(sessions: u64) -> Store {
    let store = Store::of(sessions);
    store.prints(0, &["export", "sessions.redb", "a.jsonl", "--with-content"]);
    store
}

impl Store {
    /// The error of a command that fails.
    fn refuses(&self, arguments: &[&str]) -> String {
        self.prints(2, arguments).1
    }

    /// Writes another archive, made of the text of `a.jsonl`.
    fn altered(&self, name: &str, alter: impl Fn(String) -> String) {
        let archive = fs::read_to_string(self.path("a.jsonl")).unwrap();
        let altered = alter(archive.clone());
        assert_ne!(altered, archive, "{name} is not altered");
        fs::write(self.path(name), altered).unwrap();
    }

    /// A copy of the store with all pages but the first overwritten.
    fn torn(&self) {
        let mut bytes = fs::read(self.path("sessions.redb")).unwrap();
        bytes[PAGE..].fill(0);
        fs::write(self.path("torn.redb"), bytes).unwrap();
    }
}

#[test]
fn a_refused_archive_creates_no_store_and_its_hint_fits_the_fault() {
    let store = exported(3);
    store.prints(0, &["export", "sessions.redb", "plain.jsonl"]);
    store.altered("cut.jsonl", |it| it.split_inclusive('\n').take(3).collect());
    store.altered("first.jsonl", |it| it.replacen("\"sessile_archive\":1", "\"other\":1", 1));
    store.altered("second.jsonl", |it| it.replacen("\"key\"", "\"kay\"", 1));
    fs::write(store.path("empty.jsonl"), "").unwrap();
    for (archive, partial_helps) in [
        ("cut.jsonl", true),
        ("first.jsonl", false),
        ("second.jsonl", false),
        ("plain.jsonl", false),
        ("empty.jsonl", false),
    ] {
        let refused = store.refuses(&["import", archive, "new.redb", "--create"]);
        assert!(!store.path("new.redb").exists(), "{archive}");
        assert!(refused.contains("nothing was changed"), "{archive}: {refused}");
        assert_eq!(refused.contains("--partial"), partial_helps, "{archive}: {refused}");
    }
    for archive in ["first.jsonl", "plain.jsonl", "empty.jsonl"] {
        let refused = store.refuses(&["import", archive, "new.redb", "--create", "--partial"]);
        assert!(!store.path("new.redb").exists(), "{archive}");
        assert!(!refused.contains("--partial"), "{archive}: {refused}");
    }
    let part = ["import", "cut.jsonl", "new.redb", "--create", "--partial", "--json"];
    assert_eq!(store.json(1, &part)["imported"], 2);
}

#[test]
fn an_archive_that_changes_during_its_import_fails_it_and_is_told_of_with_what_came_in() {
    // More than one reading of the file takes.
    let store = exported(200);
    let archive = fs::read_to_string(store.path("a.jsonl")).unwrap();
    let (path, is_cut) = (store.path("a.jsonl"), AtomicBool::new(false));
    let lines = archive.split_inclusive('\n');
    let cut: String = lines.take(150).collect();
    let cut_it = move |event: &Event| {
        if matches!(event, Event::Created { .. }) && !is_cut.swap(true, Ordering::SeqCst) {
            fs::write(&path, &cut).unwrap();
        }
    };
    let builder = SessionStore::<u64>::builder().content_name("shop").manual_maintenance();
    let open = builder.observer(cut_it).open(store.path("other.redb")).unwrap();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    let err = store.refuses(&["import", "a.jsonl", "other.redb"]);
    assert_eq!(open.len().unwrap(), 149);
    assert!(err.contains("line 151") && err.contains("149 sessions are imported"), "{err}");
    assert!(err.contains("stays") && !err.contains("nothing was changed"), "{err}");
    fs::write(store.path("a.jsonl"), archive).unwrap();
    assert_eq!(store.json(0, &["import", "a.jsonl", "other.redb", "--json"])["imported"], 51);
    open.close().unwrap();
}

#[test]
fn an_import_takes_nothing_that_no_store_can_hold() {
    let store = exported(1);
    let long = "x".repeat(256);
    for (found, instead, reason) in [
        ("\"content_name\":\"shop\"", format!("\"content_name\":\"{long}\""), "255 bytes"),
        ("\"content_name\":\"shop\"", "\"content_name\":\"\"".into(), "255 bytes"),
        ("\"content_name\":\"shop\"", "\"content_name\":\"a\\u0000b\"".into(), "NUL"),
        ("\"inactivity\":900000", "\"inactivity\":0".into(), "timeout of zero"),
        ("\"revision\":1", "\"revision\":0".into(), "revision 0"),
        ("\"revision\":1", "\"revision\":1,\"absolute\":0".into(), "timeout of zero"),
    ] {
        store.altered("b.jsonl", |it| it.replacen(found, &instead, 1));
        let refused = store.refuses(&["import", "b.jsonl", "new.redb", "--create"]);
        assert!(refused.contains(reason), "{instead}: {refused}");
        assert!(!store.path("new.redb").exists(), "{instead}");
    }
}

#[test]
fn a_restore_that_fails_names_the_backup() {
    let store = exported(50);
    store.torn();
    store.prints(0, &["backup", "sessions.redb", "good.redb"]);
    let before = fs::read(store.path("good.redb")).unwrap();
    for (backup, target) in
        [("torn.redb", "new.redb"), ("torn.redb", "good.redb"), ("a.jsonl", "good.redb")]
    {
        let refused = store.refuses(&["restore", backup, target, "--replace"]);
        let first = refused.lines().next().unwrap();
        assert!(first.contains(backup) && !first.contains(target), "{refused}");
    }
    assert!(!store.path("new.redb").exists());
    assert_eq!(fs::read(store.path("good.redb")).unwrap(), before);
}

#[test]
fn a_file_that_a_program_has_open_is_named_with_its_process() {
    let store = exported(1);
    let open = store.opened();
    let process = if cfg!(target_os = "linux") {
        format!("process {}", std::process::id())
    } else {
        "sessions.redb".into()
    };
    let refused = store.refuses(&["restore", "sessions.redb", "new.redb"]);
    assert!(refused.contains(&process), "{refused}");

    store.prints(0, &["import", "a.jsonl", "other.redb", "--create"]);
    for arguments in
        [["copy", "other.redb", "sessions.redb"], ["import", "a.jsonl", "sessions.redb"]]
    {
        let refused = store.refuses(&arguments);
        assert!(refused.contains(&process), "{arguments:?}: {refused}");
        assert!(refused.contains("serve_admin"), "{arguments:?}: {refused}");
    }
    open.close().unwrap();
}

#[test]
fn a_copy_and_an_archive_come_into_a_store_that_a_program_has_open() {
    let store = exported(3);
    store.prints(0, &["import", "a.jsonl", "other.redb", "--create"]);
    let open = store.opened();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    open.clear().unwrap();
    store.prints(0, &["copy", "other.redb", "sessions.redb"]);
    assert_eq!(open.len().unwrap(), 3);
    open.clear().unwrap();
    for expected in ["\"imported\":3", "\"already_there\":3"] {
        let (printed, _) = store.prints(0, &["import", "a.jsonl", "sessions.redb.admin", "--json"]);
        assert!(printed.contains(expected), "{printed}");
    }
    assert_eq!(open.len().unwrap(), 3);
    // The target may be of the same program as the source.
    let builder = SessionStore::<u64>::builder().content_name("shop").manual_maintenance();
    let other = builder.open(store.path("other.redb")).unwrap();
    other.serve_admin(AdminSocket::beside_file()).unwrap();
    store.prints(0, &["copy", "other.redb", "sessions.redb.admin"]);
    other.close().unwrap();
    assert!(open.check().unwrap().is_sound());
    open.close().unwrap();
}

#[test]
fn a_store_is_not_copied_into_itself() {
    let store = exported(3);
    let before = fs::read(store.path("sessions.redb")).unwrap();
    for other in ["sessions.redb", "./sessions.redb"] {
        let refused = store.refuses(&["copy", "sessions.redb", other]);
        assert!(
            refused.contains("the same store") && !refused.contains("serve_admin"),
            "{refused}"
        );
    }
    assert_eq!(fs::read(store.path("sessions.redb")).unwrap(), before);
}

#[test]
fn a_salvage_that_keeps_nothing_says_so_and_does_not_advise_itself() {
    let store = Store::of(1);
    fs::write(store.path("thesis"), "a thesis").unwrap();
    store.torn();
    for hopeless in ["thesis", "torn.redb"] {
        let refused = store.refuses(&["salvage", hopeless, "new.redb"]);
        assert!(!refused.contains("sessile salvage"), "{refused}");
        assert!(store.refuses(&["stats", hopeless]).contains("sessile salvage"));
    }
    // The root of the sessions is torn, and other roots are not.
    let sound = fs::read(store.path("sessions.redb")).unwrap();
    let keeps_nothing = |page: &usize| {
        let mut bytes = sound.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(store.path("rootless.redb"), bytes).unwrap();
        let salvaged = Salvage::new().run(store.path("rootless.redb"), store.path("tried.redb"));
        let _ = fs::remove_file(store.path("tried.redb"));
        salvaged.is_ok_and(|report| report.kept == 0)
    };
    assert!((1..sound.len() / PAGE).any(|page| keeps_nothing(&page)), "every page is spare");
    let (out, err) = store.prints(1, &["salvage", "rootless.redb", "new.redb"]);
    assert!(out.starts_with("0 sessions kept"), "{out}");
    assert!(err.contains("NOTHING was kept"), "{err}");
}

#[test]
fn stats_tell_of_the_file_its_log_and_its_format() {
    let store = Store::of(100);
    let stats = store.json(0, &["stats", "sessions.redb", "--json"]);
    let bytes = |name: &str| stats[name].as_u64().unwrap_or_else(|| panic!("{name}: {stats}"));
    assert!((1..bytes("file_bytes")).contains(&bytes("live_bytes")), "{stats}");
    assert_eq!((bytes("format"), bytes("pending_touches")), (1, 0));
    let (text, _) = store.prints(0, &["stats", "sessions.redb"]);
    for row in ["in use", "log", "format", "touches"] {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row}: {text}");
    }
    let open = store.opened();
    open.create(1).unwrap();
    open.serve_admin(AdminSocket::beside_file()).unwrap();
    let stats = store.json(0, &["stats", "sessions.redb", "--json"]);
    assert!(stats["log_used_bytes"].as_u64() <= stats["log_bytes"].as_u64(), "{stats}");
    assert!(stats["log_bytes"].as_u64() > Some(0), "{stats}");
    open.close().unwrap();
}

#[test]
fn every_verb_has_a_manual_page_and_a_row_in_the_page_of_the_tool() {
    let store = Store::of(0);
    let of_tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tool.md");
    let of_tool = fs::read_to_string(of_tool).unwrap();
    store.prints(0, &["man", "pages"]);
    let page = |name: &str| fs::read_to_string(store.path("pages").join(name)).unwrap();
    assert!(page("sessile.1").contains("salvage"));
    assert!(page("sessile-revoke.1").replace('\\', "").contains("--dry-run"));
    let help = store.prints(0, &["help"]).0;
    let (_, verbs) = help.split_once("Commands:\n").unwrap();
    let verbs = verbs.lines().take_while(|line| !line.is_empty());
    let verbs: Vec<_> = verbs.filter(|line| !line.starts_with("    ")).collect();
    assert!(verbs.len() > 15, "{help}");
    for verb in verbs.iter().filter_map(|line| line.split_whitespace().next()) {
        assert!(verb == "help" || page(&format!("sessile-{verb}.1")).contains(verb), "{verb}");
        assert!(verb == "help" || of_tool.contains(&format!("\n| `{verb} ")), "{verb}");
    }
}

/// `check` of a store with a damaged record has a problem to print.
pub(crate) fn damage(store: &Store) {
    const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
    let database = Database::open(store.path("sessions.redb")).unwrap();
    let writing = database.begin_write().unwrap();
    let mut table = writing.open_table(SESSIONS).unwrap();
    table.insert(store.keys[0].as_bytes(), &[0][..]).unwrap();
    drop(table);
    writing.commit().unwrap();
}
