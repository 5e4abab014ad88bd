//! The file at the path where a Unix system has a socket. It holds the name of the pipe.
//!
//! Invariant: the program holds the file open, so that no other process writes, moves or removes
//! it, and the system deletes the file when the program ends in any way. A file that no process
//! holds is dead.
//!
//! Any process may create a pipe of any name, so a process that predicts the name could create it
//! first and pose as the program. So the name is random, and only users who may read the file learn
//! it.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use parking_lot::Mutex;

use crate::engine::redb::storage::platform::patiently;
use crate::random::{RandomSource, SystemRandom};

const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_DELETE: u32 = 4;
const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
const ERROR_SHARING_VIOLATION: i32 = 32;

/// The first bytes of the file.
const HEAD: &str = "sessile admin pipe ";
/// The number of hexadecimal digits after the head. A newline follows.
const DIGITS: usize = 32;

/// The name of a pipe: 128 random bits.
pub(super) struct Name(String);

impl Name {
    pub(super) fn draw() -> io::Result<Self> {
        let mut bits = [0; DIGITS / 2];
        SystemRandom.fill(&mut bits).map_err(io::Error::other)?;
        let mut digits = String::with_capacity(DIGITS);
        for byte in bits {
            let _ = write!(digits, "{byte:02x}");
        }
        Ok(Self(digits))
    }

    /// The path of the pipe, which is on this machine whatever the file contains.
    pub(super) fn pipe(&self) -> String {
        format!(r"\\.\pipe\sessile-{}", self.0)
    }

    /// The content of the file.
    pub(super) fn text(&self) -> String {
        format!("{HEAD}{}\n", self.0)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(HEAD.as_bytes())?.strip_suffix(b"\n")?;
        let is_one = digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit);
        is_one.then(|| Self(String::from_utf8_lossy(digits).into_owned()))
    }
}

/// The file, until `leave`.
pub(super) struct Place(Mutex<Option<File>>);

impl Place {
    /// Creates the file. A dead file at the path is removed first.
    pub(super) fn take(path: &Path, name: &Name) -> io::Result<Self> {
        if look_at(path)?.is_some() {
            patiently(|| fs::remove_file(path))?;
        }
        let mut open = OpenOptions::new();
        open.write(true).create_new(true);
        open.share_mode(FILE_SHARE_READ).custom_flags(FILE_FLAG_DELETE_ON_CLOSE);
        let mut file = patiently(|| open.open(path))?;
        file.write_all(name.text().as_bytes())?;
        Ok(Self(Mutex::new(Some(file))))
    }

    pub(super) fn leave(&self) {
        drop(self.0.lock().take());
    }
}

/// The file of a program that has ended.
pub(super) struct Dead;

/// Finds a dead file at the path, if one is there. Anything else at the path is an error.
pub(super) fn look_at(path: &Path) -> io::Result<Option<Dead>> {
    let something = || io::Error::new(ErrorKind::AlreadyExists, "there is something else already");
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(something()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match examine(path)? {
        (Found::Other, _) => Err(something()),
        (_, true) => Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there")),
        (_, false) => Ok(Some(Dead)),
    }
}

/// The pipe of the program that holds the file; `None` before the program has written the name.
pub(super) fn pipe_at(path: &Path) -> io::Result<Option<String>> {
    match examine(path)? {
        (Found::Named(name), true) => Ok(Some(name.pipe())),
        (Found::Unwritten, true) => Ok(None),
        (Found::Other, _) => Err(io::Error::new(ErrorKind::InvalidData, "this is no admin socket")),
        (_, false) => {
            let gone = "the program that opened it is gone";
            Err(io::Error::new(ErrorKind::ConnectionRefused, gone))
        }
    }
}

/// Whether the path holds the file of an admin socket, dead or not.
pub(in crate::admin::socket) fn is_door(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
        && examine(path).is_ok_and(|(found, _)| matches!(found, Found::Named(_)))
}

enum Found {
    Named(Name),
    /// Empty, as the file is for a moment before the name is written.
    Unwritten,
    Other,
}

/// The content of the file, and whether a process has it open for writing: only the program has.
fn examine(path: &Path) -> io::Result<(Found, bool)> {
    const MOST: u64 = 256;
    // This handle stays open during the test. A process that may only read the file could pass for
    // the program by opening it exclusively; while this handle exists, that open fails.
    let mut file = File::open(path)?.take(MOST);
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut open = OpenOptions::new();
    let is_held = match open.read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path) {
        Ok(_) => false,
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => true,
        Err(error) => return Err(error),
    };
    let found = match Name::parse(&text) {
        Some(name) => Found::Named(name),
        None if text.is_empty() => Found::Unwritten,
        None => Found::Other,
    };
    Ok((found, is_held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_a_pipe_of_this_machine_or_none() {
        let name = Name::draw().unwrap();
        let parsed = Name::parse(name.text().as_bytes()).unwrap();
        assert_eq!(parsed.pipe(), name.pipe());
        assert_ne!(Name::draw().unwrap().pipe(), name.pipe());
        let digits = "0".repeat(DIGITS);
        for text in [
            String::new(),
            digits.clone(),
            format!("{HEAD}{digits}"),
            format!("{HEAD}{digits}0\n"),
            format!("{HEAD}{digits}\n\n"),
            format!("{HEAD}{}\n", r"..\..\somewhere\pipe\0123456789ab"),
        ] {
            assert!(Name::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
