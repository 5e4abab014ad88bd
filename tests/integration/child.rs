//! This test binary as a child process, which can be killed or exit by itself.

use std::process::{Command, Stdio};

/// A process that runs one test, with its output piped to the parent.
///
/// The test plays the child if a variable is set that only child processes have.
pub(crate) fn running(test: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    child.stdin(Stdio::null()).stdout(Stdio::piped());
    child
}

/// Whether every case is asked for, also where `cargo test` runs a part of them.
pub(crate) fn all_cases() -> bool {
    !cfg!(debug_assertions) || std::env::var_os("SESSILE_ALL_CASES").is_some()
}

/// A number from an environment variable, or the default.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is a number")),
        Err(_) => default,
    }
}

/// Pseudorandom numbers that a seed repeats (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A folder in memory if there is such a file system, for tests that write many small files.
pub(crate) fn fast_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Removes a file that a store has open, so that its name is free at once.
pub(crate) fn remove_open(path: &std::path::Path) {
    // Wine 8 keeps the name of a removed file until its last handle is closed, and moves a file at
    // once.
    #[cfg(windows)]
    let path = &{
        let aside = path.with_extension("removed");
        std::fs::rename(path, &aside).unwrap();
        aside
    };
    std::fs::remove_file(path).unwrap();
}

/// Whether only its owner may read or write the file. Where files have no mode, the folder's
/// permissions apply.
pub(crate) fn is_private(path: &std::path::Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777 == 0o600
    }
    #[cfg(not(unix))]
    path.exists()
}
