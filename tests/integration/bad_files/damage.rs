//! The kinds of damage to a file, each with a number, so that a run can continue after a crash.

use std::path::Path;

use crate::child::Numbers;

use super::sample::Sample;

pub(crate) const PAGE: usize = 4_096;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Damage {
    /// The file ends at this length.
    Cut(usize),
    /// One bit is flipped.
    Flip {
        byte: usize,
        bit: u8,
    },
    Zeroed(usize),
    Swapped(usize, usize),
    /// A page of the older state of the file.
    Stale(usize),
    /// Not a store at all.
    Foreign(u64),
}

impl Damage {
    pub(crate) const KINDS: [&str; 6] =
        ["cut", "bit flipped", "page zeroed", "pages swapped", "page stale", "foreign file"];

    pub(crate) const fn kind(&self) -> usize {
        match self {
            Self::Cut(_) => 0,
            Self::Flip { .. } => 1,
            Self::Zeroed(_) => 2,
            Self::Swapped(..) => 3,
            Self::Stale(_) => 4,
            Self::Foreign(_) => 5,
        }
    }

    /// Every damage of a run: a cut and a flipped bit every `stride` bytes, or at a sample of bytes
    /// if that is 0; and all damages of whole pages.
    pub(crate) fn all(sample: &Sample, stride: usize) -> Vec<Self> {
        let len = sample.current.len();
        let pages = len / PAGE;
        let mut numbers = Numbers(7);
        let (cuts, flips): (Vec<_>, Vec<_>) = match stride {
            1.. => ((1..len).step_by(stride).collect(), (0..len).step_by(stride).collect()),
            0 => {
                let near_pages = (1..pages).flat_map(|page| [page * PAGE - 1, page * PAGE]);
                let cuts = (1..400).step_by(7).chain(near_pages);
                let flips = (0..pages)
                    .flat_map(|page| [(); 12].map(|()| page * PAGE))
                    .map(|page| page + numbers.below(PAGE as u64) as usize);
                // The header is small, and every byte of it matters.
                (cuts.collect(), (0..320).step_by(3).chain(flips.collect::<Vec<_>>()).collect())
            }
        };
        let flips = flips.into_iter().map(|byte| {
            let bit = numbers.below(8) as u8;
            Self::Flip { byte, bit }
        });
        let mut all: Vec<_> = cuts.into_iter().map(Self::Cut).chain(flips).collect();
        all.extend((0..pages).map(Self::Zeroed));
        all.extend((0..pages).flat_map(|a| (0..a).map(move |b| Self::Swapped(a, b))));
        all.extend((0..pages.min(sample.older.len() / PAGE)).map(Self::Stale));
        all.extend((0..16).map(Self::Foreign));
        all
    }

    /// Writes the damaged file.
    pub(crate) fn write(&self, sample: &Sample, path: &Path) {
        let mut bytes = sample.current.clone();
        let page = |number: usize| number * PAGE..(number + 1) * PAGE;
        match self {
            Self::Cut(len) => bytes.truncate(*len),
            Self::Flip { byte, bit } => bytes[*byte] ^= 1 << bit,
            Self::Zeroed(number) => bytes[page(*number)].fill(0),
            Self::Swapped(a, b) => {
                let kept = bytes[page(*a)].to_vec();
                bytes.copy_within(page(*b), page(*a).start);
                bytes[page(*b)].copy_from_slice(&kept);
            }
            Self::Stale(number) => {
                bytes[page(*number)].copy_from_slice(&sample.older[page(*number)]);
            }
            Self::Foreign(number) => bytes = foreign(*number),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// Noise of several lengths; noise behind redb's magic; and noise behind redb's magic and our
/// signature.
fn foreign(number: u64) -> Vec<u8> {
    let mut numbers = Numbers(number);
    let len = [100, 4_096, 20_000, 57_344][(number % 4) as usize];
    let mut bytes: Vec<u8> = (0..len).map(|_| numbers.next() as u8).collect();
    match number / 4 {
        0 => {}
        1 => bytes = b"To whom it may concern: ".iter().cycle().take(len).copied().collect(),
        marks => {
            bytes[..9].copy_from_slice(b"redb\x1A\x0A\xA9\x0D\x0A");
            if marks == 3 {
                bytes[40..64].copy_from_slice(b"sessile store\x1A\r\n\x01\0\0\0\0\0\0\0");
            }
        }
    }
    bytes
}
