//! The mark of a file that is being created. It identifies a creation that did not finish.
//!
//! Invariant: the mark is on the disk before redb writes a byte, and is cleared only after
//! everything else is on the disk. So a file with the mark holds no acknowledged change, and its
//! creation may start over.

use std::io;

use redb::StorageBackend;

use crate::engine::redb::digest::digest_of;

/// The offset of a sector of the first page that neither redb nor the log uses.
pub(in crate::engine::redb) const OFFSET: u64 = 3_072;
pub(in crate::engine::redb) const SECTOR: usize = 512;
const END: u64 = OFFSET + SECTOR as u64;

const MAGIC: &[u8; 8] = b"sess-new";
const TOKEN_LEN: usize = 16;

/// The number in a mark: a draft's mark has the number in its name, the mark of a file in its place
/// has zeros.
pub(in crate::engine::redb) type Token = [u8; TOKEN_LEN];
pub(in crate::engine::redb) const IN_PLACE: Token = [0; TOKEN_LEN];

/// The progress of a file's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Making {
    /// The file's content does not count.
    Begun,
    /// The draft is complete, and was about to be moved to its place.
    Complete,
}

/// The state of a file, by its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Stage {
    /// The file is empty, or its mark says that its creation has begun.
    Unfinished,
    /// Any other file: a store, or another program's file.
    Other,
}

/// Reads the file, and does nothing else.
pub(in crate::engine::redb) fn stage_of(file: &dyn StorageBackend) -> io::Result<Stage> {
    let len = file.len()?;
    let unfinished = match len {
        0 => true,
        1..OFFSET => false,
        OFFSET..END => is_beginning(&read(file, 0, len)?),
        _ => {
            let sector = read(file, OFFSET, SECTOR as u64)?;
            sector == sector_of(Making::Begun, &IN_PLACE)
                // The length reached the disk before the bytes did.
                || (len == END && is_beginning(&read(file, 0, len)?))
        }
    };
    Ok(if unfinished { Stage::Unfinished } else { Stage::Other })
}

/// Whether these are the first bytes of a file whose mark was being written.
fn is_beginning(bytes: &[u8]) -> bool {
    let Some((before, sector)) = bytes.split_at_checked(OFFSET as usize) else { return false };
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let mark = sector_of(Making::Begun, &IN_PLACE);
    is_zero(before) && (is_zero(sector) || mark.starts_with(sector))
}

/// Whether the file has the mark of this draft.
pub(in crate::engine::redb) fn is_draft(
    file: &dyn StorageBackend,
    token: &Token,
) -> io::Result<bool> {
    if file.len()? < END {
        return Ok(false);
    }
    let sector = read(file, OFFSET, SECTOR as u64)?;
    Ok([Making::Begun, Making::Complete].iter().any(|making| sector == sector_of(*making, token)))
}

/// Writes the mark, and returns once it is on the disk.
pub(in crate::engine::redb) fn mark(
    file: &dyn StorageBackend,
    making: Making,
    token: &Token,
) -> io::Result<()> {
    file.write(OFFSET, &sector_of(making, token))?;
    file.sync_data()
}

/// Clears the mark, and returns once that is on the disk.
pub(in crate::engine::redb) fn clear(file: &dyn StorageBackend) -> io::Result<()> {
    file.write(OFFSET, &[0; SECTOR])?;
    file.sync_data()
}

fn sector_of(making: Making, token: &Token) -> Vec<u8> {
    let making: u64 = match making {
        Making::Begun => 1,
        Making::Complete => 2,
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&making.to_le_bytes());
    bytes.extend_from_slice(token);
    let digest = digest_of(&bytes);
    bytes.extend_from_slice(&digest);
    bytes.resize(SECTOR, 0);
    bytes
}

fn read(file: &dyn StorageBackend, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read(offset, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn file(bytes: &[u8]) -> InMemoryBackend {
        let file = InMemoryBackend::new();
        file.set_len(bytes.len() as u64).unwrap();
        file.write(0, bytes).unwrap();
        file
    }

    fn is_unfinished(bytes: &[u8]) -> bool {
        stage_of(&file(bytes)).unwrap() == Stage::Unfinished
    }

    #[test]
    fn a_file_whose_mark_was_being_written_is_unfinished_wherever_that_ended() {
        let whole = [vec![0; OFFSET as usize], sector_of(Making::Begun, &IN_PLACE)].concat();
        for len in OFFSET..=END {
            assert!(is_unfinished(&whole[..len as usize]), "{len}");
        }
        assert!(is_unfinished(&[0; END as usize]), "its length came first");
        assert!(is_unfinished(&[]));
        // Bytes that redb has written since.
        let mut grown = whole;
        grown.resize(100_000, 7);
        grown[..2_000].fill(3);
        assert!(is_unfinished(&grown));
    }

    #[test]
    fn what_bears_no_mark_is_not_ours_to_begin_again() {
        let mark = sector_of(Making::Begun, &IN_PLACE);
        let with =
            |sector: &[u8]| [vec![0; OFFSET as usize], sector.to_vec(), vec![0; 99]].concat();
        for bytes in [
            vec![0; 1],
            vec![0; OFFSET as usize - 1],
            vec![0; END as usize + 1],
            vec![0; 100_000],
            [vec![1], vec![0; END as usize - 1]].concat(),
            with(&sector_of(Making::Complete, &IN_PLACE)),
            with(&sector_of(Making::Begun, &[1; TOKEN_LEN])),
        ] {
            assert!(!is_unfinished(&bytes), "{} bytes", bytes.len());
        }
        for bit in 0..SECTOR * 8 {
            let mut flipped = mark.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_unfinished(&with(&flipped)), "bit {bit}");
        }
    }

    #[test]
    fn a_draft_is_known_by_the_number_in_its_name_at_either_stage() {
        let (token, other) = ([7; TOKEN_LEN], [8; TOKEN_LEN]);
        for making in [Making::Begun, Making::Complete] {
            let file = file(&[0; 8_192]);
            mark(&file, making, &token).unwrap();
            assert!(is_draft(&file, &token).unwrap());
            assert!(!is_draft(&file, &other).unwrap());
            clear(&file).unwrap();
            assert!(!is_draft(&file, &token).unwrap(), "a finished store");
        }
        assert!(!is_draft(&file(&[]), &token).unwrap());
    }
}
