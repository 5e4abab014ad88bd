//! The protocol: a batch of prepared statements out, their rows in, in one round trip.
//!
//! Invariant: a batch ends with one `Sync`, and is read up to the server's `ReadyForQuery`, or the
//! connection is not reused. It knows no table.

use std::fmt;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use twox_hash::XxHash3_128;

use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::pool::Pooled;
use crate::engine::network::transport::stream::Stream;
use crate::engine::sql::postgres::refusal::{Refusal, fatal, gives_up_standbys};
use crate::engine::sql::postgres::value::{kind, write_value};
use crate::engine::sql::rows::{self, Row as _, garbled};
use crate::engine::sql::value::Value;
use crate::process::Process;

/// The longest accepted message: PostgreSQL's own limit for a value.
const LONGEST: usize = 1024 * 1024 * 1024;

/// A statement of the store, with the number under which a connection has prepared it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// One row: its columns as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    bytes: Vec<u8>,
    columns: Vec<Option<(usize, usize)>>,
}

impl Row {
    fn parse(body: &[u8]) -> Option<Self> {
        let (count, mut rest) = body.split_first_chunk::<2>()?;
        let mut columns = Vec::new();
        let mut at = 2;
        for _ in 0..u16::from_be_bytes(*count) {
            let (length, after) = rest.split_first_chunk::<4>()?;
            at += 4;
            rest = after;
            match usize::try_from(i32::from_be_bytes(*length)) {
                Err(_) => columns.push(None),
                Ok(length) => {
                    rest = rest.get(length..)?;
                    columns.push(Some((at, at + length)));
                    at += length;
                }
            }
        }
        Some(Self { bytes: body.to_vec(), columns })
    }
}

impl rows::Row for Row {
    fn bytes(&self, column: usize) -> Option<&[u8]> {
        let (from, to) = (*self.columns.get(column)?)?;
        self.bytes.get(from..to)
    }

    fn number(&self, column: usize) -> Option<i64> {
        self.bytes(column)?.try_into().ok().map(i64::from_be_bytes)
    }

    fn bool(&self, column: usize) -> Option<bool> {
        self.bytes(column).map(|bytes| bytes == [1])
    }
}

/// The outcome of one statement of a batch.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// The number of rows that a statement without `returning` changed.
    pub(super) changed: u64,
}

impl rows::Outcome for Outcome {
    type Row = Row;

    fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// The result of a batch: the outcome of each statement, or the error that ended it.
pub(super) type Answer = std::result::Result<Vec<Outcome>, Refusal>;

/// A message of the server.
pub(super) struct Message {
    pub(super) tag: u8,
    pub(super) body: Vec<u8>,
}

/// A logged-in connection.
pub(crate) struct PostgresConnection {
    stream: Stream,
    prepared: Vec<bool>,
    /// Off behind a pooler that shares server connections between statements.
    keeps_statements: bool,
    request: BytesMut,
    /// Whether the server gave up waiting for its standbys during the current request.
    gave_up_standbys: bool,
    process: Process,
}

impl PostgresConnection {
    pub(super) fn over(stream: Stream, keeps_statements: bool) -> Self {
        Self {
            stream,
            prepared: Vec::new(),
            keeps_statements,
            request: BytesMut::new(),
            gave_up_standbys: false,
            process: Process::this(),
        }
    }

    /// Sends statements in one batch, and reads the outcome of each. The first error ends a batch;
    /// a transaction that was begun is then rolled back.
    pub(super) fn batch(&mut self, steps: &[(Statement<'_>, &[Value<'_>])]) -> Attempt<Answer> {
        let unwritten = |error: std::io::Error| Failure::not_done(error.to_string());
        self.gave_up_standbys = false;
        self.request.clear();
        let mut fresh = Vec::new();
        for (statement, values) in steps {
            let known = self.keeps_statements
                && self.prepared.get(statement.number).copied().unwrap_or(false);
            let name = match self.keeps_statements {
                true => name_of(statement.text),
                false => String::new(),
            };
            if !known && !fresh.contains(&statement.number) {
                let kinds = values.iter().map(kind);
                frontend::parse(&name, statement.text, kinds, &mut self.request)
                    .map_err(unwritten)?;
                if self.keeps_statements {
                    fresh.push(statement.number);
                }
            }
            let bound = frontend::bind(
                "",
                &name,
                [1],
                values.iter(),
                |value, out| Ok(write_value(value, out)),
                [1],
                &mut self.request,
            );
            bound.map_err(|_| Failure::not_done("a value is too long for the protocol"))?;
            frontend::execute("", 0, &mut self.request).map_err(unwritten)?;
        }
        frontend::sync(&mut self.request);
        self.stream.send(&self.request)?;
        let (answer, status) = self.outcomes(fresh)?;
        if answer.is_err() && status != b'I' {
            self.roll_back()?;
        }
        // The server reports a commit as done though its wait was cancelled.
        match self.gave_up_standbys {
            true => Err(Failure::lost("the server stopped waiting for its standbys")),
            false => Ok(answer),
        }
    }

    fn outcomes(&mut self, fresh: Vec<usize>) -> Attempt<(Answer, u8)> {
        let mut fresh = fresh.into_iter();
        let mut outcomes = Vec::new();
        let mut current = Outcome::default();
        let mut refusal = None;
        loop {
            let message = self.message()?;
            match message.tag {
                // ParseComplete
                b'1' => {
                    if let Some(number) = fresh.next() {
                        if self.prepared.len() <= number {
                            self.prepared.resize(number + 1, false);
                        }
                        if let Some(prepared) = self.prepared.get_mut(number) {
                            *prepared = true;
                        }
                    }
                }
                // BindComplete, NoData
                b'2' | b'n' => {}
                // DataRow
                b'D' => current.rows.push(Row::parse(&message.body).ok_or_else(garbled)?),
                // CommandComplete, EmptyQueryResponse
                b'C' | b'I' => {
                    current.changed = changed(&message.body);
                    outcomes.push(std::mem::take(&mut current));
                }
                // ErrorResponse
                b'E' => {
                    let refused = Refusal::parse(&message.body);
                    if refused.is_fatal {
                        return Err(fatal(&refused));
                    }
                    refusal = Some(refused);
                }
                // ReadyForQuery
                b'Z' => {
                    let status = message.body.first().copied().unwrap_or_default();
                    return Ok((refusal.map_or(Ok(outcomes), Err), status));
                }
                _ => return Err(garbled()),
            }
        }
    }

    /// Ends a transaction after an error.
    fn roll_back(&mut self) -> Attempt<()> {
        self.simple("rollback").map(drop).map_err(Failure::harmless)
    }

    /// Runs one or more statements as text; returns the first column of the last row.
    pub(super) fn simple(
        &mut self,
        text: &str,
    ) -> Attempt<std::result::Result<Option<Vec<u8>>, Refusal>> {
        self.request.clear();
        frontend::query(text, &mut self.request)
            .map_err(|error| Failure::not_done(error.to_string()))?;
        self.stream.send(&self.request)?;
        let (mut found, mut refusal) = (None, None);
        loop {
            let message = self.message()?;
            match message.tag {
                b'D' => {
                    let row = Row::parse(&message.body).ok_or_else(garbled)?;
                    found = row.bytes(0).map(<[u8]>::to_vec);
                }
                b'E' => {
                    let refused = Refusal::parse(&message.body);
                    if refused.is_fatal {
                        return Err(fatal(&refused));
                    }
                    refusal = Some(refused);
                }
                b'Z' => return Ok(refusal.map_or(Ok(found), Err)),
                b'T' | b'C' | b'I' => {}
                _ => return Err(garbled()),
            }
        }
    }

    /// Returns the next message, and skips notices, settings and notifications, which come at any
    /// time. One notice is noted: that the server has given up waiting for its standbys.
    pub(super) fn message(&mut self) -> Attempt<Message> {
        loop {
            self.stream.fill(5)?;
            let (tag, length) = match self.stream.buffered() {
                [tag, a, b, c, d, ..] => (*tag, u32::from_be_bytes([*a, *b, *c, *d])),
                _ => return Err(garbled()),
            };
            let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
            let length = length.filter(|length| *length <= LONGEST).ok_or_else(garbled)?;
            self.stream.fill(5 + length)?;
            let body = self.stream.buffered().get(5..5 + length).unwrap_or_default().to_vec();
            self.stream.consume(5 + length);
            match tag {
                // NoticeResponse
                b'N' => self.gave_up_standbys |= gives_up_standbys(&body),
                // ParameterStatus, NotificationResponse
                b'S' | b'A' => {}
                _ => return Ok(Message { tag, body }),
            }
        }
    }

    pub(super) fn send(&mut self, request: &[u8]) -> Attempt<()> {
        self.stream.send(request)
    }
}

/// The name of a prepared statement tells its text. A pooler may pass a connection to clients of
/// other stores and versions: no name means one statement to them and another to this one.
fn name_of(text: &str) -> String {
    format!("sessile_{:032x}", XxHash3_128::oneshot(text.as_bytes()))
}

/// The number of rows that a command changed: the last word of its tag.
fn changed(tag: &[u8]) -> u64 {
    let tag = tag.split(|byte| *byte == 0).next().unwrap_or_default();
    let last = std::str::from_utf8(tag).unwrap_or_default().rsplit(' ').next();
    last.and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Pooled for PostgresConnection {
    fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }
}

impl Connection for PostgresConnection {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.set_deadline(deadline);
    }
}

impl fmt::Debug for PostgresConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PostgresConnection")
    }
}

/// Sends the closing message, so that the server logs no lost connection. Waits for no answer. A
/// forked child sends nothing: its parent still uses the connection.
impl Drop for PostgresConnection {
    fn drop(&mut self) {
        if self.process.is_same_by_id() {
            self.stream.set_deadline(Deadline::for_a_goodbye());
            self.request.clear();
            frontend::terminate(&mut self.request);
            let _ = self.stream.send(&self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::network::transport::listening::{connected, said_by};

    #[test]
    fn a_row_is_taken_apart_and_half_a_row_is_none() {
        let body = [0, 3, 0, 0, 0, 1, 7, 255, 255, 255, 255, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0];
        let row = Row::parse(&body).unwrap();
        assert_eq!((row.bytes(0), row.bytes(1), row.number(2)), (Some(&[7][..]), None, Some(256)));
        assert_eq!(row.bytes(3), None);
        for cut in 0..body.len() {
            assert!(Row::parse(&body[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_forked_process_says_no_goodbye_on_its_parents_connection() {
        let (stream, peer) = connected();
        let mut on = PostgresConnection::over(stream, true);
        on.process = Process::pretended();
        drop(on);
        assert_eq!(said_by(peer), b"");
        let (stream, peer) = connected();
        drop(PostgresConnection::over(stream, true));
        assert_eq!(said_by(peer), [b'X', 0, 0, 0, 4]);
    }

    #[test]
    fn a_connection_whose_last_deadline_has_passed_says_goodbye() {
        let (stream, peer) = connected();
        let mut on = PostgresConnection::over(stream, true);
        on.set_deadline(Deadline::after(Duration::ZERO));
        drop(on);
        assert_eq!(said_by(peer), [b'X', 0, 0, 0, 4]);
    }

    #[test]
    fn statements_with_other_texts_are_prepared_under_other_names() {
        let prepared = |text| {
            let (stream, peer) = connected();
            let mut on = PostgresConnection::over(stream, true);
            on.set_deadline(Deadline::after(Duration::from_millis(1)));
            // The number is the same, as in stores of two names, or of two versions.
            let _ = on.batch(&[(Statement { number: 7, text }, &[])]);
            drop(on);
            let said = said_by(peer);
            // The name follows the tag and the length of the first message, `Parse`.
            said[5..].split(|byte| *byte == 0).next().unwrap().to_vec()
        };
        let here = prepared("delete from shop_sessions");
        assert!(here.starts_with(b"sessile_"), "{here:?}");
        assert_eq!(here, prepared("delete from shop_sessions"));
        assert_ne!(here, prepared("delete from blog_sessions"));
    }

    #[test]
    fn a_command_tells_how_many_rows_it_changed() {
        for (tag, expected) in [("UPDATE 3\0", 3), ("INSERT 0 1\0", 1), ("BEGIN\0", 0)] {
            assert_eq!(changed(tag.as_bytes()), expected);
        }
    }
}
