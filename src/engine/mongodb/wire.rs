//! The protocol: commands out, each as one message, and the answer to each in.
//!
//! Invariant: an answer belongs to the command whose turn it is, or the connection is not reused.
//! It knows no collection.

use std::fmt;

use crate::engine::mongodb::bson::{Document, Found, View};
use crate::engine::mongodb::refusal::Refusal;
use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::pool::Pooled;
use crate::engine::network::transport::stream::Stream;

const OP_MSG: i32 = 2013;

/// The longest accepted answer: the servers' own limit for a message.
const LONGEST: usize = 48_000_000;

/// A buffer that grew beyond this for one long request is freed afterwards.
const KEPT_BUFFER: usize = 256 * 1024;

/// Length, number, number of the answered message, and kind; then flags and the kind of the only
/// section.
const HEADER: usize = 16 + 4 + 1;

/// The answer to one command: the reply, or a refusal.
pub(super) type Answer = std::result::Result<Reply, Refusal>;

/// A reply of a server.
#[derive(Debug)]
pub(super) struct Reply(Vec<u8>);

/// A connection to one server.
pub(crate) struct MongodbConnection {
    stream: Stream,
    deadline: Deadline,
    last_request: i32,
    request: Vec<u8>,
    /// The session id under which transactions on this connection are numbered.
    pub(super) session: [u8; 16],
    pub(super) last_transaction: i64,
}

impl MongodbConnection {
    pub(super) const fn over(stream: Stream, deadline: Deadline, session: [u8; 16]) -> Self {
        Self {
            stream,
            deadline,
            last_request: 0,
            request: Vec::new(),
            session,
            last_transaction: 0,
        }
    }

    pub(super) const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Sends commands in one go; the server runs them one after the other, and answers each.
    pub(super) fn ask(
        &mut self,
        commands: impl IntoIterator<Item = Document>,
    ) -> Attempt<Vec<Answer>> {
        let first = self.last_request.wrapping_add(1);
        self.request.clear();
        for command in commands {
            self.last_request = self.last_request.wrapping_add(1);
            let body = command.into_bytes();
            let length = i32::try_from(HEADER + body.len()).unwrap_or(i32::MAX);
            for number in [length, self.last_request, 0, OP_MSG, 0] {
                self.request.extend_from_slice(&number.to_le_bytes());
            }
            self.request.push(0);
            self.request.extend_from_slice(&body);
        }
        let sent = self.stream.send(&self.request);
        if self.request.capacity() > KEPT_BUFFER {
            self.request = Vec::new();
        }
        sent?;
        let count = self.last_request.wrapping_sub(first).wrapping_add(1);
        (0..count).map(|turn| self.answer(first.wrapping_add(turn))).collect()
    }

    fn answer(&mut self, request: i32) -> Attempt<Answer> {
        self.stream.fill(HEADER)?;
        let head = self.stream.buffered();
        let number = |at: usize| {
            let bytes = head.get(at..at + 4)?.try_into().ok()?;
            Some(i32::from_le_bytes(bytes))
        };
        let length = number(0).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| (HEADER..=LONGEST).contains(length));
        let (Some(length), Some(answered), Some(kind), Some(flags)) =
            (length, number(8), number(12), number(16))
        else {
            return Err(garbled());
        };
        // No flag is requested, and the only section has kind 0.
        if answered != request || kind != OP_MSG || flags != 0 || head.get(20) != Some(&0) {
            return Err(garbled());
        }
        self.stream.fill(length)?;
        let body = self.stream.buffered().get(HEADER..length).unwrap_or_default().to_vec();
        self.stream.consume(length);
        if View::parse(&body).is_none() {
            return Err(garbled());
        }
        let reply = Reply(body);
        Ok(match Refusal::of(reply.view()) {
            Some(refusal) => Err(refusal),
            None => Ok(reply),
        })
    }
}

impl Reply {
    pub(super) fn view(&self) -> View<'_> {
        // The document was validated when it was received.
        View::parse(&self.0).unwrap_or_else(View::empty)
    }

    /// The documents of a cursor's first batch, and the cursor's number if it has more.
    pub(super) fn batch(&self) -> Attempt<(Vec<View<'_>>, Option<i64>)> {
        let cursor = self.view().document("cursor").ok_or_else(garbled)?;
        let documents = cursor.list("firstBatch").map(|one| match one {
            Found::Document(document) => Ok(document),
            _ => Err(garbled()),
        });
        let documents = documents.collect::<Attempt<Vec<_>>>()?;
        Ok((documents, cursor.number("id").filter(|id| *id != 0)))
    }

    /// The number in a batch of one document; 0 for an empty batch, the answer when nothing was
    /// counted.
    pub(super) fn counted(&self) -> Attempt<u64> {
        let (documents, _) = self.batch()?;
        let Some(document) = documents.first() else { return Ok(0) };
        let number = document.number("n").and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(garbled)
    }

    /// The document that was found and changed, if any.
    pub(super) fn value(&self) -> Option<View<'_>> {
        self.view().document("value")
    }
}

impl Pooled for MongodbConnection {
    fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }
}

impl Connection for MongodbConnection {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
        self.stream.set_deadline(deadline);
    }
}

impl fmt::Debug for MongodbConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MongodbConnection")
    }
}

/// The failure for an answer that breaks the protocol.
pub(super) fn garbled() -> Failure {
    Failure::lost("the server's answer is not what the protocol allows")
}
