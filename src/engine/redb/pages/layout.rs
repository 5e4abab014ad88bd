//! The layout of redb's pages: branches and leaves.
//!
//! Invariant: no byte is trusted, in this module or its siblings. Every offset and length is
//! checked against the available bytes; one that does not fit gives `None`. See redb's
//! docs/design.md, file format 3.

use twox_hash::XxHash3_128;

pub(in crate::engine::redb) const PAGE: usize = 4096;
/// No session record needs a longer page: content is at most 16 MiB, and page lengths are powers of
/// two.
pub(in crate::engine::redb) const MAX_PAGE: u64 = 64 * 1024 * 1024;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
pub(in crate::engine::redb) const CHECKSUM: usize = 16;
const NUMBER: usize = 8;

pub(in crate::engine::redb) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    chunk(bytes, at).map(|bytes| u16::from_le_bytes(bytes).into())
}

pub(in crate::engine::redb) fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(chunk(bytes, at)?)).ok()
}

/// A page's number, and the checksum that its bytes should have.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Link {
    pub(in crate::engine::redb) number: u64,
    checksum: u128,
}

impl Link {
    /// Reads a link in the format of commit slots and table definitions.
    pub(in crate::engine::redb) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            number: u64::from_le_bytes(chunk(bytes, at)?),
            checksum: u128::from_le_bytes(chunk(bytes, at + NUMBER)?),
        })
    }
}

/// The widths of a table's keys and values; `None` if they vary.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Widths {
    pub(in crate::engine::redb) key: Option<usize>,
    pub(in crate::engine::redb) value: Option<usize>,
}

impl Widths {
    /// The widths of the tree of tables: names and definitions vary.
    pub(in crate::engine::redb) const TABLES: Self = Self { key: None, value: None };
}

/// A page of a table. The first byte tells the kind.
#[derive(Debug)]
pub(in crate::engine::redb) enum Page<'a> {
    Leaf(Leaf<'a>),
    Branch(Vec<Link>),
}

/// Reads a page, if its checksum is the one in `link`.
pub(in crate::engine::redb) fn read_page<'a>(
    bytes: &'a [u8],
    link: Link,
    widths: Widths,
) -> Option<Page<'a>> {
    let (page, len) = match *bytes.first()? {
        LEAF => {
            let leaf = Leaf::read(bytes, widths)?;
            let len = leaf.len;
            (Page::Leaf(leaf), len)
        }
        BRANCH => read_branch(bytes, widths)?,
        _ => return None,
    };
    (XxHash3_128::oneshot(bytes.get(..len)?) == link.checksum).then_some(page)
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

/// A leaf: the ends of all keys and values, then all keys, then all values.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Leaf<'a> {
    bytes: &'a [u8],
    widths: Widths,
    pairs: usize,
    /// The bytes that the page uses.
    pub(in crate::engine::redb) len: usize,
}

impl<'a> Leaf<'a> {
    /// Reads a leaf, which may use more bytes than are available; [`len`](Self::len) is the number
    /// it uses.
    pub(in crate::engine::redb) fn read(bytes: &'a [u8], widths: Widths) -> Option<Self> {
        let pairs = u16_at(bytes, 2).filter(|pairs| *pairs > 0)?;
        let leaf = Self { bytes, widths, pairs, len: 0 };
        let len = leaf.value_end(pairs - 1)?;
        let fits = bytes.first() == Some(&LEAF) && len > leaf.keys_start();
        fits.then_some(Self { len, ..leaf })
    }

    /// Every pair that lies within the available bytes.
    pub(in crate::engine::redb) fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
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
