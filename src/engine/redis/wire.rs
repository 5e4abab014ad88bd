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
        let mut replies = Vec::new();
        while replies.len() < request.commands {
            match self.reply(DEEPEST)? {
                Reply::Refused(said) if said.contains("max number of clients") => {
                    return Err(Failure::not_now("the server has as many clients as it may"));
                }
                // It is the answer to all that was not carried out.
                Reply::Refused(said) if LAST.iter().any(|kind| said.starts_with(kind)) => {
                    replies.resize(request.commands, Reply::Refused(said));
                }
                reply => replies.push(reply),
            }
        }
        Ok(replies)
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

/// Errors that the server says once, whatever the number of commands, before it ends the
/// connection; so does a server with as many clients as it may have.
const LAST: [&str; 2] = ["DENIED", "ERR Protocol error"];

/// Errors after which nothing was carried out, and which may pass.
const TRANSIENT: &[(&str, &str)] = &[
    ("ASK", "the store's slot is moving to another node"),
    ("TRYAGAIN", "the store's slot is moving to another node"),
    ("CLUSTERDOWN", "the cluster does not serve the store's slot"),
    ("LOADING", "the server is loading its data"),
    ("MASTERDOWN", "the server has no primary"),
    ("READONLY", "the server is a replica, which takes no writes"),
    ("NOREPLICAS", "the server has fewer replicas than it needs to take writes"),
    ("BUSY", "the server is busy with a script"),
];

/// The failure of a command that may succeed later, if the server's error says so.
pub(super) fn passing(said: &str) -> Option<Failure> {
    let found = TRANSIENT.iter().find(|(kind, _)| holds(said, kind));
    found.map(|(_, reason)| Failure::not_now(*reason))
}

/// Whether an error is of this kind. Some versions wrap an error from inside a script.
pub(super) fn holds(said: &str, kind: &str) -> bool {
    said.starts_with(kind) || said.contains(&format!("-{kind} "))
}

/// The failure for a reply that breaks the protocol.
pub(super) fn garbled() -> Failure {
    Failure::lost("the server's answer is not what the protocol allows")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Shutdown;

    use super::*;
    use crate::engine::network::transport::listening::connected;

    #[test]
    fn a_server_that_ends_the_connection_by_an_error_says_it_of_all_commands() {
        for said in ["DENIED Redis is running in protected mode", "ERR Protocol error: too big"] {
            let (stream, mut peer) = connected();
            peer.write_all(format!("+PONG\r\n-{said}\r\n").as_bytes()).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let request = [b"PING", b"ROLE", b"TIME"]
                .into_iter()
                .fold(Request::default(), |request, word| request.with(&[word]));
            let replies = Wire::over(stream).ask(&request).unwrap();
            let refused = Reply::Refused(said.into());
            assert_eq!(replies, [Reply::Bytes("PONG".into()), refused.clone(), refused]);
        }
    }
}
