//! The protocol: statements out as one text, or one that is prepared, and their outcomes in, in one
//! round trip.
//!
//! Invariant: an answer is read to its end, or the connection is not reused. It knows no table.

use std::fmt;

use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::{Failure, source};
use crate::engine::network::pool::Pooled;
use crate::engine::sql::mysql::answer::{Answer, Ending, Outcome, Refusal, Row, ending, length};
use crate::engine::sql::mysql::packets::{LONGEST, Packets};
use crate::engine::sql::mysql::prepared::{Kind, Prepared};
use crate::engine::sql::rows::garbled;
use crate::key::SessionKey;
use crate::process::Process;

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
const COM_STMT_PREPARE: u8 = 22;
const COM_STMT_EXECUTE: u8 = 23;

/// A logged-in connection.
pub(crate) struct MysqlConnection {
    packets: Packets,
    /// The longest request that the server accepts, as it reports.
    longest_request: usize,
    is_in_transaction: bool,
    /// Whether the server is a node of a Galera cluster.
    is_clustered: bool,
    /// The statement that loads a record.
    load: Option<Prepared>,
    process: Process,
}

/// How the rows of an outcome are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Binary,
}

impl MysqlConnection {
    pub(super) fn over(packets: Packets) -> Self {
        let (longest_request, process) = (LONGEST, Process::this());
        let (is_in_transaction, is_clustered) = (false, false);
        Self { packets, longest_request, is_in_transaction, is_clustered, load: None, process }
    }

    pub(super) const fn limit_requests(&mut self, longest: usize) {
        self.longest_request = longest;
    }

    /// The longest request that the server accepts.
    pub(super) const fn longest_request(&self) -> usize {
        self.longest_request
    }

    pub(super) const fn note_cluster(&mut self) {
        self.is_clustered = true;
    }

    pub(super) const fn is_clustered(&self) -> bool {
        self.is_clustered
    }

    /// Sends one statement of a transaction. Unless it `ends` the transaction, the transaction must
    /// go on: a node of a cluster may undo it and report that only by its status.
    pub(super) fn step(&mut self, text: &str, ends: bool) -> Attempt<Answer> {
        let was_in_transaction = self.is_in_transaction;
        let answer = self.query(text)?;
        if answer.is_ok() && was_in_transaction && !self.is_in_transaction && !ends {
            return Err(undone());
        }
        Ok(answer)
    }

    /// Sends statements, and reads the outcome of each. The first error ends them; a transaction
    /// that they had begun is then rolled back.
    pub(super) fn query(&mut self, text: &str) -> Attempt<Answer> {
        // The server counts the command's byte, and ends the connection after a longer request.
        if text.len() >= self.longest_request {
            if self.is_in_transaction {
                self.roll_back()?;
            }
            return Ok(Err(Refusal::too_long(text.len(), self.longest_request)));
        }
        self.packets.command(COM_QUERY, text.as_bytes())?;
        match self.outcomes(Form::Text)? {
            Err(refusal) => self.refused(refusal, text.contains(';')),
            done => Ok(done),
        }
    }

    /// The answer for an error. A transaction is rolled back, as is one that the request
    /// `may_begin`.
    fn refused(&mut self, refusal: Refusal, may_begin: bool) -> Attempt<Answer> {
        if let Some(failure) = refusal.of_the_connection() {
            return Err(failure);
        }
        if self.is_in_transaction || may_begin {
            self.roll_back()?;
        }
        Ok(Err(refusal))
    }

    /// Ends a transaction after an error.
    fn roll_back(&mut self) -> Attempt<()> {
        self.packets.command(COM_QUERY, b"rollback")?;
        match self.outcomes(Form::Text).map_err(Failure::harmless)? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(match refusal.of_the_moment() {
                Some(failure @ Failure::NotNow(_)) => failure,
                _ => Failure::not_done("the server could not roll a transaction back"),
            }),
        }
    }

    fn outcomes(&mut self, form: Form) -> Attempt<Answer> {
        let mut outcomes = Vec::new();
        loop {
            let (outcome, end) = match self.outcome(form)? {
                Ok(done) => done,
                Err(refusal) => return Ok(Err(refusal)),
            };
            outcomes.push(outcome);
            self.is_in_transaction = end.is_in_transaction;
            if !end.more {
                return Ok(Ok(outcomes));
            }
        }
    }

    /// The outcome of one statement: an OK, or columns, which are skipped, and rows.
    fn outcome(&mut self, form: Form) -> Attempt<std::result::Result<(Outcome, Ending), Refusal>> {
        let head = self.packets.next()?;
        let columns = match head.split_first() {
            Some((0x00, rest)) => {
                let (changed, rest) = length(rest).ok_or_else(garbled)?;
                let (last_id, rest) = length(rest).ok_or_else(garbled)?;
                let end = Ending::parse(rest).ok_or_else(garbled)?;
                return Ok(Ok((Outcome { rows: Vec::new(), changed, last_id }, end)));
            }
            Some((0xff, rest)) => return Ok(Err(Refusal::parse(rest))),
            // 0xfb: the server asks for a file of this machine.
            Some((0xfb, _)) | None => return Err(garbled()),
            Some(_) => length(&head).ok_or_else(garbled)?.0,
        };
        let kinds = self.kinds_of(columns)?;
        let mut rows = Vec::new();
        loop {
            let packet = self.packets.next()?;
            if let Some(end) = ending(&packet) {
                return Ok(Ok((Outcome { rows, ..Outcome::default() }, end)));
            }
            if let Some((0xff, rest)) = packet.split_first() {
                return Ok(Err(Refusal::parse(rest)));
            }
            let row = match form {
                Form::Text => Row::parse(packet, columns),
                Form::Binary => Row::parse_binary(packet, &kinds),
            };
            rows.push(row.ok_or_else(garbled)?);
        }
    }

    /// The kinds of so many columns, from their descriptions.
    fn kinds_of(&mut self, columns: u64) -> Attempt<Vec<Kind>> {
        let mut kinds = Vec::new();
        for _ in 0..columns {
            kinds.push(Kind::of(&self.packets.next()?).ok_or_else(garbled)?);
        }
        match ending(&self.packets.next()?) {
            Some(_) => Ok(kinds),
            None => Err(garbled()),
        }
    }

    /// Prepares the statement that loads a record. If the server does not, as before it has the
    /// tables, the statement is sent as text.
    pub(super) fn prepare_load(&mut self, text: &str) -> Attempt<()> {
        self.packets.command(COM_STMT_PREPARE, text.replace("$1", "?").as_bytes())?;
        let head = self.packets.next()?;
        if let Some((0xff, rest)) = head.split_first() {
            return Refusal::parse(rest).of_the_connection().map_or(Ok(()), Err);
        }
        let prepared = Prepared::parse(&head).ok_or_else(garbled)?;
        for count in [prepared.parameters, prepared.columns] {
            if count > 0 {
                self.kinds_of(count.into())?;
            }
        }
        self.load = (prepared.parameters == 1).then_some(prepared);
        Ok(())
    }

    /// Loads the record under a key; `None` if no statement is prepared for that.
    pub(super) fn load(&mut self, key: &SessionKey) -> Attempt<Option<Answer>> {
        let Some(prepared) = &self.load else { return Ok(None) };
        self.packets.command(COM_STMT_EXECUTE, &prepared.request(key.as_bytes()))?;
        match self.outcomes(Form::Binary)? {
            Err(refusal) if refusal.is_of_a_lost_statement() => {
                self.load = None;
                Ok(None)
            }
            Err(refusal) => self.refused(refusal, false).map(Some),
            found => Ok(Some(found)),
        }
    }
}

/// The failure for a transaction that a node of a cluster has undone, because another node was
/// first.
fn undone() -> Failure {
    Failure::RolledBack(source("a node of the cluster undid the transaction"))
}

impl Pooled for MysqlConnection {
    fn is_quiet(&self) -> bool {
        self.packets.is_quiet()
    }
}

impl Connection for MysqlConnection {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.packets.set_deadline(deadline);
    }
}

impl fmt::Debug for MysqlConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MysqlConnection")
    }
}

/// Sends the closing message, so that the server logs no lost connection. Waits for no answer. A
/// forked child sends nothing: its parent still uses the connection.
impl Drop for MysqlConnection {
    fn drop(&mut self) {
        if self.process.is_same_by_id() {
            self.packets.set_deadline(Deadline::for_a_goodbye());
            let _ = self.packets.command(COM_QUIT, b"");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::engine::network::transport::listening::{connected, said_by};
    use crate::engine::sql::rows::Row as _;

    /// Packets, each with its number.
    fn packets(bodies: &[(u8, &[u8])]) -> Vec<u8> {
        let packet =
            |(turn, body): &(u8, &[u8])| [&[body.len() as u8, 0, 0, *turn][..], body].concat();
        bodies.iter().flat_map(packet).collect()
    }

    /// The description of a column of this type.
    fn column(kind: u8) -> Vec<u8> {
        [&[0; 6][..], &[0x0c, 63, 0, 20, 0, 0, 0, kind, 1, 0, 0, 0, 0]].concat()
    }

    const END: &[u8] = &[0xfe, 0, 0, 2, 0];
    const KEY: SessionKey = SessionKey::from_bytes([7; 16]);

    #[test]
    fn a_record_is_loaded_by_the_prepared_statement_until_the_server_knows_it_no_more() {
        let (stream, mut peer) = connected();
        let mut on = MysqlConnection::over(Packets::over(stream));
        assert!(on.load(&KEY).unwrap().is_none(), "none is prepared");
        let (text, number) = (column(253), column(8));
        let prepared: &[u8] = &[0, 9, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        let found = [&[0, 0][..], &5_i64.to_le_bytes()].concat();
        let lost = [&[0xff][..], &1243_u16.to_le_bytes(), b"#HY000unknown"].concat();
        peer.write_all(&packets(&[(1, prepared), (2, &text), (3, END), (4, &number), (5, END)]))
            .unwrap();
        on.prepare_load("select n from t where k = $1").unwrap();
        peer.write_all(&packets(&[(1, &[1]), (2, &number), (3, END), (4, &found), (5, END)]))
            .unwrap();
        let answer = on.load(&KEY).unwrap().unwrap().unwrap();
        assert_eq!(answer[0].rows[0].number(0), Some(5));
        peer.write_all(&packets(&[(1, &lost)])).unwrap();
        assert!(on.load(&KEY).unwrap().is_none(), "it is sent as text");
        assert!(on.load(&KEY).unwrap().is_none(), "and is not executed again");
        drop(on);
        let said = said_by(peer);
        let asked = b"\x1c\0\0\0\x16select n from t where k = ?";
        assert!(said.starts_with(asked), "{said:?}");
        let executed =
            [&[0x17, 9, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0xfc, 0, 16][..], &[7; 16]].concat();
        let times = said.windows(executed.len()).filter(|part| *part == executed).count();
        assert_eq!(times, 2);
    }

    #[test]
    fn a_server_that_does_not_prepare_is_sent_the_text() {
        let (stream, mut peer) = connected();
        let mut on = MysqlConnection::over(Packets::over(stream));
        for code in [1146_u16, 1461] {
            let refused = [&[0xff][..], &code.to_le_bytes(), b"#HY000no"].concat();
            peer.write_all(&packets(&[(1, &refused)])).unwrap();
            on.prepare_load("select n from t where k = $1").unwrap();
            assert!(on.load(&KEY).unwrap().is_none());
        }
        // The server shuts down.
        let ended = [&[0xff][..], &1053_u16.to_le_bytes(), b"#08S01no"].concat();
        peer.write_all(&packets(&[(1, &ended)])).unwrap();
        assert!(on.prepare_load("select n from t where k = $1").is_err());
    }

    #[test]
    fn a_transaction_that_is_over_before_its_end_was_undone() {
        let (stream, mut peer) = connected();
        let mut on = MysqlConnection::over(Packets::over(stream));
        let ok = |status: u8| packets(&[(1, &[0, 1, 0, status, 0, 0, 0])]);
        let (inside, outside) = (ok(3), ok(2));
        for (answers, ends, is_undone) in [
            ([&inside, &inside], false, false),
            ([&inside, &outside], true, false),
            ([&inside, &outside], false, true),
            ([&outside, &outside], false, false),
        ] {
            peer.write_all(&answers.map(|one| &one[..]).concat()).unwrap();
            on.step("begin", false).unwrap().unwrap();
            let answer = on.step("update t set n = 1", ends);
            assert_eq!(matches!(answer, Err(Failure::RolledBack(_))), is_undone, "{answer:?}");
            on.is_in_transaction = false;
        }
    }

    #[test]
    fn a_forked_process_says_no_goodbye_on_its_parents_connection() {
        let (stream, peer) = connected();
        let mut on = MysqlConnection::over(Packets::over(stream));
        on.process = Process::pretended();
        drop(on);
        assert_eq!(said_by(peer), b"");
        let (stream, peer) = connected();
        drop(MysqlConnection::over(Packets::over(stream)));
        assert_eq!(said_by(peer), [1, 0, 0, 0, COM_QUIT]);
    }

    #[test]
    fn a_connection_whose_last_deadline_has_passed_says_goodbye() {
        let (stream, peer) = connected();
        let mut on = MysqlConnection::over(Packets::over(stream));
        on.set_deadline(Deadline::after(Duration::ZERO));
        drop(on);
        assert_eq!(said_by(peer), [1, 0, 0, 0, COM_QUIT]);
    }
}
