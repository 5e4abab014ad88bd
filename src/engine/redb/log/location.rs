//! The log's location in the file, stored in two sectors of the first page that redb does not use,
//! and once more at the log's own end.
//!
//! Invariant: both sectors are equal, except while the log moves. Then one sector is written and
//! synced before the other. So beside a torn sector the other one is valid, unless the torn one is
//! the first ever written and there is no log yet. Two sectors of zeros mean that there is no log,
//! and the whole file is redb's.
//!
//! Two sectors can differ after a crash. The valid one with more moves wins, so it is overwritten
//! last. An example: a crash left a sector with 4 moves and one with 3. The next move overwrites
//! the 3 first, which gives 4 and 5, and then the 4. If the 4 were overwritten first and torn, the
//! 3 would win and lead to a place that the log has left.

use crate::engine::redb::digest::digest_of;

/// The sectors' offsets. redb's header ends at 320, and redb writes nothing else in its page 0.
pub(in crate::engine::redb) const OFFSETS: [u64; 2] = [2_048, 2_560];
pub(in crate::engine::redb) const SECTOR: usize = 512;

/// No log moves so often; a larger number could not grow.
const MAX_MOVES: u64 = u64::MAX / 2;
const MAGIC: &[u8; 8] = b"sess-log";
const SALT_LEN: usize = 16;

/// The location of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) struct Location {
    /// How often the log has moved. If two sectors differ, the larger number wins.
    pub(in crate::engine::redb) moves: u64,
    /// The length of redb's part, which starts at the beginning of the file.
    pub(in crate::engine::redb) database_len: u64,
    /// The log's start: the end of redb's part, or somewhat after it.
    pub(in crate::engine::redb) start: u64,
    pub(in crate::engine::redb) capacity: u64,
    /// Drawn at random for each log. It is part of every entry's digest, so no session content can
    /// pass for an entry.
    pub(in crate::engine::redb) salt: [u8; SALT_LEN],
}

/// A sector that is neither empty nor a valid location, or a log that no sector leads to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the place of the write-ahead log is damaged")]
pub(in crate::engine::redb) struct DamagedArea;

impl Location {
    pub(in crate::engine::redb) const fn end(&self) -> u64 {
        self.start.saturating_add(self.capacity)
    }

    /// The length of the part that holds entries.
    pub(in crate::engine::redb) const fn room(&self) -> u64 {
        self.capacity.saturating_sub(SECTOR as u64)
    }

    /// The offset of the copy of the location, which is the log's last sector.
    pub(in crate::engine::redb) const fn copy_offset(&self) -> u64 {
        self.end().saturating_sub(SECTOR as u64)
    }

    /// Whether the log that this is the location of was added, or moved, after the `other` one.
    pub(in crate::engine::redb) fn is_later_than(&self, other: &Self) -> bool {
        self.salt != other.salt || self.moves > other.moves
    }

    pub(in crate::engine::redb) fn to_sector(self) -> [u8; SECTOR] {
        let mut bytes = MAGIC.to_vec();
        for number in [self.moves, self.database_len, self.start, self.capacity] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        let digest = digest_of(&bytes);
        bytes.extend_from_slice(&digest);
        bytes.resize(SECTOR, 0);
        let mut sector = [0; SECTOR];
        sector.copy_from_slice(&bytes);
        sector
    }

    /// The location that the two sectors give together; `None` if there is no log.
    pub(in crate::engine::redb) fn from_sectors(
        first: &[u8; SECTOR],
        second: &[u8; SECTOR],
    ) -> Result<Option<Self>, DamagedArea> {
        match (Self::from_sector(first), Self::from_sector(second)) {
            (Ok(Some(first)), Ok(Some(second))) => {
                Ok(Some(if first.moves >= second.moves { first } else { second }))
            }
            // The other sector is torn, not yet written, or already cleared.
            (Ok(Some(area)), _) | (_, Ok(Some(area))) => Ok(Some(area)),
            (Ok(None), _) | (_, Ok(None)) => Ok(None),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The order in which the sectors are overwritten: the winning one comes last.
    pub(in crate::engine::redb) fn order_of(
        first: &[u8; SECTOR],
        second: &[u8; SECTOR],
    ) -> [u64; 2] {
        let [of_first, of_second] = OFFSETS;
        let holding = Self::from_sectors(first, second).ok();
        match (Self::from_sector(first).ok() == holding, Self::from_sector(second).ok() == holding)
        {
            (true, false) => [of_second, of_first],
            _ => [of_first, of_second],
        }
    }

    /// The location in one sector; `None` if the sector is empty.
    pub(super) fn from_sector(sector: &[u8; SECTOR]) -> Result<Option<Self>, DamagedArea> {
        if sector.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut fields = sector.as_slice();
        let mut take = || {
            let (field, rest) = fields.split_first_chunk::<8>()?;
            fields = rest;
            Some(*field)
        };
        let parse = || {
            let _magic = take()?;
            let mut number = || take().map(u64::from_le_bytes);
            let [moves, database_len, start, capacity] =
                [number()?, number()?, number()?, number()?];
            let mut salt = [0; SALT_LEN];
            let (first, second) = salt.split_at_mut(8);
            first.copy_from_slice(&take()?);
            second.copy_from_slice(&take()?);
            Some(Self { moves, database_len, start, capacity, salt })
        };
        // Encoding the location again must give the same bytes, including magic, digest and
        // padding.
        let area = { parse }().filter(|area| area.to_sector() == *sector).ok_or(DamagedArea)?;
        let sound = area.database_len <= area.start
            && area.capacity >= SECTOR as u64
            && area.end() < u64::MAX
            && area.moves <= MAX_MOVES;
        if sound { Ok(Some(area)) } else { Err(DamagedArea) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area() -> Location {
        Location { moves: 3, database_len: 8_192, start: 12_288, capacity: 65_536, salt: [7; 16] }
    }

    #[test]
    fn a_sector_is_read_back_as_it_was_written() {
        assert_eq!(Location::from_sector(&area().to_sector()).unwrap(), Some(area()));
        assert_eq!(Location::from_sector(&[0; SECTOR]).unwrap(), None);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for bit in 0..SECTOR * 8 {
            let mut sector = area().to_sector();
            sector[bit / 8] ^= 1 << (bit % 8);
            assert!(Location::from_sector(&sector).is_err(), "bit {bit}");
            assert!(Location::from_sectors(&sector, &sector).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_location_that_no_log_could_have_is_refused() {
        for unsound in [
            Location { moves: u64::MAX, ..area() },
            Location { moves: MAX_MOVES + 1, ..area() },
            Location { capacity: SECTOR as u64 - 1, ..area() },
            Location { start: area().database_len - 1, ..area() },
            Location { start: u64::MAX - 10, ..area() },
        ] {
            assert!(Location::from_sector(&unsound.to_sector()).is_err(), "{unsound:?}");
        }
        let last = Location { moves: MAX_MOVES, ..area() };
        assert_eq!(Location::from_sector(&last.to_sector()).unwrap(), Some(last));
    }

    #[test]
    fn a_sector_that_is_torn_leaves_the_word_to_the_other() {
        let (old, new) = (area(), Location { moves: 4, start: 16_384, ..area() });
        let (none, mut torn) = ([0; SECTOR], new.to_sector());
        torn[40..].fill(0);
        let of = |first: &_, second: &_| Location::from_sectors(first, second).unwrap();
        assert_eq!(of(&torn, &none), None, "the first log is being added");
        assert_eq!(of(&new.to_sector(), &none), Some(new));
        assert_eq!(of(&torn, &old.to_sector()), Some(old), "the log is about to move");
        assert_eq!(of(&new.to_sector(), &old.to_sector()), Some(new), "it has moved");
        assert_eq!(of(&new.to_sector(), &torn), Some(new));
        assert_eq!(of(&none, &torn), None, "it is being given back");
    }
}
