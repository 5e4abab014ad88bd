//! The protocol, RESP2: a command out, a reply in.
//!
//! Invariant: as many replies are read as commands were sent, or the connection is not reused. It
//! knows no script and no key.

use std::fmt;

use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::pool::Pooled;
use crate::engine::network::transport::stream::Stream;

/// The deepest nesting of arrays in a reply; the deepest expected reply has three.
const DEEPEST: usize = 8;

/// The longest accepted reply or element: Redis's own limit for a string.
const LONGEST: usize = 512 * 1024 * 1024;

/// A reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nil,
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Reply>),
    /// The first word of an error is its kind.
    Refused(String),
}

impl Reply {
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<String> {
        self.bytes().and_then(|bytes| String::from_utf8(bytes).ok())
    }

    pub(super) fn list(self) -> Option<Vec<Self>> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// One or more commands as bytes.
#[derive(Debug, Default)]
pub(super) struct Request {
    bytes: Vec<u8>,
    commands: usize,
}

impl Request {
    /// Begins a command of `words` words, which must follow.
    pub(super) fn command(mut self, words: usize) -> Self {
        self.commands += 1;
        self.header(b'*', words);
        self
    }

    pub(super) fn word(mut self, word: &[u8]) -> Self {
        self.header(b'$', word.len());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a command of these words.
    pub(super) fn with(self, words: &[&[u8]]) -> Self {
        words.iter().fold(self.command(words.len()), |request, word| request.word(word))
    }

    fn header(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(number.to_string().as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// A connection to one node.
pub(super) struct Wire {
    stream: Stream,
}

impl Wire {
    pub(super) const fn over(stream: Stream) -> Self {
        Self { stream }
    }

    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.set_deadline(deadline);
    }

    /// Sends the commands, and returns the reply to each.
    pub(super) fn ask(&mut self, request: &Request) -> Attempt<Vec<Reply>> {
        self.stream.send(&request.bytes)?;
        let replies = (0..request.commands).map(|_| match self.reply(DEEPEST)? {
            // The server says it once, whatever the number of commands, and ends the connection.
            Reply::Refused(said) if said.contains("max number of clients") => {
                Err(Failure::not_now("the server has as many clients as it may"))
            }
            reply => Ok(reply),
        });
        replies.collect()
    }

    fn reply(&mut self, deepest: usize) -> Attempt<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or_else(garbled)?;
        let rest = std::str::from_utf8(rest).map_err(|_| garbled())?;
        let length = || rest.parse::<i64>().map_err(|_| garbled());
        match kind {
            b'+' => Ok(Reply::Bytes(rest.into())),
            b'-' => Ok(Reply::Refused(rest.into())),
            b':' => length().map(Reply::Number),
            b'$' => match length()? {
                -1 => Ok(Reply::Nil),
                length => self.body(length).map(Reply::Bytes),
            },
            b'*' if deepest > 0 => match length()? {
                -1 => Ok(Reply::Nil),
                // The list grows with the received elements, not with an announced length.
                length => (0..length)
                    .map(|_| self.reply(deepest - 1))
                    .collect::<Attempt<_>>()
                    .map(Reply::List),
            },
            _ => Err(garbled()),
        }
    }

    fn line(&mut self) -> Attempt<Vec<u8>> {
        let mut looked_at = 0;
        loop {
            let here = self.stream.buffered();
            let fresh = here.get(looked_at..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let end = looked_at + at;
                let line = here.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").ok_or_else(garbled)?.to_vec();
                self.stream.consume(end + 1);
                return Ok(line);
            }
            looked_at = here.len();
            if looked_at > LONGEST {
                return Err(garbled());
            }
            self.stream.fill(looked_at + 1)?;
        }
    }

    fn body(&mut self, length: i64) -> Attempt<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(garbled)?;
        self.stream.fill(length + 2)?;
        let here = self.stream.buffered();
        let body = here.get(..length).unwrap_or_default().to_vec();
        let ends_well = here.get(length..length + 2) == Some(b"\r\n");
        self.stream.consume(length + 2);
        ends_well.then_some(body).ok_or_else(garbled)
    }
}

impl Pooled for Wire {
    fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire")
    }
}

/// The failure for a reply that breaks the protocol.
pub(super) fn garbled() -> Failure {
    Failure::lost("the server's answer is not what the protocol allows")
}
