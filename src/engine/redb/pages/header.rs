//! The first page of a file: the geometry of its pages, and its last two commits.

use std::ops::Range;

use twox_hash::XxHash3_128;

use crate::engine::redb::pages::layout::{CHECKSUM, Link, MAX_PAGE, PAGE, chunk, u32_at};

/// The location of each page in the file.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Geometry {
    region_header_pages: u64,
    region_pages: u64,
}

impl Geometry {
    /// Whether this is redb's default geometry, which every store file has.
    pub(in crate::engine::redb) const fn is_usual(self) -> bool {
        self.region_header_pages == 0 && self.region_pages == 0x10_0000
    }

    /// Whether redb, with its default geometry, would begin a page with so many bytes in use here.
    pub(in crate::engine::redb) const fn may_begin(start: u64, used: u64) -> bool {
        match (start.checked_sub(PAGE as u64), used.checked_next_power_of_two()) {
            (Some(offset), Some(len)) => offset.is_multiple_of(len),
            _ => false,
        }
    }

    pub(in crate::engine::redb) fn range(self, link: Link) -> Option<Range<u64>> {
        let order = u32::try_from(link.number >> 59).ok()?;
        let len = (PAGE as u64).checked_shl(order).filter(|len| *len <= MAX_PAGE)?;
        let index = link.number & (0x000F_FFFF >> order);
        let region = (link.number >> 20) & 0x000F_FFFF;
        let region_len = (self.region_header_pages + self.region_pages) * PAGE as u64;
        let in_region = self.region_header_pages * PAGE as u64 + index * len;
        let start = (PAGE as u64).checked_add(region.checked_mul(region_len)?)? + in_region;
        Some(start..start + len)
    }
}

/// A commit: the tree of the tables, and the tree of redb's own tables.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Commit {
    pub(in crate::engine::redb) tables: Option<Link>,
    pub(in crate::engine::redb) system_tables: Option<Link>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Header {
    pub(in crate::engine::redb) geometry: Geometry,
    /// The current commit, and the one before it; `None` for a damaged slot.
    pub(in crate::engine::redb) commits: [Option<Commit>; 2],
    /// Whether the first of the commits had two phases, so that no crash has torn it.
    pub(in crate::engine::redb) is_two_phase: bool,
}

impl Header {
    pub(in crate::engine::redb) fn read(bytes: &[u8]) -> Option<Self> {
        const SLOTS: [usize; 2] = [64, 192];
        const SECOND_COUNTS: u8 = 1;
        const TWO_PHASE: u8 = 4;
        let geometry = Geometry {
            region_header_pages: u32_at(bytes, 16)? as u64,
            region_pages: u32_at(bytes, 20)? as u64,
        };
        let is_sane = u32_at(bytes, 12)? == PAGE
            && (1..=0x10_0000).contains(&geometry.region_pages)
            && geometry.region_header_pages <= 0x10_0000;
        let [flags] = chunk(bytes, 9)?;
        let mut slots = SLOTS;
        if flags & SECOND_COUNTS != 0 {
            slots.reverse();
        }
        let commits = slots.map(|slot| Commit::read(bytes, slot));
        is_sane.then_some(Self { geometry, commits, is_two_phase: flags & TWO_PHASE != 0 })
    }
}

/// The length of the database, as its first page says. It may lag behind a change of length until
/// the next commit.
pub(in crate::engine::redb) fn database_len(first_page: &[u8]) -> Option<u64> {
    let Geometry { region_header_pages, region_pages } = Header::read(first_page)?.geometry;
    let [full, trailing] = [u32_at(first_page, 24)? as u64, u32_at(first_page, 28)? as u64];
    let trailing = if trailing > 0 { region_header_pages + trailing } else { 0 };
    let pages = full.checked_mul(region_header_pages + region_pages)?.checked_add(trailing)?;
    pages.checked_add(1)?.checked_mul(PAGE as u64)
}

/// Whether redb has closed a file of this length, and has all of it.
pub(in crate::engine::redb) fn is_closed_whole(first_page: &[u8], file_len: u64) -> bool {
    const OPEN: u8 = 2;
    let is_closed = |[flags]: [u8; 1]| flags & OPEN == 0;
    chunk(first_page, 9).is_some_and(is_closed) && database_len(first_page) == Some(file_len)
}

impl Commit {
    fn read(bytes: &[u8], slot: usize) -> Option<Self> {
        const SLOT: usize = 128;
        const ROOT: usize = 8;
        const SYSTEM_ROOT: usize = 40;
        let slot = bytes.get(slot..slot + SLOT)?;
        let (covered, sum) = slot.split_at(SLOT - CHECKSUM);
        let is_intact =
            Some(XxHash3_128::oneshot(covered)) == chunk(sum, 0).map(u128::from_le_bytes);
        let [version, has_root, has_system_root] = chunk(slot, 0)?;
        let root = |has: u8, at| if has != 0 { Link::at(slot, at) } else { None };
        (is_intact && version == 3).then_some(Self {
            tables: root(has_root, ROOT),
            system_tables: root(has_system_root, SYSTEM_ROOT),
        })
    }
}
