//! The log's location in the file, stored in two sectors of the first page that redb does not use,
//! and once more at the log's own end.
//!
//! Invariant: both sectors are equal, except while the log moves. Then one sector is written and
//! synced before the other. So beside a torn sector the other one is valid, unless the torn one is
//! the first ever written and there is no log yet. A file without a log is all redb's: its sectors
//! say so, or they are zeros, if it never had a log.
//!
//! Two sectors can differ after a crash. The valid one with more moves wins, so it is overwritten
//! last. An example: a crash left a sector with 4 moves and one with 3. The next move overwrites
//! the 3 first, which gives 4 and 5, and then the 4. If the 4 were overwritten first and torn, the
//! 3 would win and lead to a place that the log has left.
//!
//! The moves are counted on through all logs of a file. A copy of a location stays where an earlier
//! log ended, and redb's part may shrink until the file ends there. Its moves tell it from the copy
//! of a log whose sectors were lost.

use crate::engine::redb::digest::digest_of;

/// The sectors' offsets. redb's header ends at 320, and redb writes nothing else in its page 0.
pub(in crate::engine::redb) const OFFSETS: [u64; 2] = [2_048, 2_560];
pub(in crate::engine::redb) const SECTOR: usize = 512;

/// Every length in the file is a multiple of this.
const PAGE: u64 = 4_096;
/// The log's share of the database's length: 1/16, within bounds. The log is long enough that a
/// page changed by many commits is written once for all of them, and short enough that it does not
/// slow recovery.
const SHARE: u64 = 16;
const MIN_CAPACITY: u64 = 64 * 1024;
pub(in crate::engine::redb) const MAX_CAPACITY: u64 = 4 * 1024 * 1024;

/// No log moves so often; a larger number could not grow.
const MAX_MOVES: u64 = u64::MAX / 2;
const MAGIC: &[u8; 8] = b"sess-log";
const SALT_LEN: usize = 16;

/// The location of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) struct Location {
    /// How often a log of this file was moved, or added after another, before. If two sectors
    /// differ, the larger number wins.
    pub(in crate::engine::redb) moves: u64,
    /// Where redb's part ends, which starts at the beginning of the file.
    pub(in crate::engine::redb) database_len: u64,
    /// The log's start: where redb's part ends, or somewhat after it.
    pub(in crate::engine::redb) start: u64,
    pub(in crate::engine::redb) capacity: u64,
    /// Drawn at random for each log. It is part of every entry's digest, so no session content can
    /// pass for an entry.
    pub(in crate::engine::redb) salt: [u8; SALT_LEN],
}

/// The capacity of a log beside a database of this length.
pub(in crate::engine::redb) fn capacity_beside(database_len: u64) -> u64 {
    (database_len / SHARE).clamp(MIN_CAPACITY, MAX_CAPACITY).next_multiple_of(PAGE)
}

/// A sector that is neither empty nor a valid location, or a log that no sector leads to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the place of the write-ahead log is damaged")]
pub(in crate::engine::redb) struct DamagedLocation;

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
}

/// The content of a sector, or of both together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Sector {
    /// Zeros: the file never had a log.
    Empty,
    /// The file's log, which had this many moves, was removed.
    Removed(u64),
    /// The file has a log.
    Log(Location),
}

impl Sector {
    /// What the two sectors say together. Beside a sector that is torn, not yet written or already
    /// overwritten, the other one counts.
    pub(in crate::engine::redb) fn of_both(
        first: &[u8; SECTOR],
        second: &[u8; SECTOR],
    ) -> Result<Self, DamagedLocation> {
        match (Self::parse(first), Self::parse(second)) {
            (Ok(first), Ok(second)) if first.rank() >= second.rank() => Ok(first),
            (_, Ok(second)) => Ok(second),
            (first, Err(_)) => first,
        }
    }

    /// The order in which the sectors are overwritten: the winning one comes last.
    pub(in crate::engine::redb) fn order_of(
        first: &[u8; SECTOR],
        second: &[u8; SECTOR],
    ) -> [u64; 2] {
        let [of_first, of_second] = OFFSETS;
        let rank = |bytes| Self::parse(bytes).ok().map(|sector| sector.rank());
        match rank(first) > rank(second) {
            true => [of_second, of_first],
            false => [of_first, of_second],
        }
    }

    /// The moves, if there was ever a log.
    pub(in crate::engine::redb) const fn moves(&self) -> Option<u64> {
        match self {
            Self::Empty => None,
            Self::Removed(moves) => Some(*moves),
            Self::Log(location) => Some(location.moves),
        }
    }

    /// The moves of the next location.
    pub(in crate::engine::redb) fn next_moves(&self) -> u64 {
        self.moves().map_or(0, |moves| moves + 1)
    }

    pub(in crate::engine::redb) const fn log(self) -> Option<Location> {
        match self {
            Self::Log(location) => Some(location),
            Self::Empty | Self::Removed(_) => None,
        }
    }

    /// A log that is being removed still counts, until both sectors say that it is removed.
    const fn rank(&self) -> (Option<u64>, bool) {
        (self.moves(), matches!(self, Self::Log(_)))
    }

    pub(in crate::engine::redb) fn to_bytes(self) -> [u8; SECTOR] {
        let nowhere =
            |moves| Location { moves, database_len: 0, start: 0, capacity: 0, salt: [0; 16] };
        match self {
            Self::Empty => [0; SECTOR],
            Self::Removed(moves) => nowhere(moves).to_sector(),
            Self::Log(location) => location.to_sector(),
        }
    }

    pub(super) fn parse(sector: &[u8; SECTOR]) -> Result<Self, DamagedLocation> {
        if sector.iter().all(|byte| *byte == 0) {
            return Ok(Self::Empty);
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
            Some(Location { moves, database_len, start, capacity, salt })
        };
        // Encoding the location again must give the same bytes, including magic, digest and
        // padding.
        let location = { parse }()
            .filter(|location| location.to_sector() == *sector)
            .ok_or(DamagedLocation)?;
        let removed = Self::Removed(location.moves);
        let sound = (PAGE..=location.start).contains(&location.database_len)
            && (PAGE..=MAX_CAPACITY).contains(&location.capacity)
            && location.capacity.is_multiple_of(PAGE)
            && location.end() < u64::MAX;
        match location.moves <= MAX_MOVES {
            true if removed.to_bytes() == *sector => Ok(removed),
            true if sound => Ok(Self::Log(location)),
            _ => Err(DamagedLocation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> Location {
        Location { moves: 3, database_len: 8_192, start: 12_288, capacity: 65_536, salt: [7; 16] }
    }

    #[test]
    fn a_sector_is_read_back_as_it_was_written() {
        for sector in
            [Sector::Empty, Sector::Removed(0), Sector::Removed(7), Sector::Log(location())]
        {
            assert_eq!(Sector::parse(&sector.to_bytes()).unwrap(), sector);
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for (bit, sound) in (0..SECTOR * 8)
            .flat_map(|bit| [(bit, Sector::Log(location())), (bit, Sector::Removed(1))])
        {
            let mut sector = sound.to_bytes();
            sector[bit / 8] ^= 1 << (bit % 8);
            assert!(Sector::parse(&sector).is_err(), "bit {bit}");
            assert!(Sector::of_both(&sector, &sector).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_location_that_no_log_could_have_is_refused() {
        for unsound in [
            Location { moves: u64::MAX, ..location() },
            Location { moves: MAX_MOVES + 1, ..location() },
            Location { capacity: 0, ..location() },
            Location { capacity: PAGE - 1, ..location() },
            Location { capacity: PAGE + SECTOR as u64, ..location() },
            Location { capacity: MAX_CAPACITY + PAGE, ..location() },
            Location { database_len: PAGE - 1, ..location() },
            Location { start: location().database_len - 1, ..location() },
            Location { start: u64::MAX - 10, ..location() },
        ] {
            assert!(Sector::parse(&unsound.to_sector()).is_err(), "{unsound:?}");
        }
        assert!(Sector::parse(&Sector::Removed(MAX_MOVES + 1).to_bytes()).is_err());
        for utmost in [
            Location { moves: MAX_MOVES, ..location() },
            Location { capacity: PAGE, ..location() },
            Location { capacity: MAX_CAPACITY, ..location() },
            Location { database_len: PAGE, ..location() },
        ] {
            assert_eq!(Sector::parse(&utmost.to_sector()).unwrap(), Sector::Log(utmost));
        }
    }

    #[test]
    fn a_sector_that_is_torn_leaves_the_word_to_the_other() {
        let (old, new) =
            (Sector::Log(location()), Sector::Log(Location { moves: 4, ..location() }));
        let (removed, none) = (Sector::Removed(4), Sector::Empty);
        let mut torn = new.to_bytes();
        torn[40..].fill(0);
        let of = |first: Sector, second: Sector| {
            Sector::of_both(&first.to_bytes(), &second.to_bytes()).unwrap()
        };
        let beside_torn = |sector: Sector| Sector::of_both(&torn, &sector.to_bytes()).unwrap();
        for sector in [none, Sector::Removed(3), old, new, removed] {
            assert_eq!(beside_torn(sector), sector);
            assert_eq!(Sector::of_both(&sector.to_bytes(), &torn).unwrap(), sector);
        }
        assert_eq!(of(new, none), new, "the first log was added");
        assert_eq!(of(new, Sector::Removed(3)), new, "another log was added");
        assert_eq!(of(new, old), new, "it has moved");
        assert_eq!(of(removed, new), new, "it is being removed");
        assert_eq!(of(old, removed), removed, "a write of the first sector was lost");
    }

    #[test]
    fn the_sector_that_counts_is_overwritten_last() {
        let (old, new) =
            (Sector::Log(location()), Sector::Log(Location { moves: 4, ..location() }));
        let order = |first: Sector, second: Sector| {
            Sector::order_of(&first.to_bytes(), &second.to_bytes()) == OFFSETS
        };
        assert!(order(old, new) && order(new, new) && order(Sector::Empty, new));
        assert!(!order(new, old) && !order(new, Sector::Removed(4)));
        assert!(!order(Sector::Removed(4), old));
        assert_eq!(Sector::order_of(&[1; SECTOR], &old.to_bytes()), OFFSETS);
    }
}
