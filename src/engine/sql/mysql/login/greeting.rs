//! The first packets: the server's greeting, and the answer to it.
//!
//! Invariant: no length in a greeting is trusted past its end.

use crate::engine::sql::mysql::login::proof::Method;

/// The client's capabilities: long flags, a database, the protocol of 4.1, transaction status,
/// several statements at once, login methods with long proofs, and `changed` as the number of
/// matched rows.
const ABILITIES: u32 = 0x0000_0001 // long password
    | 0x0000_0002 // found rows
    | 0x0000_0004 // long flag
    | 0x0000_0008 // database
    | 0x0000_0200 // protocol 4.1
    | 0x0000_2000 // transactions
    | 0x0000_8000 // secure connection
    | 0x0001_0000 // several statements
    | 0x0002_0000 // several results
    | 0x0008_0000 // methods of login
    | 0x0020_0000; // proofs of any length

const TLS: u32 = 0x0000_0800;

/// `utf8mb4_general_ci`; what is sent is ASCII.
const CHARACTER_SET: u8 = 45;

/// The longest accepted packet.
const LONGEST: u32 = 0x4000_0000;

/// The server's first packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// The server's random bytes.
    pub(super) challenge: Vec<u8>,
    /// The login method that the server proposes.
    pub(super) method: Vec<u8>,
    pub(super) has_tls: bool,
}

impl Greeting {
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let (_version, rest) = until_zero(packet.strip_prefix(&[10])?)?;
        // The connection's number.
        let (_, rest) = rest.split_at_checked(4)?;
        let (first, rest) = rest.split_at_checked(8)?;
        let (low, rest) = rest.strip_prefix(&[0])?.split_first_chunk::<2>()?;
        // Character set, status.
        let (_, rest) = rest.split_at_checked(3)?;
        let (high, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first()?;
        let (_, rest) = rest.split_at_checked(10)?;
        let second = usize::from(*length).saturating_sub(8).max(13);
        let (second, rest) = rest.split_at_checked(second)?;
        let method = until_zero(rest).map_or(rest, |(name, _)| name);
        let abilities =
            u32::from(u16::from_le_bytes(*low)) | u32::from(u16::from_le_bytes(*high)) << 16;
        // MariaDB leaves the first flag out.
        let needed = ABILITIES & !1;
        (abilities & needed == needed).then(|| Self {
            challenge: [first, second.strip_suffix(&[0]).unwrap_or(second)].concat(),
            method: method.to_vec(),
            has_tls: abilities & TLS != 0,
        })
    }
}

/// The bytes up to a zero, and the bytes after it.
pub(super) fn until_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn abilities(is_secured: bool) -> Vec<u8> {
    let abilities = if is_secured { ABILITIES | TLS } else { ABILITIES };
    let head = [abilities.to_le_bytes(), LONGEST.to_le_bytes()].concat();
    [&head[..], &[CHARACTER_SET], &[0; 23]].concat()
}

/// Asks the server to switch to TLS.
#[cfg(feature = "tls")]
pub(super) fn tls_request() -> Vec<u8> {
    abilities(true)
}

/// The user to log in, with the first proof.
pub(super) fn login_request(
    is_secured: bool,
    user: &str,
    proof: &[u8],
    database: &str,
    method: Method,
) -> Vec<u8> {
    let mut request = abilities(is_secured);
    request.extend_from_slice(user.as_bytes());
    request.push(0);
    // Proofs are short enough for a one-byte length.
    request.push(proof.len() as u8);
    request.extend_from_slice(proof);
    for text in [database, method.name()] {
        request.extend_from_slice(text.as_bytes());
        request.push(0);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut packet = b"\x0a5.5.5-10.11.19-MariaDB\0\x07\0\0\0abcdefgh\0".to_vec();
        packet.extend_from_slice(&[0xfe, 0xff, 45, 2, 0, 0xff, 0xff, 21]);
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
        packet
    }

    #[test]
    fn a_greeting_is_taken_apart() {
        let greeting = Greeting::parse(&packet()).unwrap();
        assert_eq!(greeting.challenge, b"abcdefghijklmnopqrst");
        assert_eq!(greeting.method, b"mysql_native_password");
        assert!(greeting.has_tls);
        let head = packet().len() - "mysql_native_password\0".len();
        for cut in 0..head {
            assert_eq!(Greeting::parse(&packet()[..cut]), None, "{cut}");
        }
        let mut old = packet();
        old[0] = 9;
        assert_eq!(Greeting::parse(&old), None);
    }

    #[test]
    fn a_server_that_takes_no_several_statements_is_not_spoken_to() {
        let mut packet = packet();
        let high = packet.iter().rposition(|byte| *byte == 45).unwrap() + 3;
        packet[high] = 0xfe;
        assert_eq!(Greeting::parse(&packet), None);
    }
}
