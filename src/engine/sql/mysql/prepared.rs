//! A prepared statement with one parameter: the server neither parses nor plans it again. Its rows
//! come in the protocol's binary form.
//!
//! Invariant: a row is parsed by the kinds of columns that the same answer describes, and only to
//! its end.

use crate::engine::sql::mysql::answer::{Row, length};

/// A statement, as the server has prepared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    id: u32,
    pub(super) columns: u16,
    pub(super) parameters: u16,
}

impl Prepared {
    /// Parses the first packet of the answer to a preparation.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let (&[0, rest @ ..], _) = packet.split_first_chunk::<9>()? else { return None };
        let [a, b, c, d, columns @ .., e, f] = rest;
        Some(Self {
            id: u32::from_le_bytes([a, b, c, d]),
            columns: u16::from_le_bytes(columns),
            parameters: u16::from_le_bytes([e, f]),
        })
    }

    /// A request to execute the statement with these bytes, which are fewer than 251.
    pub(super) fn request(&self, value: &[u8]) -> Vec<u8> {
        const NO_CURSOR: u8 = 0;
        const NO_NULLS: u8 = 0;
        const WITH_TYPES: u8 = 1;
        const BLOB: u8 = 0xfc;
        const SIGNED: u8 = 0;
        let mut request = self.id.to_le_bytes().to_vec();
        request.push(NO_CURSOR);
        // How often.
        request.extend_from_slice(&1_u32.to_le_bytes());
        request.extend_from_slice(&[NO_NULLS, WITH_TYPES, BLOB, SIGNED, value.len() as u8]);
        request.extend_from_slice(value);
        request
    }
}

/// How a column's values are encoded in a binary row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A `bigint`, of 8 bytes.
    Long,
    /// Bytes after their length.
    Bytes,
    /// Not read in binary.
    Other,
}

impl Kind {
    /// The kind in the description of a column.
    pub(super) fn of(description: &[u8]) -> Option<Self> {
        let mut rest = description;
        // The catalog, the schema, and the table and the column, each with its original name.
        for _ in 0..6 {
            let (long, after) = length(rest)?;
            rest = after.get(usize::try_from(long).ok()?..)?;
        }
        // The length of what follows, the character set and the width.
        match rest.get(7)? {
            8 => Some(Self::Long),
            0x0f | 0xf9..=0xfe => Some(Self::Bytes),
            _ => Some(Self::Other),
        }
    }
}

impl Row {
    /// Parses a binary row.
    pub(super) fn parse_binary(bytes: Vec<u8>, kinds: &[Kind]) -> Option<Self> {
        // The first two bits of the nulls are unused.
        const FIRST_BIT: usize = 2;
        let (&0, rest) = bytes.split_first()? else { return None };
        let (nulls, mut rest) = rest.split_at_checked((kinds.len() + FIRST_BIT).div_ceil(8))?;
        let mut columns = Vec::with_capacity(kinds.len());
        for (number, kind) in kinds.iter().enumerate() {
            let bit = number + FIRST_BIT;
            if nulls.get(bit / 8)? >> (bit % 8) & 1 == 1 {
                columns.push(None);
                continue;
            }
            let long = match kind {
                Kind::Long => 8,
                Kind::Bytes => {
                    let (long, after) = length(rest)?;
                    rest = after;
                    usize::try_from(long).ok()?
                }
                Kind::Other => return None,
            };
            let at = bytes.len() - rest.len();
            rest = rest.get(long..)?;
            columns.push(Some((at, at + long)));
        }
        rest.is_empty().then_some(Self { bytes, columns, is_binary: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::rows::Row as _;

    #[test]
    fn the_answer_to_a_preparation_is_read_and_half_of_it_is_none() {
        let packet = [0, 1, 2, 3, 4, 5, 0, 1, 0, 0, 0, 0];
        let expected = Prepared { id: 0x0403_0201, columns: 5, parameters: 1 };
        assert_eq!(Prepared::parse(&packet), Some(expected));
        for cut in 0..9 {
            assert_eq!(Prepared::parse(&packet[..cut]), None, "{cut}");
        }
        assert_eq!(Prepared::parse(&[1; 12]), None);
    }

    #[test]
    fn a_request_holds_the_value_as_bytes() {
        let prepared = Prepared { id: 7, columns: 1, parameters: 1 };
        let expected = [7, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0xfc, 0, 3, b'a', 0, 0xff];
        assert_eq!(prepared.request(b"a\0\xff"), expected);
    }

    #[test]
    fn a_column_is_described_by_its_type_after_six_names() {
        let of = |kind: u8| {
            let names = b"\x03def\x00\x01s\x01s\x01r\x01r".as_slice();
            let rest = [0x0c, 63, 0, 20, 0, 0, 0, kind, 1, 0, 0, 0, 0];
            let description = [names, &rest].concat();
            assert_eq!(Kind::of(&description[..names.len() + 7]), None);
            Kind::of(&description)
        };
        for (kind, expected) in [
            (8, Kind::Long),
            (15, Kind::Bytes),
            (252, Kind::Bytes),
            (253, Kind::Bytes),
            (3, Kind::Other),
        ] {
            assert_eq!(of(kind), Some(expected), "{kind}");
        }
    }

    #[test]
    fn a_binary_row_is_taken_apart_and_half_a_row_is_none() {
        use Kind::{Bytes, Long};
        let kinds = [Long, Bytes, Long, Bytes, Bytes, Bytes, Long];
        // Columns 1 and 6 are null: bits 3 and 8.
        let body = [
            &[0, 0b1000, 0b1][..],
            &(-12_i64).to_le_bytes(),
            &9_i64.to_le_bytes(),
            b"\x02ab\x00\xfc\x03\x00cde",
        ]
        .concat();
        let row = Row::parse_binary(body.clone(), &kinds).unwrap();
        assert_eq!([row.number(0), row.number(2), row.number(6)], [Some(-12), Some(9), None]);
        let bytes = [1, 3, 4, 5].map(|column| row.bytes(column));
        assert_eq!(bytes, [None, Some(&b"ab"[..]), Some(b""), Some(b"cde")]);
        assert_eq!((row.number(3), row.bool(2), row.bytes(7)), (None, Some(true), None));
        for cut in 0..body.len() {
            assert!(Row::parse_binary(body[..cut].to_vec(), &kinds).is_none(), "{cut}");
        }
        assert!(Row::parse_binary([&body[..], &[0]].concat(), &kinds).is_none(), "one too many");
        assert!(Row::parse_binary(body, &[Kind::Other; 7]).is_none());
        let endless = [&[0, 0, 0xfe][..], &[0xff; 8]].concat();
        assert!(Row::parse_binary(endless, &[Bytes]).is_none());
    }
}
