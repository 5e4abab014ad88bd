//! What redb's pages look like: the header of the file, branches, leaves.
//!
//! Invariant: nothing here trusts a byte. Every number is taken for what it says only within the
//! bytes at hand; whatever does not fit is `None`. See redb's docs/design.md, file format 3.

use std::ops::Range;

use super::checksum::checksum;

pub(super) const PAGE: usize = 4096;
/// Longer pages than this hold no record of ours: 16 MiB of content, and their order is a power
/// of two.
pub(super) const MAX_PAGE: u64 = 64 * 1024 * 1024;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const CHECKSUM: usize = 16;
const NUMBER: usize = 8;

pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    chunk(bytes, at).map(|bytes| u16::from_le_bytes(bytes).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(chunk(bytes, at)?)).ok()
}

/// A page and the checksum that its bytes should have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    number: u64,
    checksum: u128,
}

impl Link {
    /// As it stands in a commit slot and in the definition of a table.
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            number: u64::from_le_bytes(chunk(bytes, at)?),
            checksum: u128::from_le_bytes(chunk(bytes, at + NUMBER)?),
        })
    }
}

/// Where in the file a page is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    region_header_pages: u64,
    region_pages: u64,
}

impl Geometry {
    pub(super) fn range(self, link: Link) -> Option<Range<u64>> {
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

/// What the first page of a file tells: its geometry, and the roots of its tables as of the last
/// commit, or of the one before it where the last one's slot is damaged.
pub(super) fn read_header(bytes: &[u8]) -> Option<(Geometry, Link)> {
    const SLOTS: [usize; 2] = [64, 192];
    const SLOT: usize = 128;
    const ROOT: usize = 8;
    let geometry = Geometry {
        region_header_pages: u32_at(bytes, 16)? as u64,
        region_pages: u32_at(bytes, 20)? as u64,
    };
    let sane = u32_at(bytes, 12)? == PAGE
        && (1..=0x10_0000).contains(&geometry.region_pages)
        && geometry.region_header_pages <= 0x10_0000;
    let [flags] = chunk(bytes, 9)?;
    let mut slots = SLOTS;
    if flags & 1 != 0 {
        slots.reverse();
    }
    let root_in = |slot: usize| {
        let slot = bytes.get(slot..slot + SLOT)?;
        let (covered, sum) = slot.split_at(SLOT - CHECKSUM);
        let intact = checksum(covered) == chunk(sum, 0).map(u128::from_le_bytes);
        let [version, has_root] = chunk(slot, 0)?;
        (intact && version == 3 && has_root != 0).then(|| Link::at(slot, ROOT)).flatten()
    };
    sane.then(|| slots.into_iter().find_map(root_in)).flatten().map(|root| (geometry, root))
}

/// The widths of a table's keys and values; `None` where they vary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

/// A page of a table, known by its first byte.
#[derive(Debug)]
pub(super) enum Page<'a> {
    Leaf(Leaf<'a>),
    Branch(Vec<Link>),
}

/// Reads a page that must be the one its parent leads to.
pub(super) fn read_page<'a>(bytes: &'a [u8], link: Link, widths: Widths) -> Option<Page<'a>> {
    let (page, len) = match *bytes.first()? {
        LEAF => {
            let leaf = Leaf::read(bytes, widths)?;
            let len = leaf.len;
            (Page::Leaf(leaf), len)
        }
        BRANCH => read_branch(bytes, widths)?,
        _ => return None,
    };
    (checksum(bytes.get(..len)?)? == link.checksum).then_some(page)
}

fn read_branch<'a>(bytes: &'a [u8], widths: Widths) -> Option<(Page<'a>, usize)> {
    let keys = u16_at(bytes, 2)?;
    let children = keys + 1;
    let numbers = 8 + CHECKSUM * children;
    let rest = numbers + NUMBER * children;
    let len = match widths.key {
        Some(width) => rest + width * keys,
        None => u32_at(bytes, rest + 4 * keys.checked_sub(1)?)?,
    };
    let links = (0..children).map(|child| {
        Some(Link {
            number: u64::from_le_bytes(chunk(bytes, numbers + NUMBER * child)?),
            checksum: u128::from_le_bytes(chunk(bytes, 8 + CHECKSUM * child)?),
        })
    });
    Some((Page::Branch(links.collect::<Option<_>>()?), len))
}

/// The pairs of a leaf: first where each key and each value ends, then all keys, then all values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'a> {
    bytes: &'a [u8],
    widths: Widths,
    pairs: usize,
    /// How many bytes the page uses.
    pub(super) len: usize,
}

impl<'a> Leaf<'a> {
    /// A leaf that may use more bytes than are at hand: [`len`](Self::len) tells.
    pub(super) fn read(bytes: &'a [u8], widths: Widths) -> Option<Self> {
        let pairs = u16_at(bytes, 2).filter(|pairs| *pairs > 0)?;
        let leaf = Self { bytes, widths, pairs, len: 0 };
        let len = leaf.value_end(pairs - 1)?;
        let fits = bytes.first() == Some(&LEAF) && len > leaf.keys_start();
        fits.then_some(Self { len, ..leaf })
    }

    /// Every pair that lies within the bytes.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        (0..self.pairs).filter_map(move |pair| {
            let key = match pair.checked_sub(1) {
                None => self.keys_start(),
                Some(before) => self.key_end(before)?,
            };
            let value = match pair.checked_sub(1) {
                None => self.key_end(self.pairs - 1)?,
                Some(before) => self.value_end(before)?,
            };
            let key = self.bytes.get(key..self.key_end(pair)?)?;
            Some((key, self.bytes.get(value..self.value_end(pair)?)?))
        })
    }

    fn keys_start(&self) -> usize {
        let varying = [self.widths.key, self.widths.value].iter().filter(|w| w.is_none()).count();
        4 + 4 * self.pairs * varying
    }

    fn key_end(&self, pair: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(self.keys_start() + width * (pair + 1)),
            None => u32_at(self.bytes, 4 + 4 * pair),
        }
    }

    fn value_end(&self, pair: usize) -> Option<usize> {
        match self.widths.value {
            Some(width) => Some(self.key_end(self.pairs - 1)?.checked_add(width * (pair + 1))?),
            None => {
                let ends = if self.widths.key.is_none() { 4 + 4 * self.pairs } else { 4 };
                u32_at(self.bytes, ends + 4 * pair)
            }
        }
    }
}
