//! The damaged file, which is only read: its tables where their trees can be walked, its records
//! wherever they are.
//!
//! Invariant: a page counts as part of a table only if all checksums match, from the commit slot
//! down to the page. Memory use is one page a level. An unreadable part is counted and left out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::engine::redb::database::schema::SEQUENCE;
use crate::engine::redb::log::readable::{Readable, readable_changes};
use crate::engine::redb::pages::{
    Definition, Geometry, Header, Leaf, Link, MAX_PAGE, PAGE, Page, Widths, chunk, read_page,
};
use crate::engine::redb::salvage::progress::{SalvageStep, Teller};
use crate::engine::redb::storage::Storage;
use crate::engine::redb::storage::folder::InFolder;
use crate::engine::redb::storage::platform::{
    ensure_no_link, len_of, no_follow, patiently, refused, try_lock_shared, unlock,
};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;

/// redb's own limit of a tree's depth.
const MAX_DEPTH: usize = 128;
const SESSIONS: Widths = Widths { key: Some(SessionKey::LEN), value: None };
const EXPIRY: Widths = Widths { key: Some(8 + SessionKey::LEN), value: Some(0) };
const META: Widths = Widths { key: None, value: None };
/// How many bytes of long leaves are read where redb would begin none, for each byte of the file. A
/// client may have made up content that looks like them.
const MISPLACED: u64 = 2;
/// The tables whose trees are walked.
const TABLES: [&str; 3] = ["sessions", "expiry", "meta"];
/// The longest value of `meta` that is read; a longer one is left out.
const MAX_META: usize = 64 * 1024;

/// Visits a key and a value of a table, as bytes.
type Pair<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

pub(super) struct Source {
    file: File,
    len: u64,
    /// The roots of the tables, if the tree of tables can be walked.
    roots: Vec<(&'static str, Link)>,
    geometry: Option<Geometry>,
    /// Whether the roots are those of the last commit. The commit before it may have what the last
    /// one removed.
    is_newest: bool,
    /// The number of pages that a tree leads to, but that could not be read or have another
    /// checksum.
    pub(super) unreadable_pages: u64,
}

impl Drop for Source {
    /// Unlocks explicitly: a process that is just being started has inherited the file, so closing
    /// would not release the lock.
    fn drop(&mut self) {
        let _ = unlock(&self.file);
    }
}

impl Source {
    /// Opens a file for reading, and keeps stores from writing to it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // Opening a pipe for reading would wait for a writer.
        InFolder::at(path)?.found()?;
        let open = || no_follow(OpenOptions::new().read(true)).open(path);
        let file = patiently(open).map_err(|error| refused("open", path, error))?;
        ensure_no_link(path, &file)?;
        if !try_lock_shared(path, &file)? {
            return Err(Error::AlreadyOpen { path: path.into() });
        }
        let len = len_of(&file).map_err(|error| Error::io("look at", path, error))?;
        let (roots, geometry) = (Vec::new(), None);
        let mut source = Self { file, len, roots, geometry, is_newest: false, unreadable_pages: 0 };
        source.find_tables()?;
        Ok(source)
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Every record in the part of `sessions` that can be walked; a damaged record is passed as its
    /// error.
    pub(super) fn sessions(
        &mut self,
        visit: &mut dyn FnMut(SessionKey, Result<Record>) -> Result<()>,
    ) -> Result<()> {
        self.walk("sessions", SESSIONS, &mut |key, value| match key.try_into() {
            Ok(key) => {
                let key = SessionKey::from_bytes(key);
                visit(key, Record::decode(&key, value))
            }
            Err(_) => Ok(()),
        })
    }

    /// Every key in the part of `expiry` that can be walked.
    pub(super) fn keys_in_expiry(
        &mut self,
        visit: &mut dyn FnMut(SessionKey) -> Result<()>,
    ) -> Result<()> {
        self.walk("expiry", EXPIRY, &mut |key, _| match chunk(key, 8) {
            Some(key) => visit(SessionKey::from_bytes(key)),
            None => Ok(()),
        })
    }

    /// The entries of `meta` with these names, the first one of each.
    pub(super) fn meta(&mut self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        self.walk("meta", META, &mut |name, value| {
            let name = names.iter().find(|known| known.as_bytes() == name);
            let is_new = |name: &&&str| entries.iter().all(|(known, _)| known != **name);
            if let Some(name) = name.filter(is_new).filter(|_| value.len() <= MAX_META) {
                entries.push(((*name).into(), value.into()));
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// What is readable of the log after the last durable commit. If that commit cannot be read, it
    /// may have ended any session that the one before it and the log hold.
    pub(super) fn logged(&self, meta: &[(String, Vec<u8>)]) -> Readable {
        let number = |value: &Vec<u8>| value.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let sequence = meta.iter().find(|(name, _)| name == SEQUENCE);
        // A store without a durable commit since its creation has no number yet.
        let checkpointed = match sequence {
            Some((_, value)) => number(value),
            None if meta.is_empty() => None,
            None => Some(0),
        };
        let mut logged = self.logged_after(checkpointed);
        if !self.is_newest {
            logged.without_records();
        }
        logged
    }

    /// What is readable of the log after the commit with this number.
    pub(super) fn logged_after(&self, checkpointed: Option<u64>) -> Readable {
        readable_changes(&mut |offset, bytes| self.read(offset, bytes), self.len, checkpointed)
    }

    /// Every sound record in any leaf at a page boundary, whether a tree leads to the leaf or not.
    pub(super) fn records_anywhere(
        &mut self,
        teller: &mut Teller<'_>,
        visit: &mut dyn FnMut(SessionKey, Record) -> Result<()>,
    ) -> Result<()> {
        const TOLD_EVERY: u64 = 1024 * 1024;
        let mut page = vec![0; PAGE];
        let mut large = Vec::new();
        let mut left = MISPLACED * self.len;
        for start in (0..self.len).step_by(PAGE) {
            if start % TOLD_EVERY == 0 {
                teller.tell(SalvageStep::Pages, start, Some(self.len))?;
            }
            page.resize(PAGE, 0);
            if !self.read(start, &mut page) {
                continue;
            }
            let Some(leaf) = Leaf::read(&page, SESSIONS) else { continue };
            let whole = match leaf.len {
                ..=PAGE => leaf,
                len if len as u64 <= MAX_PAGE.min(self.len - start)
                    && (Geometry::may_begin(start, len as u64) || take(&mut left, len as u64)) =>
                {
                    large.resize(len, 0);
                    if !self.read(start, &mut large) {
                        continue;
                    }
                    let Some(leaf) = Leaf::read(&large, SESSIONS) else { continue };
                    leaf
                }
                _ => leaf,
            };
            for (key, value) in whole.pairs() {
                let Ok(key) = key.try_into().map(SessionKey::from_bytes) else { continue };
                if let Ok(record) = Record::decode(&key, value) {
                    visit(key, record)?;
                }
            }
        }
        teller.tell(SalvageStep::Pages, self.len, Some(self.len))
    }

    /// Finds the roots as of the last commit, or of the one before it if the last one's slot is
    /// damaged; then nothing counts that the last one may have removed.
    fn find_tables(&mut self) -> Result<()> {
        let mut first = vec![0; PAGE];
        let header = if self.read(0, &mut first) { Header::read(&first) } else { None };
        let found = header.and_then(|Header { geometry, commits, .. }| {
            let [newest, before] = commits.map(|commit| commit?.tables);
            Some((geometry, newest.or(before)?, newest.is_some()))
        });
        let Some((geometry, root, is_newest)) = found else {
            self.unreadable_pages += 1;
            return Ok(());
        };
        (self.geometry, self.is_newest) = (Some(geometry), is_newest);
        let mut roots: Vec<(&str, Link)> = Vec::new();
        self.walk_from(root, Widths::TABLES, &mut |name, definition| {
            let root = Definition::read(definition).and_then(|definition| definition.root);
            let name = TABLES.into_iter().find(|known| known.as_bytes() == name);
            let is_new = |name: &&str| roots.iter().all(|(known, _)| known != name);
            roots.extend(name.filter(is_new).zip(root));
            Ok(())
        })?;
        self.roots = roots;
        Ok(())
    }

    fn walk(&mut self, table: &str, widths: Widths, visit: &mut Pair<'_>) -> Result<()> {
        let root = self.roots.iter().find(|(name, _)| *name == table).map(|(_, root)| *root);
        root.map_or(Ok(()), |root| self.walk_from(root, widths, visit))
    }

    fn walk_from(&mut self, root: Link, widths: Widths, visit: &mut Pair<'_>) -> Result<()> {
        let mut waiting = vec![(root, 0)];
        // A file has a limited number of pages; a tree with more contains a cycle.
        let mut left = self.len / PAGE as u64 + 1;
        let mut bytes = Vec::new();
        while let Some((link, depth)) = waiting.pop() {
            left = left.saturating_sub(1);
            let page = if left > 0 && depth < MAX_DEPTH && self.read_linked(link, &mut bytes) {
                read_page(&bytes, link, widths)
            } else {
                None
            };
            match page {
                Some(Page::Branch(links)) => {
                    waiting.extend(links.into_iter().rev().map(|link| (link, depth + 1)));
                }
                Some(Page::Leaf(leaf)) => {
                    for (key, value) in leaf.pairs() {
                        visit(key, value)?;
                    }
                }
                None => self.unreadable_pages += 1,
            }
        }
        Ok(())
    }

    fn read_linked(&self, link: Link, bytes: &mut Vec<u8>) -> bool {
        let range = self.geometry.and_then(|geometry| geometry.range(link));
        let Some(range) = range.filter(|range| range.end <= self.len) else { return false };
        let Ok(len) = usize::try_from(range.end - range.start) else { return false };
        bytes.resize(len, 0);
        self.read(range.start, bytes)
    }

    /// Reads the bytes at `start`; false if that fails. An unreadable sector is one reason for a
    /// salvage.
    fn read(&self, start: u64, bytes: &mut [u8]) -> bool {
        #[cfg(test)]
        tests::READ.set(tests::READ.get() + bytes.len() as u64);
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(bytes));
        read.is_ok()
    }
}

/// Takes some of what is left; false if it is not enough.
fn take(left: &mut u64, some: u64) -> bool {
    let rest = left.checked_sub(some);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::engine::redb::engine::RedbEngine;

    std::thread_local! {
        /// The number of bytes that this thread has read.
        pub(super) static READ: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn a_lock_ends_with_a_salvage_though_a_new_process_has_inherited_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        drop(RedbEngine::open(&path).unwrap());
        let source = Source::open(&path).unwrap();
        let inherited = source.file().try_clone().unwrap();
        assert!(matches!(RedbEngine::open(&path), Err(Error::AlreadyOpen { .. })));
        drop(source);
        drop(RedbEngine::open(&path).unwrap());
        drop(inherited);
    }

    /// A file with these pages behind the first one, and redb's usual geometry.
    fn source(folder: &Path, pages: &[u8]) -> Source {
        let mut bytes = vec![0; PAGE];
        bytes[12..16].copy_from_slice(&(PAGE as u32).to_le_bytes());
        bytes[20..24].copy_from_slice(&0x10_0000_u32.to_le_bytes());
        let geometry = Header::read(&bytes).unwrap().geometry;
        bytes.extend(pages);
        let path = folder.join("hostile");
        std::fs::write(&path, bytes).unwrap();
        let mut source = Source::open(&path).unwrap();
        (source.geometry, source.unreadable_pages) = (Some(geometry), 0);
        source
    }

    /// The bytes of a link to the page with this index, with these bytes.
    fn link(index: u64, page: &[u8]) -> ([u8; 8], [u8; 16]) {
        (index.to_le_bytes(), twox_hash::XxHash3_128::oneshot(page).to_le_bytes())
    }

    fn leaf(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut page = vec![1, 0, pairs.len() as u8, 0];
        let mut end = 4 + 8 * pairs.len();
        let lens =
            pairs.iter().map(|pair| pair.0.len()).chain(pairs.iter().map(|pair| pair.1.len()));
        for len in lens {
            end += len;
            page.extend((end as u32).to_le_bytes());
        }
        page.extend(pairs.iter().flat_map(|pair| pair.0.bytes()));
        page.extend(pairs.iter().flat_map(|pair| pair.1.clone()));
        page
    }

    #[test]
    fn content_that_looks_like_long_leaves_is_read_a_few_times_at_most() {
        let pages = [1, 0, 1, 0, 0, 0, 0x10, 0].repeat(4 * 1024 * 1024 / 8);
        let folder = tempfile::tempdir().unwrap();
        let mut source = source(folder.path(), &pages);
        let before = READ.get();
        let mut found = 0;
        let mut progress = |_| ControlFlow::Continue(());
        let mut teller = Teller::new(&mut progress);
        let mut count = |_, _| {
            found += 1;
            Ok(())
        };
        source.records_anywhere(&mut teller, &mut count).unwrap();
        let times = (READ.get() - before) / source.len();
        assert!(found == 0 && times <= 2 + MISPLACED, "{times}");
    }

    #[test]
    fn a_table_that_visits_a_page_again_and_again_takes_no_memory_for_it() {
        const TIMES: usize = 100;
        let entries =
            [("created_at", vec![1; 8]), ("timeouts", vec![2; 20]), ("z", vec![3; 3_000])];
        let entries = leaf(&entries);
        let (number, checksum) = link(1, &entries);
        let mut branch = vec![2, 0, TIMES as u8 - 1, 0, 0, 0, 0, 0];
        branch.extend(checksum.repeat(TIMES));
        branch.extend(number.repeat(TIMES));
        let end = branch.len() + 4 * (TIMES - 1);
        branch.extend((end as u32).to_le_bytes().repeat(TIMES - 1));
        let (number, checksum) = link(0, &branch);
        let mut pages = branch;
        pages.resize(PAGE, 0);
        pages.extend(entries);
        pages.resize(2 * TIMES * PAGE, 0);
        let folder = tempfile::tempdir().unwrap();
        let mut source = source(folder.path(), &pages);
        source.roots = vec![("meta", Link::at(&[&number[..], &checksum].concat(), 0).unwrap())];
        let meta = source.meta(&["created_at", "log_sequence"]).unwrap();
        assert_eq!(meta, [("created_at".to_owned(), vec![1; 8])]);
        assert_eq!(source.unreadable_pages, 0);
    }
}
