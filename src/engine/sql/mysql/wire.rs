//! The protocol: statements out as one text, their outcomes in, in one round trip.
//!
//! Invariant: an answer is read to its end, or the connection is not reused. It knows no table.

use std::fmt;

use crate::engine::network::backend::{Attempt, Connection};
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::pool::Pooled;
use crate::engine::sql::mysql::answer::{Answer, Ending, Outcome, Refusal, Row, ending, length};
use crate::engine::sql::mysql::packets::{LONGEST, Packets};
use crate::engine::sql::rows::garbled;
use crate::process::Process;

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;

/// A logged-in connection.
pub(crate) struct MysqlConnection {
    packets: Packets,
    /// The longest request that the server accepts, as it reports.
    longest_request: usize,
    is_in_transaction: bool,
    process: Process,
}

impl MysqlConnection {
    pub(super) fn over(packets: Packets) -> Self {
        let (longest_request, process) = (LONGEST, Process::this());
        Self { packets, longest_request, is_in_transaction: false, process }
    }

    pub(super) const fn limit_requests(&mut self, longest: usize) {
        self.longest_request = longest;
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
        self.packets.command(COM_QUERY, text)?;
        let answer = self.outcomes()?;
        if let Err(refusal) = &answer {
            if let Some(failure) = refusal.of_the_connection() {
                return Err(failure);
            }
            if self.is_in_transaction || text.contains(';') {
                self.roll_back()?;
            }
        }
        Ok(answer)
    }

    /// Ends a transaction after an error.
    fn roll_back(&mut self) -> Attempt<()> {
        self.packets.command(COM_QUERY, "rollback")?;
        match self.outcomes().map_err(Failure::harmless)? {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::not_done("the server could not roll a transaction back")),
        }
    }

    fn outcomes(&mut self) -> Attempt<Answer> {
        let mut outcomes = Vec::new();
        loop {
            let (outcome, end) = match self.outcome()? {
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
    fn outcome(&mut self) -> Attempt<std::result::Result<(Outcome, Ending), Refusal>> {
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
        for _ in 0..columns {
            self.packets.next()?;
        }
        if ending(&self.packets.next()?).is_none() {
            return Err(garbled());
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.packets.next()?;
            if let Some(end) = ending(&packet) {
                return Ok(Ok((Outcome { rows, ..Outcome::default() }, end)));
            }
            if let Some((0xff, rest)) = packet.split_first() {
                return Ok(Err(Refusal::parse(rest)));
            }
            rows.push(Row::parse(packet, columns).ok_or_else(garbled)?);
        }
    }
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

/// Says goodbye, so that the server logs no lost connection, and waits for no answer. A forked
/// child says nothing: its parent still uses the connection.
impl Drop for MysqlConnection {
    fn drop(&mut self) {
        if self.process.is_same_by_id() {
            let _ = self.packets.command(COM_QUIT, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::network::transport::listening::{connected, said_by};

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
}
