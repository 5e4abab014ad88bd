//! Sound files of several kinds, with the stored rows at each moment since an older state.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::LazyLock;

use sessile::testing::SimulatedDisk;
use sessile::{Durability, SessionId, SessionKey};

use super::super::opened::Opened;
use super::super::oracle::{Millis, Row};
use super::super::workload::Step;
use super::super::world::World;
use super::super::{Choices, DURABILITIES};

/// redb's header, and our two sectors in page 0.
const HEADER: Range<usize> = 0..320;
const SECTORS: [Range<usize>; 2] = [2_048..2_560, 2_560..3_072];

/// A file and its contents.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) file: Vec<u8>,
    /// An earlier state of the same file.
    pub(crate) older: Vec<u8>,
    pub(super) durability: Durability,
    /// The stored rows after each call since the last opening.
    history: Vec<Vec<Row>>,
    /// The length of `history` when the file was `older`.
    before_older: usize,
    /// The needed entries of the log: the last steps of `history`, one each.
    entries: Vec<Range<usize>>,
    closed: bool,
    pub(super) ids: HashMap<SessionKey, SessionId>,
    /// Every row that was ever stored.
    pub(super) ever: Vec<Row>,
    pub(super) now: Millis,
}

impl Sound {
    pub(super) fn rows(&self) -> &[Row] {
        self.history.last().unwrap()
    }

    /// The range of the log in the file; empty at the end of the file if there is no log.
    pub(crate) fn log(&self) -> Range<usize> {
        let number = |at: usize| u64::from_le_bytes(self.file[at..at + 8].try_into().unwrap());
        let start = number(SECTORS[0].start + 24) as usize;
        match number(SECTORS[0].start + 32) as usize {
            0 => self.file.len()..self.file.len(),
            length => start..start + length,
        }
    }

    fn is_hit(&self, damaged: &[u8], part: &Range<usize>) -> bool {
        damaged.get(part.clone()) != Some(&self.file[part.clone()])
    }

    /// Whether a part has changed, to its bytes in `older`.
    fn is_old(&self, damaged: &[u8], part: &Range<usize>) -> bool {
        self.is_hit(damaged, part) && damaged.get(part.clone()) == self.older.get(part.clone())
    }

    pub(super) fn is_log_hit(&self, damaged: &[u8]) -> bool {
        let mut parts = self.entries.iter().chain(&SECTORS);
        parts.any(|part| self.is_hit(damaged, part))
    }

    pub(super) fn is_header_hit(&self, damaged: &[u8]) -> bool {
        self.is_hit(damaged, &HEADER)
    }

    /// The contents that the damaged file may have once it is opened. The sound file's contents
    /// come first.
    pub(super) fn possible(&self, damaged: &[u8]) -> Vec<&[Row]> {
        let mut possible = vec![self.rows()];
        let before = |commits: usize| self.history[self.history.len() - 1 - commits].as_slice();
        // Damaged last entries look like entries that a crash has torn.
        let torn = self.entries.iter().rev().take_while(|entry| self.is_hit(damaged, entry));
        possible.extend((1..=torn.count()).map(before));
        let [first, second] = SECTORS.map(|sector| {
            let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
            (self.is_hit(damaged, &sector), damaged.get(sector).is_some_and(is_zero))
        });
        // As while the first log is being added.
        let no_log = first.0 && second.0 && (first.1 || second.1);
        if no_log {
            possible.push(before(self.entries.len()));
        }
        // The last commit may be redb's, and torn in any of its pages.
        let torn = !self.closed && self.is_hit(damaged, &(0..self.log().start));
        if torn && self.entries.is_empty() {
            possible.push(before(1));
        }
        let no_entry = self.is_hit(damaged, &self.log())
            && self.entries.iter().all(|entry| self.is_hit(damaged, entry));
        if torn && (no_log || no_entry) {
            // The commit before it, without some of the log entries of that time.
            possible.extend(self.history.iter().map(Vec::as_slice));
        }
        // A part that leads to all the rest has its old bytes, so the whole file shows its old
        // state.
        let leads = [64..192, 192..320, 9..10].into_iter().chain(SECTORS);
        if leads.into_iter().any(|part| self.is_old(damaged, &part)) {
            possible.extend(self.history.iter().skip(self.before_older).map(Vec::as_slice));
        }
        possible
    }
}

/// One file of each kind.
pub(crate) fn sounds() -> &'static [Sound] {
    static SOUNDS: LazyLock<Vec<Sound>> = LazyLock::new(|| {
        let [immediate, two_phase, deferred] = DURABILITIES;
        vec![
            Maker::new(immediate).written().closed(),
            Maker::new(immediate).written().swept().killed(9),
            Maker::new(immediate).cleared().filled().written().killed(20),
            Maker::new(immediate).written().cleared().killed(0),
            Maker::new(two_phase).written().killed(0),
            Maker::new(two_phase).written().killed_and_opened(immediate).written().killed(8),
            Maker::new(deferred).flushed_twice().killed_and_opened(immediate).written().killed(10),
        ]
    });
    &SOUNDS
}

/// A store that is being filled.
struct Maker {
    world: World,
    older: Vec<u8>,
    history: Vec<Vec<Row>>,
    before_older: usize,
    ever: Vec<Row>,
    tag: u32,
}

impl Maker {
    /// Two dozen sessions of all sizes, with all kinds of changes, in a file that was closed and
    /// opened again. Some have ended.
    fn new(durability: Durability) -> Self {
        let world = World::on(SimulatedDisk::new(), durability);
        let (older, history, ever) = (Vec::new(), Vec::new(), Vec::new());
        let mut maker = Self { world, older, history, before_older: 0, ever, tag: 0 };
        for _ in 0..20 {
            maker.create();
        }
        let mut choices = Choices(1);
        for _ in 0..30 {
            maker.tag += 1;
            let step = Step::of_one_thread(&mut choices, maker.tag, 0);
            maker.call(step);
        }
        maker.call(Step::Forward { by: 500 });
        for _ in 0..4 {
            maker.create();
        }
        maker.history.clear();
        maker.call(Step::Reopen);
        maker.note_older();
        maker
    }

    /// Another process opens the file.
    fn killed_and_opened(mut self, durability: Durability) -> Self {
        let World { disk, clock, rows, ids, .. } = &self.world;
        let disk = disk.after_kill(disk.operations(), 0);
        let opened = Opened::again(&disk, durability, clock).unwrap();
        let (rows, ids) = (rows.clone(), ids.clone());
        self.world = World::with(disk, durability, clock.clone(), opened);
        (self.world.rows, self.world.ids) = (rows, ids);
        self
    }

    fn note_older(&mut self) {
        self.older = self.world.disk.store_bytes();
        self.before_older = self.history.len() - 1;
    }

    fn create(&mut self) {
        self.tag += 1;
        let (tag, user) = (self.tag, (self.tag % 3) as u8);
        self.call(match tag % 4 {
            0 => Step::Create { tag },
            1 => Step::CreateWith { user, tag, inactivity: 300 },
            _ => Step::CreateForUser { user, tag },
        });
    }

    fn call(&mut self, step: Step) {
        let call = self.world.call(step);
        assert!(call.result.is_ok(), "{call:?}");
        self.history.push(self.world.rows.clone());
        self.ever.extend(self.world.rows.clone());
    }

    /// Eight commits of all kinds, on live sessions.
    fn written(mut self) -> Self {
        let now = self.world.clock.millis();
        let live: Vec<_> = self.world.rows.iter().map(|row| now < row.deadline()).collect();
        let mut live = (0..live.len() as u64).rev().filter(|at| live[*at as usize]);
        let mut session = || live.nth(1).unwrap();
        // From the last session on, because a removal moves the sessions behind it.
        let steps = [session(), session(), session(), session(), session()];
        let [destroyed, updated, regenerated, modified, by_key] = steps;
        let tag = self.tag;
        self.tag += 5;
        self.call(Step::Destroy { session: destroyed });
        self.call(Step::Update { session: updated, user: 2, tag: tag + 1 });
        self.call(Step::Regenerate { session: regenerated, tag: tag + 2 });
        self.call(Step::Modify { session: modified, tag: tag + 3 });
        self.call(Step::DestroyKey { session: by_key });
        self.create();
        self.create();
        self.create();
        self
    }

    /// Two entries of the log, each with several changes.
    fn flushed_twice(mut self) -> Self {
        for _ in 0..2 {
            let before = self.history.len();
            self.create();
            self.create();
            self.call(Step::Flush);
            // No file shows the first without the second.
            self.history.drain(before..before + 2);
        }
        self
    }

    /// A commit that removes some sessions.
    fn swept(mut self) -> Self {
        let before = self.world.rows.len();
        self.call(Step::Sweep);
        assert!(self.world.rows.len() < before);
        self
    }

    /// A durable commit of redb that removes all sessions.
    fn cleared(mut self) -> Self {
        self.note_older();
        self.call(Step::Clear);
        self
    }

    /// A dozen commits, each of which adds one session. Their tags give contents that fit the log.
    fn filled(mut self) -> Self {
        self.tag = self.tag.next_multiple_of(16) + 4;
        for user in [0, 1, 2].repeat(4) {
            self.tag += 16;
            self.call(Step::CreateForUser { user, tag: self.tag });
        }
        self
    }

    fn closed(mut self) -> Sound {
        self.world.opened.take().unwrap().store.close().unwrap();
        self.sound(0, true)
    }

    fn killed(self, entries: usize) -> Sound {
        self.sound(entries, false)
    }

    fn sound(self, entries: usize, closed: bool) -> Sound {
        let Self { world, older, history, before_older, ever, .. } = self;
        let mut seen = BTreeSet::new();
        let sound = Sound {
            file: world.disk.store_bytes(),
            older,
            durability: world.durability,
            history,
            before_older,
            entries: Vec::new(),
            closed,
            now: world.clock.millis(),
            ids: world.ids.clone(),
            ever: ever.into_iter().rev().filter(|row| seen.insert(row.tag)).collect(),
        };
        let entries = all_entries(&sound.file[sound.log()], sound.log().start, entries);
        Sound { entries, ..sound }
    }
}

/// The ranges of the entries of the log, of which there are `count`.
fn all_entries(log: &[u8], start: usize, count: usize) -> Vec<Range<usize>> {
    let mut entries = Vec::new();
    let mut at = 0;
    let number = |at: usize| u64::from_le_bytes(log[at + 16..at + 24].try_into().unwrap());
    for _ in 0..count {
        assert_eq!(number(at), number(0) + entries.len() as u64);
        let len = u32::from_le_bytes(log[at + 24..at + 28].try_into().unwrap()) as usize;
        let end = at + (28 + len).next_multiple_of(512);
        entries.push(start + at..start + end);
        at = end;
    }
    assert!(count == 0 || number(at) != number(0) + entries.len() as u64, "one entry more");
    entries
}
