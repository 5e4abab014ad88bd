//! A connection to a server as bytes: connecting, sending whole requests, receiving answers, each
//! within a deadline.
//!
//! Invariant: [`Stream::send`] distinguishes a request of which no byte was sent from one that the
//! server may have in part. This file knows no protocol.
#![allow(
    clippy::infallible_destructuring_match,
    reason = "without the feature `tls` there is one kind of socket"
)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::connecting;
use crate::engine::network::transport::location::Address;
use crate::engine::network::transport::timed::{Timed, in_words};
#[cfg(feature = "tls")]
use crate::engine::network::transport::tls::{Tls, TlsSocket};

/// The least number of bytes to read from the socket at a time.
const CHUNK: usize = 16 * 1024;

/// A buffer that grew beyond this for one long answer is freed afterwards.
const KEPT_BUFFER: usize = 256 * 1024;

/// A connection with a buffer for received bytes.
pub(crate) struct Stream {
    socket: Socket,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

enum Socket {
    Plain(Timed),
    #[cfg(feature = "tls")]
    Tls(Box<TlsSocket>),
}

impl Stream {
    /// Connects to the first of the host's addresses that answers.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] with the last address's error.
    pub(crate) fn connect(address: &Address, deadline: Deadline) -> Result<Self, Failure> {
        Ok(Self::over(connecting::connect(address, deadline)?, deadline))
    }

    /// Connects to an address that needs no look-up.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if nothing answers there.
    pub(crate) fn connect_to(address: SocketAddr, deadline: Deadline) -> Result<Self, Failure> {
        Ok(Self::over(connecting::connect_to(&[address], deadline)?, deadline))
    }

    fn over(socket: TcpStream, deadline: Deadline) -> Self {
        let socket = Socket::Plain(Timed::new(socket, deadline));
        Self { socket, input: Vec::new(), start: 0, end: 0 }
    }

    /// Switches to TLS. Only the named host can read what is sent after this.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if the handshake fails; [`Failure::Answered`] if the certificate is not
    /// the host's.
    #[cfg(feature = "tls")]
    pub(crate) fn into_tls(self, tls: &Tls, host: &str) -> Result<Self, Failure> {
        let Socket::Plain(socket) = self.socket else { return Ok(self) };
        let socket = tls.connect(socket, host)?;
        Ok(Self { socket: Socket::Tls(Box::new(socket)), ..self })
    }

    /// Sets the deadline for everything that follows.
    pub(crate) fn set_deadline(&mut self, deadline: Deadline) {
        match &mut self.socket {
            Socket::Plain(socket) => socket.set_deadline(deadline),
            #[cfg(feature = "tls")]
            Socket::Tls(socket) => socket.get_mut().set_deadline(deadline),
        }
    }

    /// Whether an unused connection is still open, and received nothing. Costs no round trip.
    pub(crate) fn is_quiet(&self) -> bool {
        let socket = match &self.socket {
            Socket::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Socket::Tls(socket) => socket.get_ref(),
        };
        self.start == self.end && socket.is_quiet()
    }

    /// Sends a whole request.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if no byte of it was sent; [`Failure::Lost`] if some were: they may
    /// hold a whole command.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        let mut rest = request;
        self.push(&mut rest).map_err(|error| {
            let reason = format!("the request could not be sent: {error}");
            match rest.len() == request.len() {
                true => Failure::not_done(reason),
                false => Failure::lost(reason),
            }
        })
    }

    fn push(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => *rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(in_words(error)),
            }
        }
        self.socket.flush().map_err(in_words)
    }

    /// The received bytes that are not yet consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Removes bytes from the front of the buffer.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > KEPT_BUFFER {
                self.input = Vec::new();
            }
        }
    }

    /// Waits until at least `count` bytes are buffered.
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
            // The buffer grows with the received bytes, not with an announced length, which is only
            // a claim.
            let grown = self.input.len().max(self.end + room.min(self.end.max(CHUNK)));
            self.input.resize(grown, 0);
        }
        loop {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::network::transport::dripping;
    use crate::engine::network::transport::listening::connected;

    #[test]
    fn a_peer_that_sends_a_byte_now_and_then_holds_nobody_up() {
        let (address, sending) = dripping::start(b"");
        let mut stream =
            Stream::connect(&address, Deadline::after(Duration::from_secs(3_600))).unwrap();
        stream.set_deadline(Deadline::after(Duration::from_millis(100)));
        assert!(matches!(stream.fill(dripping::MOST), Err(Failure::Lost(_))));
        drop(stream);
        assert!(sending.join().unwrap() < dripping::MOST, "it was waited for to the end");
    }

    #[test]
    fn a_request_of_which_a_part_was_sent_may_have_been_carried_out() {
        let (mut stream, peer) = connected();
        stream.set_deadline(Deadline::after(Duration::ZERO));
        assert!(matches!(stream.send(b"request"), Err(Failure::NotDone(_))), "nothing left");
        // More than the buffers of two sockets hold.
        let request = vec![7; 64 << 20];
        stream.set_deadline(Deadline::after(Duration::from_millis(200)));
        assert!(matches!(stream.send(&request), Err(Failure::Lost(_))));
        drop(peer);
    }
}
