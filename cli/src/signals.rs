//! The signals that end the tool: Ctrl-C, and the system's requests to end; and the one that would
//! end it where a write fails, and does not.
//!
//! Invariant: a signal that was ignored when the tool began stays ignored. `nohup` and a script's
//! `&` rely on that.

use std::io;
#[cfg(unix)]
use std::sync::{Arc, atomic::AtomicBool};

/// Calls `act` on another thread for each such signal. From now on the tool survives a write beyond
/// the limit on the size of files: the write fails, which the tool tells of as of any failure.
#[cfg(unix)]
pub(crate) fn on_each(act: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

    // Nobody reads the flag: a signal with a handler does not end the process.
    signal_hook::flag::register(SIGXFSZ, Arc::<AtomicBool>::default())?;
    let heeded = [SIGHUP, SIGTERM, SIGINT].into_iter().filter(|signal| !is_ignored(*signal));
    let mut signals = signal_hook::iterator::Signals::new(heeded)?;
    let heed = move || signals.forever().for_each(|_| act());
    std::thread::Builder::new().name("signals".into()).spawn(heed).map(drop)
}

#[cfg(not(unix))]
pub(crate) fn on_each(act: impl Fn() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(act).map_err(io::Error::other)
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    #[cfg(target_os = "linux")]
    if let Some(ignored) = by_the_system(signal) {
        return ignored;
    }
    by_a_shell(signal)
}

/// Whether this process ignores the signal, where the system tells it.
#[cfg(target_os = "linux")]
fn by_the_system(signal: i32) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    let bit = u32::try_from(signal).ok()?.checked_sub(1)?;
    Some(mask.checked_shr(bit)? & 1 == 1)
}

/// Whether a shell survives the signal. It ignores what its parent ignores. To ask the system
/// itself, outside Linux, needs `unsafe` code.
#[cfg(unix)]
fn by_a_shell(signal: i32) -> bool {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", &format!("kill -{signal} $$")]).stdin(std::process::Stdio::null());
    shell.status().is_ok_and(|ended| ended.success())
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use signal_hook::consts::{SIGUSR1, SIGUSR2};

    use super::*;

    /// Set in a child process only.
    const CHILD: &str = "SESSILE_TEST_IGNORES";
    const THIS_TEST: &str = "signals::tests::a_signal_that_the_caller_ignores_is_known";

    #[test]
    fn a_signal_that_the_caller_ignores_is_known() {
        let expected = std::env::var_os(CHILD).is_some();
        assert_eq!(by_a_shell(SIGUSR1), expected);
        assert!(!by_a_shell(SIGUSR2));
        #[cfg(target_os = "linux")]
        {
            assert_eq!(by_the_system(SIGUSR1), Some(expected));
            assert_eq!(by_the_system(SIGUSR2), Some(false));
        }
        if !expected {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "trap '' USR1; exec \"$0\" --exact \"$1\""]);
            shell.arg(std::env::current_exe().unwrap()).arg(THIS_TEST).env(CHILD, "1");
            assert!(shell.output().unwrap().status.success());
        }
    }
}
