//! A socket with a deadline, below everything that reads and writes on it.
//!
//! Invariant: no operation is begun after the deadline, and none waits longer than what is left of
//! it. So nothing above it is held up, however often that reads, by a peer that sends a byte now
//! and then.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::engine::network::deadline::Deadline;

pub(crate) struct Timed {
    socket: TcpStream,
    deadline: Deadline,
    /// The time-out that the socket has now, so that it is not set again for each operation.
    timeout: Duration,
}

impl Timed {
    pub(super) const fn new(socket: TcpStream, deadline: Deadline) -> Self {
        Self { socket, deadline, timeout: Duration::MAX }
    }

    /// Sets the time by which everything that follows has to be over.
    pub(super) const fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Whether nothing came in, and the connection was not ended.
    pub(super) fn is_quiet(&self) -> bool {
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let looked = self.socket.peek(&mut [0]);
        let quiet = matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).is_ok() && quiet
    }

    /// Gives the socket what is left of the deadline as its time-out. One that is shorter, or a
    /// little longer, is left as it is.
    fn arm(&mut self) -> io::Result<()> {
        let left = self.deadline.remaining().ok_or_else(too_late)?;
        if self.timeout > left.saturating_add(left / 8) || self.timeout < left / 2 {
            // The shortest that the operating system takes for a time-out rather than for none.
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

/// The error of a deadline that has passed.
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
