//! Finds the log's location: in the two sectors of the first page, compared with the copy at the
//! file's end.
//!
//! Invariant: a copy counts only against the sectors. A log is written to only where a sector
//! leads, but a copy that is later than the sectors shows that they were lost, or are older than
//! the log.

use crate::engine::redb::log::location::{DamagedLocation, Location, OFFSETS, SECTOR, Sector};
use crate::engine::redb::pages::database_len;

/// What a file's first page and last sector say about its log.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Place {
    /// What the sectors say.
    pub(in crate::engine::redb) sector: Sector,
    /// The sectors' offsets, in the order in which they are overwritten.
    pub(in crate::engine::redb) order: [u64; 2],
    /// Whether the two sectors and the copy differ, or the log does not end the file.
    pub(in crate::engine::redb) is_unsettled: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { sector: Sector::Empty, order: OFFSETS, is_unsettled: false }
    }
}

impl Place {
    /// The place in a file of this length, with this first page and these last bytes.
    pub(in crate::engine::redb) fn of(
        first_page: &[u8],
        last: &[u8; SECTOR],
        file_len: u64,
    ) -> Result<Self, DamagedLocation> {
        let [first, second] = OFFSETS.map(|offset| sector_at(first_page, offset));
        let sector = Sector::of_both(&first, &second)?;
        let copy = copy_at_end(first_page, last, file_len);
        let order = Sector::order_of(&first, &second);
        let Sector::Log(location) = sector else {
            // An earlier copy ends redb's part by chance, or the log that it belongs to was lost.
            let is_lost = copy.is_some_and(|copy| Some(copy.moves) > sector.moves());
            let none = Self { sector, order, is_unsettled: false };
            return if is_lost { Err(DamagedLocation) } else { Ok(none) };
        };
        // Every file is at least as long as its log's end, so a shorter one was truncated.
        if location.end() > file_len || copy.is_some_and(|copy| copy.is_later_than(&location)) {
            return Err(DamagedLocation);
        }
        let is_settled = first == second && location.end() == file_len && copy == Some(location);
        Ok(Self { sector, order, is_unsettled: !is_settled })
    }

    /// The location that the sectors give, whatever the rest of the file says.
    pub(in crate::engine::redb) fn of_sectors(first_page: &[u8]) -> Option<Location> {
        let [first, second] = OFFSETS.map(|offset| sector_at(first_page, offset));
        Sector::of_both(&first, &second).ok()?.log()
    }
}

/// The location in the file's last sector, if a log ends there.
fn copy_at_end(first_page: &[u8], last: &[u8; SECTOR], file_len: u64) -> Option<Location> {
    let copy = Sector::parse(last).ok()?.log()?;
    // A page of redb may hold the bytes of an earlier copy, or content that looks like one.
    let is_redbs = database_len(first_page).is_some_and(|len| len >= file_len);
    (copy.end() == file_len && !is_redbs).then_some(copy)
}

fn sector_at(page: &[u8], offset: u64) -> [u8; SECTOR] {
    let from = usize::try_from(offset).ok().and_then(|offset| page.get(offset..));
    from.and_then(|bytes| bytes.first_chunk().copied()).unwrap_or([0; SECTOR])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: u64 = 77_824;
    const NONE: [u8; SECTOR] = [0; SECTOR];

    fn location() -> Location {
        Location { moves: 3, database_len: 8_192, start: 12_288, capacity: 65_536, salt: [7; 16] }
    }

    /// A first page with these sectors, of a database with this many pages after the first.
    fn page(first: &[u8; SECTOR], second: &[u8; SECTOR], pages: u32) -> Vec<u8> {
        let mut page = vec![0; 4_096];
        page[12..16].copy_from_slice(&4_096_u32.to_le_bytes());
        page[20..24].copy_from_slice(&0x10_0000_u32.to_le_bytes());
        page[28..32].copy_from_slice(&pages.to_le_bytes());
        page[2_048..2_560].copy_from_slice(first);
        page[2_560..3_072].copy_from_slice(second);
        page
    }

    #[test]
    fn a_copy_without_sectors_or_later_than_they_are_is_damage() {
        let (sector, mut flipped) = (location().to_sector(), location().to_sector());
        flipped[30] ^= 1;
        let of = |first: &_, second: &_, last: &_| Place::of(&page(first, second, 1), last, LEN);
        for (first, second) in [(NONE, NONE), (NONE, flipped), (flipped, NONE)] {
            assert!(of(&first, &second, &sector).is_err());
            assert_eq!(of(&first, &second, &NONE).unwrap().sector, Sector::Empty);
        }
        let one_more = Location { moves: 4, ..location() }.to_sector();
        let another = Location { moves: 0, salt: [8; 16], ..location() }.to_sector();
        assert!(of(&sector, &sector, &one_more).is_err());
        assert!(of(&sector, &sector, &another).is_err());
        let one_less = Location { moves: 2, ..location() }.to_sector();
        assert_eq!(of(&sector, &sector, &one_less).unwrap().sector, Sector::Log(location()));
    }

    #[test]
    fn a_copy_without_a_log_is_damage_only_if_it_is_later_than_the_removal() {
        let copy = location().to_sector();
        let of = |moves, last: &_| {
            let removed = Sector::Removed(moves).to_bytes();
            Place::of(&page(&removed, &removed, 1), last, LEN).map(|place| place.sector).ok()
        };
        for moves in [3, 4] {
            assert_eq!(of(moves, &copy), Some(Sector::Removed(moves)), "an earlier log's");
        }
        assert_eq!(of(2, &copy), None);
        assert_eq!(of(2, &NONE), Some(Sector::Removed(2)));
    }

    #[test]
    fn what_looks_like_a_copy_in_a_page_of_the_database_is_none() {
        let sector = location().to_sector();
        let pages = u32::try_from(LEN / 4_096).unwrap() - 1;
        assert_eq!(
            Place::of(&page(&NONE, &NONE, pages), &sector, LEN).unwrap().sector,
            Sector::Empty
        );
        assert!(Place::of(&page(&NONE, &NONE, pages - 1), &sector, LEN).is_err());
    }

    #[test]
    fn a_place_is_settled_once_both_sectors_and_the_copy_are_equal_and_end_the_file() {
        let (sector, flipped) = (location().to_sector(), [1; SECTOR]);
        let is_unsettled = |first: &_, second: &_, last: &_, len| {
            Place::of(&page(first, second, 1), last, len).unwrap().is_unsettled
        };
        assert!(!is_unsettled(&sector, &sector, &sector, LEN));
        assert!(is_unsettled(&sector, &flipped, &sector, LEN));
        assert!(is_unsettled(&NONE, &sector, &sector, LEN));
        assert!(is_unsettled(&sector, &sector, &NONE, LEN));
        assert!(is_unsettled(&sector, &sector, &sector, LEN + 4_096));
        assert!(Place::of(&page(&sector, &sector, 1), &sector, LEN - 1).is_err(), "it was cut");
    }
}
