//! Datagrams to and from one server, within a deadline.
//!
//! Invariant: a datagram is received only from the address and the port of that server, and only
//! until the deadline. This file knows no protocol.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::timed::{in_words, too_late};

/// The receive buffer, as long as any datagram: Windows reports one that does not fit as an error.
const MOST: usize = 65_535;

/// A socket of its own port, which the system draws.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    deadline: Deadline,
    input: Vec<u8>,
}

impl Datagrams {
    /// Makes a socket that exchanges datagrams with the server alone.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if there is no way to the server.
    pub(crate) fn connect(server: SocketAddr, deadline: Deadline) -> Attempt<Self> {
        let any = match server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let connected = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect(server)?;
            Ok(socket)
        });
        let socket =
            connected.map_err(|error| Failure::not_done(format!("could not connect: {error}")))?;
        Ok(Self { socket, deadline, input: vec![0; MOST] })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// [`Failure::NotDone`] if the system refuses it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Attempt<()> {
        self.socket.send(bytes).map(drop).map_err(|error| {
            Failure::not_done(format!("the request could not be sent: {}", in_words(error)))
        })
    }

    /// Waits for the next datagram.
    ///
    /// # Errors
    ///
    /// [`Failure::Lost`] if none comes before the deadline, or nothing is at the server's port.
    pub(crate) fn receive(&mut self) -> Attempt<&[u8]> {
        match self.next() {
            Ok(received) => Ok(self.input.get(..received).unwrap_or_default()),
            Err(error) => Err(Failure::lost(format!("no answer: {}", in_words(error)))),
        }
    }

    fn next(&mut self) -> io::Result<usize> {
        loop {
            let left = self.deadline.remaining().ok_or_else(too_late)?;
            // A shorter time-out could be rounded to 0, which means none.
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.socket.recv(&mut self.input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}
