//! What another process sends, and an output that cannot be written.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::program::{Answer, Program, ended, line_of};
use crate::{Store, ends, on_a_terminal};

const HOSTILE: Answer = |_, out| {
    let esc = r"\u001b[2J\u202e";
    let key = "00000000000000000000000000000001";
    writeln!(out, r#"{{"alive":{{}}}}"#)?;
    for line in [
        format!(r#"{{"event":"{esc}","key":"{esc}","reason":"{esc}","text":"{esc}"}}"#),
        format!(r#"{{"event":"regenerated","key":"{key}","old":"{esc}","text":""}}"#),
        format!(r#"{{"event":"note","text":"{esc}"}}"#),
        format!(r#"{{"event":"created","key":"{key}","user":{{"text":"{esc}"}},"text":""}}"#),
        format!(r#"{{"event":"created","key":"{key}","user":{{"number":"{esc}"}},"text":""}}"#),
        format!(r#"{{"event":"created","key":"{key}","user":{{"text":"zoe"}},"text":""}}"#),
        format!(r#"{{"event":"created","key":"{key}","user":{{"text":"42"}},"text":""}}"#),
        format!(r#"{{"event":"created","key":"{key}","user":{{"number":"42"}},"text":""}}"#),
    ] {
        writeln!(out, r#"{{"event":{line}}}"#)?;
    }
    writeln!(out, r#"{{"done":{{}}}}"#)
};

#[test]
fn events_command_no_terminal_and_name_users_as_a_list_does() {
    let store = Store::of(0);
    let _program = Program::at(&store.path("door"), HOSTILE);
    let (out, _) = store.prints(0, &["watch", "door"]);
    let control = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
    assert!(!out.contains(control), "{out:?}");
    let users: Vec<_> = out.lines().filter_map(|line| line.split(" created ").nth(1)).collect();
    let users: Vec<_> = users.iter().map(|rest| rest.split(' ').next_back().unwrap()).collect();
    assert_eq!(&users[2..], ["zoe", "\"42\"", "42"], "{out}");
}

#[test]
fn what_a_program_tells_of_itself_commands_no_terminal() {
    let store = Store::of(0);
    let _program = Program::at(&store.path("door"), |_, out| writeln!(out, r#"{{"done":{{}}}}"#));
    for arguments in [&["stats", "door"][..], &["stats", "door", "--json"]] {
        let (out, _) = store.prints(0, arguments);
        let control =
            |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!out.contains(control), "{out:?}");
        assert!(out.contains("202e") && out.contains("9b"), "{out}");
    }
}

#[test]
fn json_of_a_session_commands_no_terminal_and_means_what_is_stored() {
    let store = Store::of(0);
    let user = "\u{1b}\u{7f}\u{9b}\u{202e}";
    let open = store.opened();
    open.create_for_user(user, 1).unwrap();
    open.close().unwrap();
    for arguments in [&["list", "sessions.redb", "--json"][..], &["list", "sessions.redb"]] {
        let (out, _) = store.prints(0, arguments);
        let control =
            |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!out.contains(control), "{out:?}");
    }
    assert_eq!(store.json(0, &["list", "sessions.redb", "--json"])["user"], user);
}

/// As of a script that passes the field `user`, against the advice.
#[test]
fn a_refused_argument_commands_no_terminal() {
    let store = Store::of(0);
    let user = "\"\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    for arguments in [&["list", "sessions.redb", "--user", user][..], &[user]] {
        let mut python = on_a_terminal(arguments);
        let output = python.current_dir(store.path("")).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        for obeyed in [r"\x1b]", r"\x07", r"\x9b", r"\u202e"] {
            assert!(!shown.contains(obeyed), "{obeyed}: {shown}");
        }
        assert!(shown.contains(r"\\u{202e}") && shown.ends_with(" 2\n"), "{shown}");
    }
}

const SLOW: Answer = |call, out| {
    for part in 0..2 {
        for _ in 0..300 {
            writeln!(out, "{}", line_of(call))?;
        }
        if part == 0 {
            thread::sleep(Duration::from_millis(5_500));
        }
    }
    writeln!(out, r#"{{"done":{{}}}}"#)
};

#[test]
fn long_work_shows_its_progress_unless_told_to_be_quiet() {
    let store = Store::of(0);
    let _program = Program::at(&store.path("door"), SLOW);
    let verbs: [&[&str]; 6] = [
        &["stats", "door"],
        &["list", "door"],
        &["list", "door", "--users"],
        &["check", "door"],
        &["revoke", "door", "--idle-for", "0s", "--dry-run"],
        &["revoke", "door", "--user", "ann", "--dry-run"],
    ];
    let begin =
        |verb: &[&str], more: &[&str]| store.command(&[verb, more].concat()).spawn().unwrap();
    let loud: Vec<_> = verbs.iter().map(|verb| begin(verb, &[])).collect();
    for (verb, child) in verbs.iter().zip(loud) {
        let err = String::from_utf8(ended(child).stderr).unwrap();
        let progress = err.lines().find(|line| line.contains(": 512"));
        let progress = progress.unwrap_or_else(|| panic!("{verb:?}: {err}"));
        assert!(progress.contains("per second"), "{progress}");
    }
    let quiet: Vec<_> = verbs.iter().map(|verb| begin(verb, &["--quiet"])).collect();
    for child in quiet {
        let err = String::from_utf8(ended(child).stderr).unwrap();
        assert!(!err.contains("512"), "{err}");
    }
}

#[test]
fn a_revoke_that_fails_says_how_many_sessions_it_has_ended() {
    static REMOVED: AtomicU64 = AtomicU64::new(0);
    let store = Store::of(0);
    let _program = Program::at(&store.path("door"), |call, out| match call {
        "remove" if REMOVED.fetch_add(1, Ordering::SeqCst) == 2 => {
            writeln!(out, r#"{{"error":{{"what":"the disk is full","because":[]}}}}"#)
        }
        "remove" => {
            writeln!(out, r#"{{"ended":{{"key":"{}"}}}}"#, "0".repeat(32))?;
            writeln!(out, r#"{{"done":{{"ended":1}}}}"#)
        }
        _ => {
            writeln!(out, "{}", line_of(call))?;
            writeln!(out, r#"{{"done":{{}}}}"#)
        }
    });
    let keys = ["1", "2", "3", "4"].map(|digit| digit.repeat(32));
    let keys = keys.each_ref().map(String::as_str);
    let (_, err) = store.prints(2, &[&["revoke", "door", "--yes"][..], &keys].concat());
    assert!(err.contains("the disk is full"), "{err}");
    assert!(err.contains("because 2 sessions of 4 ended"), "{err}");
}

/// A program that ends between a change and its answer, as in an observer of that change.
#[test]
fn a_change_that_no_program_answers_may_have_been_made() {
    let store = Store::of(0);
    let _program = Program::at(&store.path("door"), |call, out| match call {
        "remove" | "remove_user" | "clear" => Err(std::io::ErrorKind::Other.into()),
        "count" => writeln!(out, r#"{{"done":{{"count":0}}}}"#),
        _ => {
            writeln!(out, "{}", line_of(call))?;
            writeln!(out, r#"{{"done":{{}}}}"#)
        }
    });
    let key = "1".repeat(32);
    for verb in [
        &["revoke", "--yes", &key][..],
        &["revoke", "--yes", "--user=ann"],
        &["revoke", "--yes", "--all"],
    ] {
        let arguments = [&verb[..1], &["door"], &verb[1..]].concat();
        let (_, err) = store.prints(2, &arguments);
        assert!(err.contains("whether the change is stored is not known"), "{err}");
        assert!(err.contains("because it has ended"), "{err}");
        let one = err.contains("because 0 sessions of 1 ended, and perhaps one more");
        assert_eq!(one, verb.contains(&key.as_str()), "{err}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_no_panic() {
    let store = Store::of(2);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for (code, arguments) in [
        (2, &["stats", "nope.redb"][..]),
        (2, &["revoke", "sessions.redb", "--all"]),
        (2, &["stats"]),
        (2, &["list", "redis://x", "--limit=redis://x"]),
        (1, &["revoke", "sessions.redb", &"0".repeat(32), "--yes"]),
    ] {
        let output = store.command(arguments).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    for arguments in [
        &["stats", "sessions.redb"][..],
        &["export", "sessions.redb"],
        &["man"],
        &["list", "sessions.redb"],
    ] {
        let output = store.command(arguments).stdout(full()).output().unwrap();
        let (_, err) = ends(&output, 2, arguments);
        assert!(err.contains("make room"), "{arguments:?}: {err}");
    }
}
