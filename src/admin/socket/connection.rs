//! One connection: bounded lines in, with a deadline for each, and lines out, with one for each
//! write.
//!
//! Invariant: no client holds a thread, or a snapshot of the store, longer than is written here.

use std::io;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::admin::socket::protocol::{MAX_REQUEST, Reply};
use crate::time::ticks;

/// How long a client may take for its next request.
const IDLE: Duration = Duration::from_secs(30);
/// How long a client may leave a line unread.
const WRITE: Duration = Duration::from_secs(10);
/// How long an answer may take in all: a listing keeps the file from reusing space.
const ANSWER: Duration = Duration::from_secs(3_600);

pub(super) struct Connection {
    stream: UnixStream,
    out: BufWriter<UnixStream>,
    read: Vec<u8>,
    answer_until: Option<Instant>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(WRITE))?;
        let out = BufWriter::with_capacity(64 * 1024, stream.try_clone()?);
        Ok(Self { stream, out, read: Vec::new(), answer_until: None })
    }

    /// The next line, without its end; `None` once the client is gone.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let until = ticks::now() + IDLE;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.read) {
                let rest = self.read.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(Some(line));
            }
            if self.read.len() > MAX_REQUEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "the request is too long"));
            }
            let left = until.saturating_duration_since(ticks::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut bytes = [0; 4_096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(len) => self.read.extend_from_slice(bytes.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn begin_answer(&mut self) {
        self.answer_until = ticks::now().checked_add(ANSWER);
    }

    /// Without end: what tells of events.
    pub(super) fn begin_endless_answer(&mut self) {
        self.answer_until = None;
    }

    pub(super) fn send(&mut self, reply: &Reply) -> io::Result<()> {
        if self.answer_until.is_some_and(|until| until < ticks::now()) {
            return Err(io::Error::new(ErrorKind::TimedOut, "the client is too slow"));
        }
        serde_json::to_writer(&mut self.out, reply)?;
        self.out.write_all(b"\n")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
