//! A sound file, damaged as the bytes say, and then used for everything. Shared by the fuzz target
//! and the test that replays its corpus.
//!
//! Up to twelve damages: bytes, bits, sectors and pages overwritten, swapped or replaced by older
//! ones, anywhere or in redb's header, our two sectors or the log; a file cut or longer. Verified,
//! every call gives the right answer or a clear error. Unverified, if `SESSILE_UNVERIFIED` is set,
//! only redb panics. Salvaged, the file is sound, and no logout is undone.

use std::ops::Range;

use crate::crash::damaged::{Sound, salvage, sounds, with_verification, without_verification};

const PAGE: usize = 4_096;
const SECTOR: usize = 512;
/// Where redb's header ends, and where our two sectors are.
const HEADER: usize = 320;
const SECTORS: Range<usize> = 2_048..3_072;
const MAX_DAMAGES: usize = 12;
/// The second bytes, modulo 16, for a file that is opened without verification.
const UNVERIFIED: Range<u8> = 8..13;

/// The first byte chooses the file, the second what is done with it; then each damage takes one byte
/// for its kind, and some for where and how.
pub(crate) fn check(bytes: &[u8]) {
    let [file, way, bytes @ ..] = bytes else { return };
    let sound = &sounds()[usize::from(*file) % sounds().len()];
    let mut bytes = Bytes(bytes);
    let mut damaged = sound.file.clone();
    for _ in 0..MAX_DAMAGES {
        if bytes.damage(sound, &mut damaged).is_none() {
            break;
        }
    }
    match way % 16 {
        0..8 => with_verification(sound, &damaged),
        way if UNVERIFIED.contains(&way) => without_verification(sound, &damaged),
        way => salvage(sound, &damaged, way == 15),
    }
}

/// Whether redb does not look at the file before it uses it.
#[allow(dead_code, reason = "for the fuzz target alone, which looks at the memory it takes")]
pub(crate) fn is_unverified(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|way| UNVERIFIED.contains(&(way % 16)))
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn index(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_le_bytes([self.byte()?, self.byte()?])))
    }

    /// A part of so many bytes, at a multiple of that, within a range.
    fn part(&mut self, within: &Range<usize>, len: usize) -> Option<Range<usize>> {
        let start = within.start + self.index()? % within.len().div_ceil(len).max(1) * len;
        Some(start..start + len)
    }

    fn damage(&mut self, sound: &Sound, damaged: &mut Vec<u8>) -> Option<()> {
        let (all, log) = (0..damaged.len(), sound.log());
        // Where the entries are.
        let log = log.start..log.end.min(log.start + 32 * SECTOR);
        match self.byte()? % 20 {
            0 => self.overwrite(&all, damaged),
            1 => self.overwrite(&(0..HEADER), damaged),
            2 => self.overwrite(&SECTORS, damaged),
            3 => self.overwrite(&log, damaged),
            4 | 5 => self.flip(&all, damaged),
            6 => self.flip(&(0..HEADER), damaged),
            7 => self.flip(&SECTORS, damaged),
            8 => self.flip(&log, damaged),
            9 => fill(damaged, &self.part(&all, PAGE)?, self.byte()?),
            10 => fill(damaged, &self.part(&all, SECTOR)?, self.byte()?),
            11 => fill(damaged, &self.part(&SECTORS, SECTOR)?, 0),
            12 => fill(damaged, &self.part(&log, SECTOR)?, self.byte()?),
            13 => swap(damaged, &self.part(&all, PAGE)?, &self.part(&all, PAGE)?),
            14 => swap(damaged, &self.part(&all, SECTOR)?, &self.part(&all, SECTOR)?),
            15 => swap(damaged, &self.part(&log, SECTOR)?, &self.part(&log, SECTOR)?),
            16 => copy(damaged, &sound.older, &self.part(&all, PAGE)?),
            17 => copy(damaged, &sound.older, &self.part(&all, SECTOR)?),
            18 => {
                let len = self.index()? * self.index()? % damaged.len().max(1);
                // A file without a byte is a new store.
                damaged.truncate(len.max(1));
            }
            _ => damaged.resize(damaged.len() + 64 * self.index()?.min(1 << 12), self.byte()?),
        }
        Some(())
    }

    /// The place of a byte, by its sector and its place in that.
    fn place(&mut self, within: &Range<usize>) -> Option<usize> {
        let (sector, byte) = (self.index()?, self.index()? % SECTOR);
        Some(within.start + (sector * SECTOR + byte) % within.len().max(1))
    }

    /// Other bytes, up to fifteen, somewhere within.
    fn overwrite(&mut self, within: &Range<usize>, damaged: &mut [u8]) {
        let Some(place) = self.place(within) else { return };
        for at in (place..damaged.len()).take(usize::from(self.byte().unwrap_or(0) % 16)) {
            damaged[at] = self.byte().unwrap_or(0);
        }
    }

    fn flip(&mut self, within: &Range<usize>, damaged: &mut [u8]) {
        let Some(place) = self.place(within) else { return };
        let bit = self.byte().unwrap_or(0) % 8;
        damaged.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << bit);
    }
}

/// The part, as far as the bytes go.
fn clipped(part: &Range<usize>, bytes: &[u8]) -> Range<usize> {
    part.start.min(bytes.len())..part.end.min(bytes.len())
}

fn fill(damaged: &mut [u8], part: &Range<usize>, value: u8) {
    let part = clipped(part, damaged);
    damaged[part].fill(value);
}

fn copy(damaged: &mut [u8], from: &[u8], part: &Range<usize>) {
    let part = clipped(&clipped(part, damaged), from);
    damaged[part.clone()].copy_from_slice(&from[part]);
}

fn swap(damaged: &mut [u8], first: &Range<usize>, second: &Range<usize>) {
    let (first, second) = (clipped(first, damaged), clipped(second, damaged));
    for (first, second) in first.zip(second) {
        damaged.swap(first, second);
    }
}
