//! The bytes of one file, in pages that copies share until one of them writes.

use std::sync::Arc;

/// The unit in which Linux caches and writes back.
pub(super) const PAGE: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    /// `None`: the page was never written, and reads as zeros.
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
    len: u64,
}

impl Image {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Reads into `out`; false if the file is too short.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        if offset + out.len() as u64 > self.len {
            return false;
        }
        for (page, within, part) in parts(offset, out.len()) {
            let out = &mut out[part.clone()];
            match &self.pages[page] {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + part.len()]),
                None => out.fill(0),
            }
        }
        true
    }

    /// Writes the bytes within the file; only [`set_len`](Self::set_len) makes it longer.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let fits = self.len.saturating_sub(offset).min(data.len() as u64) as usize;
        for (page, within, part) in parts(offset, fits) {
            let bytes = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(bytes)[within..within + part.len()].copy_from_slice(&data[part]);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.pages.resize((len as usize).div_ceil(PAGE), None);
        let tail = len as usize % PAGE;
        if len < self.len && tail > 0 {
            // Bytes cut off by shrinking are zeros when the file grows again.
            if let Some(Some(last)) = self.pages.last_mut() {
                Arc::make_mut(last)[tail..].fill(0);
            }
        }
        self.len = len;
    }

    /// The bytes of one page, up to the end of the file.
    pub(super) fn page(&self, page: u64) -> Vec<u8> {
        let start = page * PAGE as u64;
        let mut bytes = vec![0; self.len.saturating_sub(start).min(PAGE as u64) as usize];
        self.read(start, &mut bytes);
        bytes
    }
}

/// A range of the file as (page, offset in the page, range of the data).
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let position = offset as usize + at;
        let (page, within) = (position / PAGE, position % PAGE);
        let part = at..len.min(at + PAGE - within);
        at = part.end;
        (!part.is_empty()).then_some((page, within, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_across_pages_and_copies_do_not_see_it() {
        let mut image = Image::default();
        image.set_len(10_000);
        let before = image.clone();
        image.write(4_090, &[7; 5_000]);
        let mut bytes = vec![1; 10_000];
        assert!(image.read(0, &mut bytes));
        assert!(bytes.iter().enumerate().all(|(i, b)| (*b == 7) == (4_090..9_090).contains(&i)));
        assert!(before.read(0, &mut bytes) && bytes.iter().all(|byte| *byte == 0));
        assert!(!image.read(9_999, &mut [0; 2]));
    }

    #[test]
    fn what_shrinking_took_is_zeros_after_growing() {
        let mut image = Image::default();
        image.set_len(5_000);
        image.write(0, &[9; 6_000]);
        image.set_len(100);
        image.set_len(5_000);
        let mut bytes = vec![1; 5_000];
        assert!(image.read(0, &mut bytes));
        assert!(bytes.iter().enumerate().all(|(i, b)| (*b == 9) == (i < 100)));
    }
}
