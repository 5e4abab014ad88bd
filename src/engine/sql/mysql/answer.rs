//! The server's packets, parsed: rows, the end of a statement, and errors.
//!
//! Invariant: a packet is parsed only when complete, and no length inside it is trusted past its
//! end.

use crate::engine::network::failure::{Failure, source};
use crate::engine::sql::rows;

/// The result of statements: the outcome of each, or the error that ended them.
pub(super) type Answer = std::result::Result<Vec<Outcome>, Refusal>;

/// The outcome of one statement.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// The number of rows that a statement inserted, removed, or matched for a change.
    pub(super) changed: u64,
    /// The value that the statement gave to `last_insert_id`.
    pub(super) last_id: u64,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(super) bytes: Vec<u8>,
    /// The place of each column in the bytes; `None` for a null.
    pub(super) columns: Vec<Option<(usize, usize)>>,
    /// Whether numbers are in binary, and not in digits.
    pub(super) is_binary: bool,
}

impl Row {
    /// Parses a row of texts.
    pub(super) fn parse(bytes: Vec<u8>, count: u64) -> Option<Self> {
        const NULL: u8 = 0xfb;
        let mut columns = Vec::new();
        let mut rest = bytes.as_slice();
        for _ in 0..count {
            if let Some((&NULL, after)) = rest.split_first() {
                columns.push(None);
                rest = after;
                continue;
            }
            let (long, after) = length(rest)?;
            let at = bytes.len() - after.len();
            let to = at.checked_add(usize::try_from(long).ok()?)?;
            rest = bytes.get(to..)?;
            columns.push(Some((at, to)));
        }
        rest.is_empty().then_some(Self { bytes, columns, is_binary: false })
    }
}

impl rows::Row for Row {
    fn bytes(&self, column: usize) -> Option<&[u8]> {
        let (from, to) = (*self.columns.get(column)?)?;
        self.bytes.get(from..to)
    }

    fn number(&self, column: usize) -> Option<i64> {
        let bytes = self.bytes(column)?;
        match self.is_binary {
            true => bytes.try_into().ok().map(i64::from_le_bytes),
            false => std::str::from_utf8(bytes).ok()?.parse().ok(),
        }
    }

    fn bool(&self, column: usize) -> Option<bool> {
        self.number(column).map(|number| number != 0)
    }
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

/// The end of a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) is_in_transaction: bool,
    /// Whether the outcome of another statement follows.
    pub(super) more: bool,
}

impl Ending {
    /// Parses the status, which comes next in the packet.
    pub(super) fn parse(rest: &[u8]) -> Option<Self> {
        let status = u16::from_le_bytes(*rest.first_chunk::<2>()?);
        Some(Self { is_in_transaction: status & 1 != 0, more: status & 8 != 0 })
    }
}

/// The end of columns or rows; `None` for another packet.
pub(super) fn ending(packet: &[u8]) -> Option<Ending> {
    match packet {
        // The status comes after the warnings. A row that begins with the same byte is longer.
        [0xfe, _, _, status @ ..] if packet.len() < 9 => Ending::parse(status),
        _ => None,
    }
}

/// A length-encoded number, and the bytes after it.
pub(super) fn length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let size = match first {
        0..=0xfa => return Some((u64::from(*first), rest)),
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        _ => return None,
    };
    let mut number = [0; 8];
    number.get_mut(..size)?.copy_from_slice(rest.get(..size)?);
    Some((u64::from_le_bytes(number), rest.get(size..)?))
}

/// An error of the server: its number, and its message, which may contain a user name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) code: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) const DUPLICATE_KEY: u16 = 1062;
    pub(super) const NO_SUCH_TABLE: u16 = 1146;
    pub(super) const PACKET_TOO_LARGE: u16 = 1153;

    /// Parses the bytes after the mark of an error.
    pub(super) fn parse(rest: &[u8]) -> Self {
        let Some((code, rest)) = rest.split_first_chunk::<2>() else { return Self::default() };
        // Before a login, `#` and the SQLSTATE are missing.
        let words = match rest {
            [b'#', _, _, _, _, _, words @ ..] => words,
            words => words,
        };
        let message = String::from_utf8_lossy(words).into_owned();
        Self { code: u16::from_le_bytes(*code), message }
    }

    /// The error for a request that is not sent, because the server would end the connection for
    /// it.
    pub(super) fn too_long(length: usize, most: usize) -> Self {
        let message = format!(
            "the request has {length} bytes, and `max_allowed_packet` of the server is {most}"
        );
        Self { code: Self::PACKET_TOO_LARGE, message }
    }

    /// Whether the server does not know a prepared statement any more, or cannot use it.
    pub(super) const fn is_of_a_lost_statement(&self) -> bool {
        matches!(self.code, 1243 | 1615)
    }

    /// The failure for an error that ends the connection with the request. A change may have been
    /// committed all the same.
    pub(super) fn of_the_connection(&self) -> Option<Failure> {
        match self.code {
            // The server ended the idle connection before the request arrived.
            4031 => Some(Failure::not_done("the server ended the connection as idle")),
            // The server shut down, or the connection was killed.
            1053 | 1927 | 3169 => Some(Failure::lost("the server ended the connection")),
            // The error happened during the commit.
            1180 => Some(Failure::lost("the server does not know whether it committed")),
            1156..=1161 => Some(Failure::lost("the server says that the connection failed")),
            _ => None,
        }
    }

    /// The failure for an error that a retry may avoid.
    pub(super) fn of_the_moment(&self) -> Option<Failure> {
        match self.code {
            // Deadlock, lock time-out, a changed row or table, a conflict in a cluster.
            1213 | 1205 | 1020 | 1412 | 3101 => {
                Some(Failure::RolledBack(source("another transaction came in the way")))
            }
            // Too many clients, of the server, of the user, or within an hour.
            1040 | 1203 | 1226 => {
                Some(Failure::not_now("the server has as many clients as it may"))
            }
            // The node is currently not a part of its cluster.
            1047 => Some(Failure::not_now("the server takes no statements now")),
            1792 => Some(Failure::not_now(
                "the server's `transaction_read_only` is on, so it takes no writes",
            )),
            1290 | 1836 | 3100 => {
                Some(Failure::not_now("the server is a replica, which takes no writes"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::rows::Row as _;

    #[test]
    fn lengths_are_read_in_each_of_their_sizes_and_never_past_the_end() {
        for (bytes, expected) in [
            (&[0xfa][..], 0xfa),
            (&[0xfc, 1, 2], 0x0201),
            (&[0xfd, 1, 2, 3], 0x03_0201),
            (&[0xfe, 1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201),
        ] {
            assert_eq!(length(bytes), Some((expected, &[][..])));
            for cut in 0..bytes.len() {
                assert_eq!(length(&bytes[..cut]), None);
            }
        }
        assert_eq!(length(&[0xfb]), None);
        assert_eq!(length(&[0xff, 0, 0]), None);
    }

    #[test]
    fn a_row_is_taken_apart_and_half_a_row_is_none() {
        let body = b"\x01a\xfb\x00\x03-12".to_vec();
        let row = Row::parse(body.clone(), 4).unwrap();
        assert_eq!(
            (row.bytes(0), row.bytes(1), row.bytes(2)),
            (Some(&b"a"[..]), None, Some(&[][..]))
        );
        assert_eq!((row.number(3), row.bool(3), row.bytes(4)), (Some(-12), Some(true), None));
        for cut in 0..body.len() {
            assert!(Row::parse(body[..cut].to_vec(), 4).is_none(), "{cut}");
        }
        assert!(Row::parse([&body[..], &[0]].concat(), 4).is_none(), "something is left over");
        let endless = [&[0xfe][..], &[0xff; 8], b"abc"].concat();
        assert!(Row::parse(endless, 1).is_none());
    }

    #[test]
    fn the_end_of_rows_is_told_from_a_row() {
        let more = Ending { is_in_transaction: true, more: true };
        assert_eq!(ending(&[0xfe, 0, 0, 9, 0]), Some(more));
        assert_eq!(ending(&[0xfe, 0, 0, 2, 0]), Some(Ending::default()));
        assert_eq!(ending(&[0xfe, 1, 0, 0, 0, 0, 0, 0, 0, 7]), None);
        assert_eq!(ending(&[0x01, 0, 0, 2, 0]), None);
    }

    #[test]
    fn an_error_is_read_with_and_without_its_state() {
        let read = |bytes: &[u8]| Refusal::parse(bytes);
        let expected = Refusal { code: 1040, message: "Too many".into() };
        assert_eq!(read(b"\x10\x04#08004Too many"), expected);
        assert_eq!(read(b"\x10\x04Too many"), expected);
        assert_eq!(read(b"\x10").code, 0);
        assert!(matches!(expected.of_the_moment(), Some(Failure::NotNow(_))));
    }

    #[test]
    fn a_statement_that_another_change_came_before_is_made_again() {
        for code in [1213, 1205, 1020, 1412, 3101] {
            let refusal = Refusal { code, message: String::new() };
            assert!(matches!(refusal.of_the_moment(), Some(Failure::RolledBack(_))), "{code}");
        }
    }
}
