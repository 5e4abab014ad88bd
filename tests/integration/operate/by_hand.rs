//! A client that speaks the protocol by hand, and doors that are not ours.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

pub(super) use system::leave_dead_door;

pub(super) struct ByHand(BufReader<system::Wire>);

impl ByHand {
    /// Comes in by the door at a path.
    pub(super) fn connect(door: &Path) -> Self {
        Self(BufReader::new(system::connect(door)))
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Says that nothing more comes; what the program answers until it ends the connection.
    pub(super) fn end(mut self) -> String {
        system::no_more(self.0.get_mut());
        let mut rest = String::new();
        let _ = self.0.read_to_string(&mut rest);
        rest
    }
}

/// A door that another program has, until this is dropped.
pub(super) struct AnotherDoor {
    at: PathBuf,
    held: Option<system::Held>,
}

impl AnotherDoor {
    pub(super) fn at(door: PathBuf) -> Self {
        Self { held: Some(system::hold(&door)), at: door }
    }
}

impl Drop for AnotherDoor {
    fn drop(&mut self) {
        drop(self.held.take());
        fs::remove_file(&self.at).unwrap();
    }
}

#[cfg(unix)]
mod system {
    use std::net::Shutdown;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    pub(super) type Wire = UnixStream;
    pub(super) type Held = UnixListener;

    pub(super) fn connect(door: &Path) -> Wire {
        let stream = UnixStream::connect(door).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    pub(super) fn no_more(wire: &mut Wire) {
        let _ = wire.shutdown(Shutdown::Write);
    }

    /// As a killed program leaves it: bound, and nobody listens.
    pub(in crate::operate) fn leave_dead_door(door: &Path) {
        drop(UnixListener::bind(door).unwrap());
    }

    pub(super) fn hold(door: &Path) -> Held {
        UnixListener::bind(door).unwrap()
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::os::windows::fs::OpenOptionsExt;

    use super::*;

    pub(super) type Wire = File;
    pub(super) type Held = File;

    const NAMES_NO_PIPE: &str = "sessile admin pipe 0123456789abcdef0123456789abcdef\n";
    const ERROR_PIPE_BUSY: i32 = 231;

    pub(super) fn connect(door: &Path) -> Wire {
        let text = fs::read_to_string(door).unwrap();
        let name = format!(r"\\.\pipe\sessile-{}", text.trim_end().rsplit(' ').next().unwrap());
        loop {
            match OpenOptions::new().read(true).write(true).open(&name) {
                Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                opened => return opened.unwrap(),
            }
        }
    }

    /// A pipe is closed as a whole or not at all: a line that is no request has the program end it.
    pub(super) fn no_more(wire: &mut Wire) {
        let _ = wire.write_all(b"\n");
    }

    /// As a power cut leaves it: it names a pipe, and nobody holds it.
    pub(in crate::operate) fn leave_dead_door(door: &Path) {
        fs::write(door, NAMES_NO_PIPE).unwrap();
    }

    pub(super) fn hold(door: &Path) -> Held {
        const FILE_SHARE_READ: u32 = 1;
        let mut open = OpenOptions::new();
        open.write(true).create_new(true).share_mode(FILE_SHARE_READ);
        let mut file = open.open(door).unwrap();
        file.write_all(NAMES_NO_PIPE.as_bytes()).unwrap();
        file
    }
}
