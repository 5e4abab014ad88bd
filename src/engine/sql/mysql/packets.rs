//! Packets: bytes with a length and a number in front, in both directions.
//!
//! Invariant: every packet has the number that is its turn, so that no late answer is taken for
//! another. It knows nothing of what packets say.

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::transport::stream::Stream;
use crate::engine::sql::rows::garbled;

/// A packet of this length is followed by another, which goes on with it.
const FULL: usize = 0xff_ffff;

/// The longest answer that is accepted: what servers allow a packet.
pub(super) const LONGEST: usize = 1024 * 1024 * 1024;

/// A connection as packets.
pub(super) struct Packets {
    stream: Stream,
    /// The number of the next packet, of either side.
    turn: u8,
    request: Vec<u8>,
}

impl Packets {
    pub(super) const fn over(stream: Stream) -> Self {
        Self { stream, turn: 0, request: Vec::new() }
    }

    /// The same connection with its bytes in TLS from now on.
    #[cfg(feature = "tls")]
    pub(super) fn map_stream(
        mut self,
        change: impl FnOnce(Stream) -> Attempt<Stream>,
    ) -> Attempt<Self> {
        // Whatever came before was not said in TLS.
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

    /// Sends a command, with which numbers begin from zero.
    pub(super) fn command(&mut self, command: u8, text: &str) -> Attempt<()> {
        self.turn = 0;
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.push(command);
        payload.extend_from_slice(text.as_bytes());
        self.send(&payload)
    }

    /// The next packet, whose number has to be the next one.
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

    /// Sends a payload, in as many packets as it needs; one that is full is followed by another, be
    /// it empty.
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
