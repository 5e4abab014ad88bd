//! The tool where it is misused: interrupted, refused, deceived, and out of room.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

#[cfg(unix)]
mod doors;
#[cfg(target_os = "linux")]
mod hostile;
mod idle;
#[cfg(target_os = "linux")]
mod interrupts;
mod json;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(unix)]
mod owners;
#[cfg(target_os = "linux")]
mod program;
mod refusals;
#[cfg(target_os = "linux")]
mod synced;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;
use sessile::{Clock, SessionKey, SessionStore};

/// A folder with a closed store of this many sessions of Ann, `sessions.redb`.
struct Store {
    folder: tempfile::TempDir,
    keys: Vec<SessionKey>,
}

impl Store {
    fn of(sessions: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::<u64>::builder().content_name("shop").manual_maintenance();
        let store = store.open(folder.path().join("sessions.redb")).unwrap();
        let create = |it| store.create_for_user("ann", it).unwrap().key();
        let keys = (0..sessions).map(create).collect();
        store.close().unwrap();
        Self { folder, keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store as its program opens it.
    fn opened(&self) -> SessionStore<u64> {
        let store = SessionStore::builder().content_name("shop").manual_maintenance();
        store.open(self.path("sessions.redb")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), arguments)
    }

    fn prints(&self, code: i32, arguments: &[&str]) -> (String, String) {
        ends(&self.command(arguments).output().unwrap(), code, arguments)
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(code, arguments).0).unwrap()
    }

    /// The names of the folder's files that begin with a dot.
    #[cfg(target_os = "linux")]
    fn drafts(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the tool on a terminal, and prints what that shows and the exit code. Says when a question
/// is asked, and answers yes once it is told to; what was shown before is not printed.
#[cfg(target_os = "linux")]
const ON_A_TERMINAL: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
try:
    while part := os.read(terminal, 1000):
        seen += part
        if b"[y/N]" in seen:
            print("asked", flush=True)
            sys.stdin.readline()
            os.write(terminal, b"y\n")
            seen = b""
except OSError:
    pass
print(ascii(seen.decode()), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[cfg(target_os = "linux")]
fn on_a_terminal(arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python.args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_sessile")]).args(arguments);
    python
}

/// What a command printed on both outputs. It must have ended with this exit code.
fn ends(output: &Output, code: i32, arguments: &[&str]) -> (String, String) {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    (out, err)
}

/// A clock that shows the time two hours ago.
#[derive(Clone, Copy, Debug)]
struct TwoHoursAgo;

impl Clock for TwoHoursAgo {
    fn now(&self) -> SystemTime {
        SystemTime::now() - std::time::Duration::from_secs(2 * 3_600)
    }
}
