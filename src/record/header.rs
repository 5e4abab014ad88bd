//! The fixed-width head of a record: all data of a session except its user, token and content.
//!
//! Invariant: [`Header::write`] and [`Header::read`] are inverse to each other, and `read` accepts
//! only bytes that `write` can produce. docs/internals/format.md describes layout and meaning.

use crate::time::clock::Timestamp;
use crate::time::timeouts::OwnTimeouts;

/// The version of the record's layout, its first byte.
pub(crate) const FORMAT_VERSION: u8 = 1;
/// The header's length, in bytes.
pub(crate) const LEN: usize = 60;

const FLAG_CSRF_TOKEN: u8 = 1;
const FLAG_OWN_INACTIVITY: u8 = 2;
const FLAG_OWN_ABSOLUTE: u8 = 4;

/// All integers are stored little-endian, in the order of these fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) has_csrf_token: bool,
    pub(crate) own_timeouts: OwnTimeouts,
    pub(crate) user_len: u16,
    pub(crate) content_version: u32,
    pub(crate) revision: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) last_active: Timestamp,
    /// The deadline under which the engine's index has the session: never later than the true
    /// deadline, which a touch moves without moving the index entry.
    pub(crate) index_deadline: Timestamp,
    pub(crate) content_len: u32,
}

impl Header {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut flags = 0;
        for (set, flag) in [
            (self.has_csrf_token, FLAG_CSRF_TOKEN),
            (self.own_timeouts.inactivity_ms.is_some(), FLAG_OWN_INACTIVITY),
            (self.own_timeouts.absolute_ms.is_some(), FLAG_OWN_ABSOLUTE),
        ] {
            if set {
                flags |= flag;
            }
        }
        out.extend_from_slice(&[FORMAT_VERSION, flags]);
        out.extend_from_slice(&self.user_len.to_le_bytes());
        out.extend_from_slice(&self.content_version.to_le_bytes());
        for number in [
            self.revision,
            self.created_at.as_millis(),
            self.last_active.as_millis(),
            self.index_deadline.as_millis(),
            self.own_timeouts.inactivity_ms.unwrap_or(0),
            self.own_timeouts.absolute_ms.unwrap_or(0),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.content_len.to_le_bytes());
    }

    /// Returns the header, or the rule that the bytes break.
    pub(crate) fn read(bytes: &[u8; LEN]) -> Result<Self, &'static str> {
        let mut fields = Fields(bytes);
        if fields.take::<1>() != [FORMAT_VERSION] {
            return Err("it has a format version that this library does not know");
        }
        let [flags] = fields.take();
        if flags & !(FLAG_CSRF_TOKEN | FLAG_OWN_INACTIVITY | FLAG_OWN_ABSOLUTE) != 0 {
            return Err("it has flags that this library does not know");
        }
        let user_len = u16::from_le_bytes(fields.take());
        let content_version = u32::from_le_bytes(fields.take());
        let revision = fields.take_u64();
        let created_at = Timestamp::from_millis(fields.take_u64());
        let last_active = Timestamp::from_millis(fields.take_u64());
        let index_deadline = Timestamp::from_millis(fields.take_u64());
        let mut own = |flag| match (flags & flag != 0, fields.take_u64()) {
            (true, millis) => Ok(Some(millis)),
            (false, 0) => Ok(None),
            (false, _) => Err("it has a timeout that its flags deny"),
        };
        let own_timeouts = OwnTimeouts {
            inactivity_ms: own(FLAG_OWN_INACTIVITY)?,
            absolute_ms: own(FLAG_OWN_ABSOLUTE)?,
        };
        if last_active < created_at {
            return Err("it was active before it was created");
        }
        Ok(Self {
            has_csrf_token: flags & FLAG_CSRF_TOKEN != 0,
            own_timeouts,
            user_len,
            content_version,
            revision,
            created_at,
            last_active,
            index_deadline,
            content_len: u32::from_le_bytes(fields.take()),
        })
    }
}

/// Takes fields of fixed width off the front. The widths add up to [`LEN`], so no field is missing;
/// otherwise fields would be zero, and the tests would fail.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }

    fn take_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Header {
        Header {
            has_csrf_token: true,
            own_timeouts: OwnTimeouts { inactivity_ms: Some(0), absolute_ms: Some(7) },
            user_len: 513,
            content_version: 3,
            revision: 4,
            created_at: Timestamp::from_millis(5),
            last_active: Timestamp::from_millis(6),
            index_deadline: Timestamp::from_millis(u64::MAX),
            content_len: 9,
        }
    }

    fn written(header: &Header) -> [u8; LEN] {
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        bytes.try_into().unwrap()
    }

    #[test]
    fn reading_gives_back_what_was_written() {
        let without =
            Header { has_csrf_token: false, own_timeouts: OwnTimeouts::default(), ..example() };
        for header in [example(), without] {
            assert_eq!(Header::read(&written(&header)), Ok(header));
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut expected = vec![1, 7, 1, 2, 3, 0, 0, 0];
        for number in [4_u64, 5, 6, u64::MAX, 0, 7] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend([9, 0, 0, 0]);
        assert_eq!(written(&example()).as_slice(), expected);
    }

    #[test]
    fn what_write_never_produces_is_refused() {
        let with = |index: usize, byte: u8| {
            let mut bytes = written(&example());
            bytes[index] = byte;
            Header::read(&bytes)
        };
        assert!(with(0, 0).is_err(), "version 0");
        assert!(with(0, 2).is_err(), "version 2");
        assert!(with(1, 0x0f).is_err(), "an unknown flag");
        assert!(with(1, 0x03).is_err(), "an absolute timeout without its flag");
        assert!(with(24, 4).is_err(), "active before created");
    }
}
