//! A connection to a server as bytes: connecting, sending whole requests, receiving answers, each
//! within a deadline.
//!
//! Invariant: [`Stream::send`] tells a request that the server cannot have whole from one that it
//! may have. It knows no protocol.
#![allow(
    clippy::infallible_destructuring_match,
    reason = "without the feature `tls` there is one kind of socket"
)]

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::location::Address;
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::{Tls, TlsSocket};

/// How much is asked of the socket at a time, at the least.
const CHUNK: usize = 16 * 1024;

/// A buffer that grew beyond this for one long answer is given back after it.
const KEPT_BUFFER: usize = 256 * 1024;

/// A connection with a buffer for what came in.
pub(crate) struct Stream {
    socket: Socket,
    deadline: Deadline,
    /// The time-out that the socket has now, so that it is not set again for each call.
    timeout: Duration,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

enum Socket {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsSocket>),
}

impl Stream {
    /// Connects to the first of the host's addresses that answers.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] with what the last of them said.
    pub(crate) fn connect(address: &Address, deadline: Deadline) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::not_done(format!("could not connect: {error}"));
        let candidates =
            (address.host.as_str(), address.port).to_socket_addrs().map_err(|error| {
                Failure::not_done(format!("the name of the host could not be resolved: {error}"))
            })?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for candidate in candidates {
            let Some(left) = deadline.remaining() else {
                return Err(failed(io::ErrorKind::TimedOut.into()));
            };
            match TcpStream::connect_timeout(&candidate, left).and_then(prepared) {
                Ok(socket) => return Ok(Self::over(socket, deadline)),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn over(socket: TcpStream, deadline: Deadline) -> Self {
        Self {
            socket: Socket::Plain(socket),
            deadline,
            timeout: Duration::MAX,
            input: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Goes on in TLS. Whatever is sent after this is for the named host alone.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if the handshake fails, as it does for a certificate that is not the
    /// host's.
    #[cfg(feature = "tls")]
    pub(crate) fn into_tls(mut self, tls: &Tls, host: &str) -> Result<Self, Failure> {
        self.arm().map_err(|error| Failure::not_done(error.to_string()))?;
        let Socket::Plain(socket) = self.socket else { return Ok(self) };
        let socket = tls.connect(socket, host)?;
        Ok(Self { socket: Socket::Tls(Box::new(socket)), ..self })
    }

    /// Sets the time by which everything that follows has to be over.
    pub(crate) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Whether nothing came in, and the connection was not ended, while nobody used it. Costs no
    /// exchange with the server.
    pub(crate) fn is_quiet(&self) -> bool {
        let socket = match &self.socket {
            Socket::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Socket::Tls(socket) => socket.get_ref(),
        };
        if self.start != self.end || socket.set_nonblocking(true).is_err() {
            return false;
        }
        let looked = socket.peek(&mut [0]);
        let quiet = matches!(looked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        socket.set_nonblocking(false).is_ok() && quiet
    }

    /// Hands a whole request over.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`]: the end of it never left, so that the server has no whole request.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.sent(request)
            .map_err(|error| Failure::not_done(format!("the request could not be sent: {error}")))
    }

    fn sent(&mut self, mut request: &[u8]) -> io::Result<()> {
        while !request.is_empty() {
            self.arm()?;
            match self.socket.write(request) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => request = request.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(in_words(error)),
            }
        }
        self.socket.flush()
    }

    /// The bytes that are here and not yet consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes bytes off the front of what is here.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > KEPT_BUFFER {
                self.input = Vec::new();
            }
        }
    }

    /// Waits until at least so many bytes are here.
    ///
    /// # Errors
    ///
    /// [`Failure::Lost`] if the connection ends, or the deadline passes, before that.
    pub(crate) fn fill(&mut self, count: usize) -> Result<(), Failure> {
        while self.end - self.start < count {
            self.receive(count).map_err(|error| Failure::lost(format!("no answer: {error}")))?;
        }
        Ok(())
    }

    fn receive(&mut self, count: usize) -> io::Result<()> {
        let missing = count.saturating_sub(self.end - self.start);
        let room = missing.max(CHUNK);
        if self.input.len() - self.end < room {
            self.input.drain(..self.start);
            (self.start, self.end) = (0, self.end - self.start);
            // Grown by what is there, not by what is announced: a length is only a claim.
            let grown = self.input.len().max(self.end + room.min(self.end.max(CHUNK)));
            self.input.resize(grown, 0);
        }
        loop {
            self.arm()?;
            let free = self.input.get_mut(self.end..).unwrap_or_default();
            match self.socket.read(free) {
                Ok(0) => return Err(in_words(io::ErrorKind::UnexpectedEof.into())),
                Ok(received) => {
                    self.end += received;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(in_words(error)),
            }
        }
    }

    /// Gives the socket what is left of the deadline as its time-out. One that is shorter, or a
    /// little longer, is left as it is.
    fn arm(&mut self) -> io::Result<()> {
        let left = self.deadline.remaining().ok_or(io::ErrorKind::TimedOut)?;
        if self.timeout > left.saturating_add(left / 8) || self.timeout < left / 2 {
            let socket = match &self.socket {
                Socket::Plain(socket) => socket,
                #[cfg(feature = "tls")]
                Socket::Tls(socket) => socket.get_ref(),
            };
            // The shortest that the operating system takes for a time-out rather than for none.
            let timeout = left.max(Duration::from_millis(1));
            socket.set_read_timeout(Some(timeout))?;
            socket.set_write_timeout(Some(timeout))?;
            self.timeout = timeout;
        }
        Ok(())
    }
}

fn prepared(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Words for the two errors that sockets have no words for.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "the time for it has passed")
        }
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection")
        }
        _ => error,
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.flush(),
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Stream")
    }
}
