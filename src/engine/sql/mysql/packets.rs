//! Packets: bytes after a length and a sequence number, in both directions.
//!
//! Invariant: every packet has the expected number, so that no late answer is taken for another
//! one. This file does not know the content of packets.

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::transport::stream::Stream;
use crate::engine::sql::rows::garbled;

/// A packet of this length is continued by another one.
const FULL: usize = 0xff_ffff;

/// The longest accepted answer: the servers' own limit for a packet.
pub(super) const LONGEST: usize = 1024 * 1024 * 1024;

/// A connection as packets.
pub(super) struct Packets {
    stream: Stream,
    /// The number of the next packet, from either side.
    turn: u8,
    request: Vec<u8>,
}

impl Packets {
    pub(super) const fn over(stream: Stream) -> Self {
        Self { stream, turn: 0, request: Vec::new() }
    }

    /// The same connection, with TLS from now on.
    #[cfg(feature = "tls")]
    pub(super) fn map_stream(
        mut self,
        change: impl FnOnce(Stream) -> Attempt<Stream>,
    ) -> Attempt<Self> {
        // Bytes received before TLS are discarded: they were not protected.
        let pending = self.stream.buffered().len();
        self.stream.consume(pending);
        Ok(Self { stream: change(self.stream)?, ..self })
    }

    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.set_deadline(deadline);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// Sends a command, which restarts the numbers at 0.
    pub(super) fn command(&mut self, command: u8, body: &[u8]) -> Attempt<()> {
        self.turn = 0;
        let mut payload = Vec::with_capacity(body.len() + 1);
        payload.push(command);
        payload.extend_from_slice(body);
        self.send(&payload)
    }

    /// Returns the next packet, which must have the expected number.
    pub(super) fn next(&mut self) -> Attempt<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            self.stream.fill(4)?;
            let (length, number) = match self.stream.buffered() {
                [a, b, c, number, ..] => {
                    (usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16, *number)
                }
                _ => return Err(garbled()),
            };
            if number != self.turn || body.len() + length > LONGEST {
                return Err(garbled());
            }
            self.turn = self.turn.wrapping_add(1);
            self.stream.fill(4 + length)?;
            body.extend_from_slice(self.stream.buffered().get(4..4 + length).unwrap_or_default());
            self.stream.consume(4 + length);
            if length < FULL {
                return Ok(body);
            }
        }
    }

    /// Sends a payload in as many packets as it needs. Another packet follows a full one, even if
    /// it is empty.
    pub(super) fn send(&mut self, payload: &[u8]) -> Attempt<()> {
        self.request.clear();
        let mut rest = payload;
        loop {
            let (now, after) = rest.split_at(rest.len().min(FULL));
            let [a, b, c, ..] = (now.len() as u32).to_le_bytes();
            self.request.extend_from_slice(&[a, b, c, self.turn]);
            self.request.extend_from_slice(now);
            self.turn = self.turn.wrapping_add(1);
            if now.len() < FULL {
                break;
            }
            rest = after;
        }
        let sent = self.stream.send(&self.request);
        if self.request.capacity() > FULL {
            self.request = Vec::new();
        }
        sent
    }
}
