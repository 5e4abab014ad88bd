//! Verifies a file's pages, on several threads.
//!
//! redb's own check runs on one thread and reads every page twice: to verify it, and to learn which
//! pages are in use. A file that was closed, or whose last commit stored it, has the list of pages
//! in use.
//!
//! Invariant: a file is sound only if every page of its last commit, redb's own tables included,
//! has the checksum that its parent holds. Anything unusual is left to redb's check. So no file is
//! accepted that redb would refuse; `../tests/verified.rs` checks that page by page.
//!
//! This reads each page once, and measures the used bytes, which compaction needs. With redb's
//! check a store of a million sessions opened in 1.1 s; docs/internals/performance-notes.md has the
//! steps to today's time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use redb::StorageBackend;

use crate::engine::redb::pages::{
    Commit, Definition, Geometry, Header, Link, PAGE, Page, Widths, read_page,
};

/// redb's table of the pages in use.
const ALLOCATOR_STATE: &[u8] = b"allocator_state";
/// How many parts of trees the threads share. A file with fewer parts is read by one thread.
const PARTS: usize = 256;
/// More than most machines have processors: while one thread computes, others wait for the disk.
const THREADS: usize = 8;
/// The progress once the trees are split into parts, and the steps in which progress is reported.
const SHARED_OUT: f64 = 0.1;
const TOLD_EVERY: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Verdict {
    /// All pages have their checksums. `live` is their length in bytes.
    Sound { live: u64 },
    /// redb must check the file itself.
    Open,
    /// `goes_on` returned `false`.
    CalledOff,
}

/// Verifies all pages of a file, of which `len` bytes are redb's. This thread sometimes calls
/// `goes_on` with the progress; `false` stops the verification.
pub(in crate::engine::redb) fn verify(
    file: &dyn StorageBackend,
    len: u64,
    goes_on: &dyn Fn(f64) -> bool,
) -> Verdict {
    let Some((verification, commit)) = Verification::of(file, len) else { return Verdict::Open };
    if !goes_on(0.0) {
        return Verdict::CalledOff;
    }
    let parts = verification.tables_of(commit).and_then(|trees| verification.parts_of(trees));
    match parts {
        _ if !goes_on(SHARED_OUT) => Verdict::CalledOff,
        Some(parts) => verification.share_out(&parts, goes_on),
        None => Verdict::Open,
    }
}

/// A tree, or a part of one.
#[derive(Clone, Copy, Debug)]
struct Tree {
    root: Link,
    widths: Widths,
}

struct Verification<'a> {
    file: &'a dyn StorageBackend,
    len: u64,
    geometry: Geometry,
    /// The bytes of the pages seen so far.
    live: AtomicU64,
}

impl<'a> Verification<'a> {
    /// `None` if no reliable list of the pages in use is stored, since redb will then read
    /// everything anyway.
    fn of(file: &'a dyn StorageBackend, len: u64) -> Option<(Self, Commit)> {
        let mut first = [0; PAGE];
        file.read(0, &mut first).ok()?;
        let Header { geometry, commits: [commit, _], is_two_phase } = Header::read(&first)?;
        let is_usual = is_two_phase && geometry.is_usual();
        is_usual.then_some((Self { file, len, geometry, live: AtomicU64::new(0) }, commit?))
    }

    /// The trees of all tables; `None` if redb's table of the pages in use is missing.
    fn tables_of(&self, commit: Commit) -> Option<Vec<Tree>> {
        let mut trees = Vec::new();
        self.definitions(commit.tables?, &mut trees)?;
        let has_allocator_state = self.definitions(commit.system_tables?, &mut trees)?;
        has_allocator_state.then_some(trees)
    }

    /// Adds the trees that a tree of tables names; true if one is the allocator's.
    fn definitions(&self, root: Link, trees: &mut Vec<Tree>) -> Option<bool> {
        let mut has_allocator_state = false;
        let mut is_complete = true;
        self.walk(Tree { root, widths: Widths::TABLES }, &mut |name, definition| {
            has_allocator_state |= name == ALLOCATOR_STATE;
            match Definition::read(definition) {
                Some(Definition { root, widths }) => {
                    trees.extend(root.map(|root| Tree { root, widths }));
                }
                None => is_complete = false,
            }
        })?;
        is_complete.then_some(has_allocator_state)
    }

    /// Splits the trees from their roots down, until there are enough parts for all threads.
    fn parts_of(&self, trees: Vec<Tree>) -> Option<Vec<Tree>> {
        let mut parts = VecDeque::from(trees);
        let mut bytes = Vec::new();
        while parts.len() < PARTS {
            let Some(Tree { root, widths }) = parts.pop_front() else { break };
            if let Page::Branch(links) = self.page(root, widths, &mut bytes)? {
                parts.extend(links.into_iter().map(|root| Tree { root, widths }));
            }
        }
        Some(parts.into())
    }

    fn share_out(&self, parts: &[Tree], goes_on: &dyn Fn(f64) -> bool) -> Verdict {
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let take = || {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if is_over.load(Ordering::Relaxed) { None } else { parts.get(number).zip(Some(number)) }
        };
        let is_sound = |part: &Tree| {
            let is_sound = self.walk(*part, &mut |_, _| ()).is_some();
            is_over.fetch_or(!is_sound, Ordering::Relaxed);
            is_sound
        };
        let work = || {
            while let Some((part, _)) = take() {
                is_sound(part);
            }
        };
        let helpers = THREADS.min(parts.len()).saturating_sub(1);
        let goes_on = thread::scope(|scope| {
            for _ in 0..helpers {
                // If no thread can be started, the verification takes longer.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            let mut told = SHARED_OUT;
            while let Some((part, number)) = take() {
                let done = SHARED_OUT + (1.0 - SHARED_OUT) * number as f64 / parts.len() as f64;
                if done >= told + TOLD_EVERY {
                    told = done;
                    if !goes_on(done) {
                        is_over.store(true, Ordering::Relaxed);
                        return false;
                    }
                }
                is_sound(part);
            }
            true
        });
        match (goes_on, is_over.into_inner()) {
            (false, _) => Verdict::CalledOff,
            (true, true) => Verdict::Open,
            (true, false) => Verdict::Sound { live: self.live.load(Ordering::Relaxed) },
        }
    }

    /// Visits every pair of a tree; `None` if a page does not have its parent's checksum.
    fn walk(&self, tree: Tree, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<()> {
        let mut waiting = vec![tree.root];
        let mut bytes = Vec::new();
        while let Some(link) = waiting.pop() {
            match self.page(link, tree.widths, &mut bytes)? {
                Page::Branch(links) => waiting.extend(links),
                Page::Leaf(leaf) => leaf.pairs().for_each(|(key, value)| visit(key, value)),
            }
        }
        Some(())
    }

    fn page<'b>(&self, link: Link, widths: Widths, bytes: &'b mut Vec<u8>) -> Option<Page<'b>> {
        let range = self.geometry.range(link).filter(|range| range.end <= self.len)?;
        let len = range.end - range.start;
        // If the trees' pages together exceed the file, they share pages.
        let is_possible = self.live.fetch_add(len, Ordering::Relaxed) <= self.len - len;
        bytes.resize(usize::try_from(len).ok().filter(|_| is_possible)?, 0);
        self.file.read(range.start, bytes).ok()?;
        read_page(bytes, link, widths)
    }
}
