//! One connection. Each line read has a bounded length and a deadline, and each write has a
//! deadline.
//!
//! Invariant: no client holds a thread or a snapshot of the store beyond the limits below.

use std::io;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::admin::socket::protocol::Reply;
use crate::admin::socket::transport::Stream;
use crate::time::ticks;

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the next request.
    pub(super) idle: Duration,
    /// For the client to read a line. The passphrase of a program behind `export` takes its time.
    pub(super) write: Duration,
    /// For a whole answer: while a listing runs, the file cannot reuse pages.
    pub(super) answer: Duration,
}

impl Patience {
    pub(super) const USUAL: Self = Self {
        idle: Duration::from_secs(30),
        write: Duration::from_secs(60),
        answer: Duration::from_secs(3_600),
    };
}

pub(super) struct Connection {
    stream: Stream,
    out: BufWriter<Stream>,
    read: Vec<u8>,
    max_request: usize,
    patience: Patience,
    answer_until: Option<Instant>,
}

impl Connection {
    /// A connection that takes requests of at most `max_request` bytes.
    pub(super) fn new(stream: Stream, max_request: usize, patience: Patience) -> io::Result<Self> {
        stream.set_write_timeout(patience.write)?;
        let out = BufWriter::with_capacity(64 * 1024, stream.try_clone()?);
        Ok(Self { stream, out, read: Vec::new(), max_request, patience, answer_until: None })
    }

    /// The next line, without its newline; `None` once the client has disconnected.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let until = ticks::now() + self.patience.idle;
        let mut searched = 0;
        loop {
            let new = self.read.get(searched..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', new) {
                let rest = self.read.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(Some(line));
            }
            if self.read.len() > self.max_request {
                return Err(io::Error::new(ErrorKind::InvalidData, "the request is too long"));
            }
            searched = self.read.len();
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
        self.answer_until = ticks::now().checked_add(self.patience.answer);
    }

    /// Starts an answer without a time limit, for `watch`.
    pub(super) fn begin_endless_answer(&mut self) {
        self.answer_until = None;
    }

    pub(super) fn send(&mut self, reply: &Reply) -> io::Result<()> {
        if self.answer_until.is_some_and(|until| until < ticks::now()) {
            return Err(io::Error::new(ErrorKind::TimedOut, "the client is too slow"));
        }
        let written = serde_json::to_writer(&mut self.out, reply).map_err(io::Error::from);
        let sent = written.and_then(|()| self.out.write_all(b"\n"));
        self.or_end(sent)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.or_end(flushed)
    }

    /// Ends the connection after a failed write. Otherwise the error line and the rest of the
    /// buffer would be written to the same client, each with a new deadline.
    fn or_end(&self, sent: io::Result<()>) -> io::Result<()> {
        if sent.is_err() {
            self.stream.end();
        }
        sent
    }
}
