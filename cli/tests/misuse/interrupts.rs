//! Ctrl-C ends the tool, and leaves nothing behind.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::program::{Answer, PATIENCE, Program, ended, line_of, signal};
use crate::{Store, ends};

const ENDLESS: Answer = |call, out| loop {
    writeln!(out, "{}", line_of(call))?;
};

const SILENT: Answer = |_, _| loop {
    thread::park();
};

const VERBS: [(&[&str], &str); 8] = [
    (&["stats", "door"], "scan"),
    (&["list", "door"], "scan"),
    (&["list", "door", "--users"], "scan_users"),
    (&["check", "door"], "check"),
    (&["revoke", "door", "--idle-for", "1h", "--dry-run"], "scan"),
    (&["revoke", "door", "--user", "ann", "--dry-run"], "scan_user"),
    (&["revoke", "door", "--all", "--dry-run"], "scan"),
    (&["export", "door"], "scan"),
];

/// Types keys at a question on a terminal, and prints the exit code.
const TYPE: &str = r#"
import os, pty, signal, sys, time
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], [sys.argv[1], "revoke", sys.argv[2], "--all"])
seen = b""
while b"[y/N]" not in seen:
    seen += os.read(terminal, 1000)
for key in sys.argv[3:]:
    try:
        os.write(terminal, bytes(key, "ascii").replace(b"^C", b"\x03"))
        time.sleep(0.5)
    except OSError:
        break
try:
    while os.read(terminal, 1000):
        pass
except OSError:
    pass
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn ctrl_c_at_the_question_ends_the_tool_and_no_session() {
    let store = Store::of(10);
    let typed = |keys: &[&str]| {
        let mut python = Command::new("python3");
        python.args(["-c", TYPE, env!("CARGO_BIN_EXE_sessile")]);
        let output = python.arg(store.path("sessions.redb")).args(keys).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let sessions = || store.json(0, &["stats", "sessions.redb", "--json"])["sessions"].clone();
    assert_eq!(typed(&["^C", "y\n"]), "130");
    assert_eq!(sessions(), 10);
    assert_eq!(typed(&["n\n"]), "2");
    assert_eq!(sessions(), 10);
    assert_eq!(typed(&["y\n"]), "0");
    assert_eq!(sessions(), 0);
}

#[test]
fn ctrl_c_ends_each_verb_that_goes_through_a_store() {
    let store = Store::of(0);
    let program = Program::at(&store.path("door"), ENDLESS);
    for (arguments, call) in VERBS {
        let mut command = store.command(arguments);
        let child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        program.was_asked(call);
        signal(&child, "-INT");
        let (_, err) = ends(&ended(child), 130, arguments);
        assert!(err.contains("interrupted"), "{arguments:?}: {err}");
    }
}

/// Tells again and again that nothing has happened.
const QUIET: Answer = |_, out| loop {
    writeln!(out, r#"{{"alive":{{}}}}"#)?;
    thread::sleep(Duration::from_millis(1));
};

#[test]
fn ctrl_c_ends_a_watch_as_it_ends_each_verb_whatever_the_program_does() {
    let arguments = ["watch", "door"];
    for answer in [QUIET, SILENT] {
        let store = Store::of(0);
        let program = Program::at(&store.path("door"), answer);
        let child = store.command(&arguments).spawn().unwrap();
        program.was_asked("watch");
        signal(&child, "-INT");
        let (_, err) = ends(&ended(child), 130, &arguments);
        assert_eq!(err, "sessile: interrupted\n");
    }
}

#[test]
fn ctrl_c_ends_each_verb_that_waits_for_a_program_that_hangs() {
    let store = Store::of(0);
    let program = Program::at(&store.path("door"), SILENT);
    for (arguments, call) in VERBS {
        let child = store.command(arguments).spawn().unwrap();
        program.was_asked(call);
        signal(&child, "-INT");
        ends(&ended(child), 130, arguments);
    }
    // One that does not even begin.
    let _listening = std::os::unix::net::UnixListener::bind(store.path("dead")).unwrap();
    let child = store.command(&["stats", "dead"]).spawn().unwrap();
    signal(&child, "-INT");
    ends(&ended(child), 130, &["stats", "dead"]);
}

/// Set once the ignored signals were sent.
static SENT: AtomicBool = AtomicBool::new(false);

const UNTIL_SENT: Answer = |call, out| {
    while !SENT.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..300 {
        writeln!(out, "{}", line_of(call))?;
    }
    writeln!(out, r#"{{"done":{{}}}}"#)
};

#[test]
fn a_signal_that_the_caller_has_ignored_ends_nothing() {
    let store = Store::of(0);
    let program = Program::at(&store.path("door"), UNTIL_SENT);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP TERM; exec \"$0\" stats door", env!("CARGO_BIN_EXE_sessile")]);
    shell.current_dir(store.path("")).stdin(Stdio::null());
    let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    program.was_asked("scan");
    signal(&child, "-HUP");
    signal(&child, "-TERM");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    // HUP is 1 and TERM is 15.
    assert_eq!(caught & (1 | 1 << 14), 0, "{status}");
    SENT.store(true, Ordering::SeqCst);
    let (out, _) = ends(&ended(child), 1, &["stats", "door"]);
    assert!(out.contains("damaged       300"), "{out}");
}

#[test]
fn a_program_that_hangs_is_told_of() {
    let store = Store::of(0);
    let program = Program::at(&store.path("door"), SILENT);
    let mut child = store.command(&["stats", "door"]).spawn().unwrap();
    program.was_asked("scan");
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let (send, lines) = std::sync::mpsc::channel();
    thread::spawn(move || send.send(told.next()));
    let told = lines.recv_timeout(PATIENCE);
    signal(&child, "-INT");
    ends(&ended(child), 130, &["stats", "door"]);
    let told = told.unwrap().unwrap().unwrap();
    assert!(told.contains("has not answered for 5 s") && told.contains("Ctrl-C"), "{told}");
}

#[test]
fn ctrl_c_ends_the_first_pass_over_an_archive_and_creates_no_store() {
    let store = Store::of(1);
    store.prints(0, &["export", "sessions.redb", "a.jsonl", "--with-content"]);
    let archive = fs::read_to_string(store.path("a.jsonl")).unwrap();
    let lines: Vec<_> = archive.lines().collect();
    let mut long = format!("{}\n", lines[0]);
    for _ in 0..400_000 {
        writeln!(long, "{}", lines[1]).unwrap();
    }
    fs::write(store.path("long.jsonl"), long).unwrap();
    let arguments = ["import", "long.jsonl", "new.redb", "--create"];
    let child = store.command(&arguments).spawn().unwrap();
    signal(&child, "-INT");
    ends(&ended(child), 130, &arguments);
    assert!(!store.path("new.redb").exists());
}

#[test]
fn ctrl_c_leaves_no_half_made_store_where_one_is_created() {
    let store = Store::of(1);
    store.prints(0, &["export", "sessions.redb", "a.jsonl", "--with-content"]);
    // The request to end arrives during the first sync, which takes long.
    let inject = "inject=fdatasync:signal=SIGTERM:delay_exit=300000:when=1";
    let arguments = ["import", "a.jsonl", "new.redb", "--create"];
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "calls", "-e", "trace=fdatasync", "-e", inject]);
    let traced = strace.arg(env!("CARGO_BIN_EXE_sessile")).args(arguments);
    let traced = traced.current_dir(store.folder.path()).output();
    let calls = fs::read_to_string(store.path("calls")).unwrap_or_default();
    if !calls.contains("INJECTED") && !calls.contains("SIGTERM") {
        eprintln!("skipped: strace is missing, or may trace nothing");
        return;
    }
    ends(&traced.unwrap(), 130, &arguments);
    store.prints(0, &["check", "new.redb"]);
}

#[test]
fn ctrl_c_ends_a_restore_that_copies_its_backup() {
    let store = Store::of(1);
    store.prints(0, &["backup", "sessions.redb", "backup.redb"]);
    // Much to copy, and no store once that is done: only the first page is left.
    let backup = fs::File::options().write(true).open(store.path("backup.redb")).unwrap();
    backup.set_len(4_096).unwrap();
    backup.set_len(1 << 30).unwrap();
    let before = fs::read(store.path("sessions.redb")).unwrap();
    let arguments = ["restore", "backup.redb", "sessions.redb", "--replace"];
    let child = store.command(&arguments).spawn().unwrap();
    signal(&child, "-INT");
    ends(&ended(child), 130, &arguments);
    assert_eq!(fs::read(store.path("sessions.redb")).unwrap(), before);
    assert_eq!(store.drafts(), Vec::<String>::new());
}

#[test]
fn the_second_ctrl_c_and_a_kill_leave_no_draft() {
    let store = Store::of(0);
    let program = Program::at(&store.path("door"), SILENT);
    for arguments in [&["export", "door", "a.jsonl"][..], &["backup", "door", "b.redb"]] {
        let child = store.command(arguments).spawn().unwrap();
        program.was_asked("scan");
        signal(&child, "-INT");
        thread::sleep(Duration::from_millis(200));
        signal(&child, "-INT");
        ends(&ended(child), 130, arguments);
        assert_eq!(store.drafts(), Vec::<String>::new(), "{arguments:?}");
    }
    let child = store.command(&["export", "door", "a.jsonl"]).spawn().unwrap();
    program.was_asked("scan");
    signal(&child, "-KILL");
    ended(child);
    assert_eq!(store.drafts(), Vec::<String>::new());
    assert!(!store.path("a.jsonl").exists());
}
