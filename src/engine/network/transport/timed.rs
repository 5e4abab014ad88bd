//! A socket with a deadline, below all code that reads and writes on it.
//!
//! Invariant: no operation begins after the deadline, and none waits longer than the time left and
//! an eighth of it. So a peer that sends a byte now and then cannot hold up the code above, however
//! often that reads.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::engine::network::deadline::Deadline;

pub(crate) struct Timed {
    socket: TcpStream,
    deadline: Deadline,
    /// The socket's present time-out, so that it is not set again for each operation.
    timeout: Duration,
}

impl Timed {
    pub(super) const fn new(socket: TcpStream, deadline: Deadline) -> Self {
        Self { socket, deadline, timeout: Duration::MAX }
    }

    /// Sets the deadline for everything that follows.
    pub(super) const fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Whether the connection is still open, and received nothing.
    pub(super) fn is_quiet(&self) -> bool {
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let looked = self.socket.peek(&mut [0]);
        let quiet = matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).is_ok() && quiet
    }

    /// Sets the time left as the socket's time-out. A present time-out between half the time left
    /// and an eighth more is kept.
    fn arm(&mut self) -> io::Result<()> {
        let left = self.deadline.remaining().ok_or_else(too_late)?;
        if self.timeout > left.saturating_add(left / 8) || self.timeout < left / 2 {
            // A shorter time-out could be rounded to 0, which means none.
            let timeout = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(timeout))?;
            self.socket.set_write_timeout(Some(timeout))?;
            self.timeout = timeout;
        }
        Ok(())
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arm()?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The error for a passed deadline.
pub(super) fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the time for it has passed")
}

/// Words for the two errors that sockets have no words for.
pub(super) fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_late(),
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")
        }
        _ => error,
    }
}
