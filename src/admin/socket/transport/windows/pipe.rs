//! Reads and writes a pipe in non-blocking mode, and waits here, until a deadline.
//!
//! Invariant: every handle is in non-blocking mode. Without `unsafe`, no deadline and no closing
//! socket could end a wait inside the system: only overlapped calls could, which are `unsafe` or an
//! async runtime's. Microsoft documents this mode, and advises against it as old.

use std::fs::{File, OpenOptions};
use std::hint;
use std::io::{self, ErrorKind, Read, Write};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use interprocess::os::windows::named_pipe::DuplexPipeStream;
use interprocess::os::windows::named_pipe::pipe_mode::Bytes;
use parking_lot::Mutex;

use crate::admin::socket::transport::windows::place::pipe_at;
use crate::time::ticks;

/// The sizes of the buffers for answers and for requests, in bytes.
pub(super) const ANSWERS: u32 = 256 * 1024;
pub(super) const REQUESTS: u32 = 64 * 1024;
/// The most bytes in one write. The system takes all of them or, if the buffer has less room, none.
const PART: usize = 16 * 1024;
/// The longest wait of a client for a free instance of the pipe.
const TURN: Duration = Duration::from_secs(10);

const ERROR_BROKEN_PIPE: i32 = 109;
const ERROR_PIPE_BUSY: i32 = 231;
/// For a reader: no bytes yet. For a writer: the other end is closed.
const ERROR_NO_DATA: i32 = 232;
const ERROR_PIPE_NOT_CONNECTED: i32 = 233;

/// The server may learn the client's user, and may not act in that user's name.
const SECURITY_IDENTIFICATION: u32 = 0x0001_0000;

pub(in crate::admin::socket) struct Stream(Arc<Shared>);

struct Shared {
    pipe: File,
    ended: AtomicBool,
    never_waits: AtomicBool,
    read_most: Mutex<Option<Duration>>,
    write_most: Mutex<Option<Duration>>,
}

impl Stream {
    pub(in crate::admin::socket) fn connect(path: &Path) -> io::Result<Self> {
        let mut waits = Waits::until(Some(TURN));
        loop {
            // The program may not have written the name yet, and the pipe is busy until the program
            // has accepted the previous client.
            if let Some(name) = pipe_at(path)? {
                let mut open = OpenOptions::new();
                open.read(true).write(true).security_qos_flags(SECURITY_IDENTIFICATION);
                match open.open(name) {
                    Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {}
                    opened => {
                        let pipe = opened?;
                        answer_at_once(&pipe)?;
                        return Ok(Self::of(pipe));
                    }
                }
            }
            waits.wait()?;
        }
    }

    /// Connects to the pipe whose name was found beside a store's file.
    pub(in crate::admin::socket) fn connect_beside(_file: &Path, path: &Path) -> io::Result<Self> {
        Self::connect(path)
    }

    /// Takes a pipe in non-blocking mode.
    pub(super) fn of(pipe: File) -> Self {
        Self(Arc::new(Shared {
            pipe,
            ended: AtomicBool::new(false),
            never_waits: AtomicBool::new(false),
            read_most: Mutex::default(),
            write_most: Mutex::default(),
        }))
    }

    /// The access list of the pipe has decided.
    pub(in crate::admin::socket) const fn is_allowed(&self) -> bool {
        true
    }

    /// A pipe does not tell before it is read.
    pub(in crate::admin::socket) const fn has_left(&self) -> bool {
        false
    }

    /// Another handle of the same connection.
    pub(in crate::admin::socket) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    pub(in crate::admin::socket) fn set_read_timeout(
        &self,
        most: Option<Duration>,
    ) -> io::Result<()> {
        *self.0.read_most.lock() = most;
        Ok(())
    }

    pub(in crate::admin::socket) fn set_write_timeout(&self, most: Duration) -> io::Result<()> {
        *self.0.write_most.lock() = Some(most);
        Ok(())
    }

    /// Makes reads and writes fail instead of waiting.
    pub(in crate::admin::socket) fn never_wait(&self) -> io::Result<()> {
        self.0.never_waits.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the connection, and soon every wait for it. The other end sees this when the last
    /// handle is dropped.
    pub(in crate::admin::socket) fn end(&self) {
        self.0.ended.store(true, Ordering::Release);
    }

    fn waits(&self, most: &Mutex<Option<Duration>>) -> Waits {
        match self.0.never_waits.load(Ordering::Relaxed) {
            true => Waits::until(Some(Duration::ZERO)),
            false => Waits::until(*most.lock()),
        }
    }

    fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut waits = self.waits(&self.0.read_most);
        while !self.has_ended() {
            // A pipe has no offsets. But a plain `read`, of `interprocess` too, reports an empty
            // pipe as closed, while this call reports it as an error.
            match self.0.pipe.seek_read(bytes, 0) {
                Ok(len) => return Ok(len),
                Err(error) => match error.raw_os_error() {
                    Some(ERROR_NO_DATA) => waits.wait()?,
                    Some(ERROR_BROKEN_PIPE | ERROR_PIPE_NOT_CONNECTED) => return Ok(0),
                    _ => return Err(error),
                },
            }
        }
        Ok(0)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = bytes.get(..PART).unwrap_or(bytes);
        let mut waits = self.waits(&self.0.write_most);
        while !self.has_ended() {
            match (&self.0.pipe).write(part)? {
                0 if !part.is_empty() => waits.wait()?,
                len => return Ok(len),
            }
        }
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sets non-blocking mode, which all handles of the same opening share.
fn answer_at_once(pipe: &File) -> io::Result<()> {
    let handle = OwnedHandle::from(pipe.try_clone()?);
    let stream = DuplexPipeStream::<Bytes>::try_from(handle)
        .map_err(|error| error.cause.unwrap_or_else(|| io::Error::other("this is no pipe")))?;
    let set = stream.set_nonblocking(true);
    // Otherwise a thread would wait until the other end has read everything.
    stream.evade_limbo();
    set
}

/// Waits that grow: an early event is seen early, and a long wait costs little.
pub(super) struct Waits {
    until: Option<Instant>,
    tries: u32,
    next: Duration,
    longest: Duration,
}

impl Waits {
    const TRIES: u32 = 64;
    const FIRST: Duration = Duration::from_millis(1);

    fn until(most: Option<Duration>) -> Self {
        const LONGEST: Duration = Duration::from_millis(20);
        let until = most.and_then(|most| ticks::now().checked_add(most));
        Self { until, tries: Self::TRIES, next: Self::FIRST, longest: LONGEST }
    }

    /// Has no deadline. An idle admin socket costs its program one wake-up per longest wait.
    pub(super) fn for_a_client() -> Self {
        const LONGEST: Duration = Duration::from_millis(50);
        Self { until: None, tries: 0, next: Self::FIRST, longest: LONGEST }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        now
    }

    fn wait(&mut self) -> io::Result<()> {
        let left = self.until.map(|until| until.saturating_duration_since(ticks::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(ErrorKind::TimedOut.into());
        }
        if self.tries > 0 {
            // A yield would cost the time slices of other threads on a busy machine.
            self.tries -= 1;
            hint::spin_loop();
        } else {
            let next = self.next();
            thread::sleep(left.map_or(next, |left| left.min(next)));
        }
        Ok(())
    }
}
