//! The operations on the disk, and the state after a crash.
//!
//! Invariant: every change that a successful sync covered is there. Of all other changes any part
//! may be there, in units of a sector. Changes of names take effect in their order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::testing::disk::choices::Choices;
use crate::testing::disk::file::pages;
use crate::testing::disk::image::Image;

/// The unit that a power loss writes whole or not at all.
const SECTOR: usize = 512;

/// One operation, in the order of the disk's count.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// It failed before it had an effect.
    Nothing,
    /// If the write went past the end, the file grew to `grown_to`.
    Write {
        file: u64,
        offset: u64,
        data: Arc<[u8]>,
        grown_to: Option<u64>,
    },
    SetLen {
        file: u64,
        len: u64,
    },
    /// A sync of the whole file, or of a range of its bytes and no others.
    Sync {
        file: u64,
        range: Option<Range<u64>>,
    },
    /// The pages that it covered count as written; the seed decides which were written.
    SyncFailed {
        file: u64,
        range: Option<Range<u64>>,
        seed: u64,
    },
    CreateStore {
        file: u64,
    },
    RemoveStore,
    CreateDraft {
        file: u64,
    },
    RemoveDraft,
    MoveInPlace,
    SyncFolder,
}

impl Event {
    /// The file whose content this changes, if any.
    fn changes(&self) -> Option<u64> {
        match self {
            Self::Write { file, .. } | Self::SetLen { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// The part of this event that a sync covers, and the parts that it leaves.
    fn covered(&self, of: u64, range: Option<&Range<u64>>) -> (Option<Self>, Vec<Self>) {
        match (self, range) {
            (Self::Write { file, offset, data, grown_to }, Some(range)) if *file == of => {
                let end = offset + data.len() as u64;
                let (start, stop) =
                    (range.start.clamp(*offset, end), range.end.clamp(*offset, end));
                let part = |from: u64, to: u64| {
                    let data = data[(from - offset) as usize..(to - offset) as usize].into();
                    let grown_to = grown_to.map(|_| to);
                    (from < to).then_some(Self::Write { file: of, offset: from, data, grown_to })
                };
                let rest = [part(*offset, start), part(stop, end)];
                (part(start, stop), rest.into_iter().flatten().collect())
            }
            (change, None) if change.changes() == Some(of) => (Some(change.clone()), Vec::new()),
            (change, _) => (None, vec![change.clone()]),
        }
    }

    fn renames(&self) -> bool {
        matches!(
            self,
            Self::CreateStore { .. }
                | Self::RemoveStore
                | Self::CreateDraft { .. }
                | Self::RemoveDraft
                | Self::MoveInPlace
        )
    }
}

/// Files and names.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) files: BTreeMap<u64, Image>,
    pub(super) store: Option<u64>,
    pub(super) draft: Option<u64>,
}

impl Contents {
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { file, offset, data, grown_to } => {
                let image = self.files.entry(*file).or_default();
                if let Some(len) = grown_to {
                    image.set_len(image.len().max(*len));
                }
                image.write(*offset, data);
            }
            Event::SetLen { file, len } => self.files.entry(*file).or_default().set_len(*len),
            Event::CreateStore { file } => self.store = Some(*file),
            Event::RemoveStore => self.store = None,
            Event::CreateDraft { file } => self.draft = Some(*file),
            Event::RemoveDraft => self.draft = None,
            Event::MoveInPlace => self.store = self.draft.take(),
            Event::Nothing | Event::Sync { .. } | Event::SyncFailed { .. } | Event::SyncFolder => {}
        }
    }

    /// Applies each sector of a write, or any other event as a whole, if the choices say so.
    fn apply_torn(&mut self, event: &Event, choices: &mut Choices) {
        let Event::Write { file, offset, data, grown_to } = event else {
            return self.apply(event);
        };
        let image = self.files.entry(*file).or_default();
        if let Some(len) = grown_to.filter(|_| choices.flip()) {
            image.set_len(image.len().max(len));
        }
        let mut at = 0;
        while at < data.len() {
            let within = (*offset as usize + at) % SECTOR;
            let end = data.len().min(at + SECTOR - within);
            if choices.flip() {
                image.write(offset + at as u64, &data[at..end]);
            }
            at = end;
        }
    }
}

/// The durable state, and the changes that are not durable yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Durable {
    pub(super) contents: Contents,
    pub(super) pending: Vec<Event>,
}

impl Durable {
    pub(super) fn push(&mut self, event: &Event) {
        match event {
            Event::Nothing => {}
            Event::Sync { file, range } => {
                // A file without a byte exists once it is synced.
                self.contents.files.entry(*file).or_default();
                for change in self.take_covered(*file, range.as_ref()) {
                    self.contents.apply(&change);
                }
            }
            Event::SyncFailed { file, range, seed } => {
                let mut choices = Choices::new(*seed);
                for change in self.take_covered(*file, range.as_ref()) {
                    match change {
                        // A change of length belongs to no page, so it stays pending.
                        Event::SetLen { .. } => self.pending.push(change),
                        change if choices.flip() => self.contents.apply_torn(&change, &mut choices),
                        _ => {}
                    }
                }
            }
            Event::SyncFolder => {
                let contents = &mut self.contents;
                self.pending.retain(|pending| {
                    if pending.renames() {
                        contents.apply(pending);
                    }
                    !pending.renames()
                });
            }
            change => self.pending.push(change.clone()),
        }
    }

    /// Takes the events that a sync covers out of the pending ones.
    fn take_covered(&mut self, file: u64, range: Option<&Range<u64>>) -> Vec<Event> {
        let mut all_covered = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            let (covered, rest) = change.covered(file, range);
            all_covered.extend(covered);
            self.pending.extend(rest);
        }
        all_covered
    }

    /// The state after a power loss: all durable changes, and any part of the others.
    pub(super) fn after_power_loss(mut self, seed: u64) -> Contents {
        let mut choices = Choices::new(seed);
        // All, none, few, half or most of them: each finds other errors.
        let eighths = [0, 8, 1, 4, 7][choices.below(5) as usize];
        let mut names_go_on = true;
        for event in &self.pending {
            let lands = choices.below(8) < eighths;
            if event.renames() {
                names_go_on &= lands;
                if names_go_on {
                    self.contents.apply(event);
                }
            } else if lands && choices.below(4) > 0 {
                self.contents.apply(event);
            } else if lands {
                self.contents.apply_torn(event, &mut choices);
            }
        }
        self.contents
    }

    /// The state that programs see while there is power.
    pub(super) fn seen(&self) -> Contents {
        let mut contents = self.contents.clone();
        for event in &self.pending {
            contents.apply(event);
        }
        contents
    }
}

/// Every operation since the disk was created, and the durable state at some of them.
#[derive(Debug, Default)]
pub(super) struct History {
    events: Vec<Event>,
    current: Durable,
    /// Each durable state, with the number of events before it.
    checkpoints: Vec<(usize, Durable)>,
}

impl History {
    pub(super) fn of(current: Durable) -> Self {
        Self { events: Vec::new(), checkpoints: vec![(0, current.clone())], current }
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    /// The pages, with their file, that a sync would write.
    pub(super) fn pages_to_sync(
        &self,
        file: u64,
        range: Option<&Range<u64>>,
    ) -> impl Iterator<Item = (u64, u64)> {
        let covered = self.current.pending.iter().filter_map(move |it| it.covered(file, range).0);
        covered
            .flat_map(move |change| match change {
                Event::Write { offset, data, .. } => pages(offset, data.len()),
                _ => 0..0,
            })
            .map(move |page| (file, page))
    }

    pub(super) fn seen(&self) -> Contents {
        self.current.seen()
    }

    pub(super) fn push(&mut self, event: Event) {
        self.current.push(&event);
        let synced = matches!(event, Event::Sync { .. } | Event::SyncFailed { .. });
        self.events.push(event);
        if synced || self.checkpoints.is_empty() {
            self.checkpoints.push((self.events.len(), self.current.clone()));
        }
    }

    /// The state after the first `count` operations, and the next operation.
    pub(super) fn at(&self, count: u64) -> (Durable, Option<&Event>) {
        let count = self.events.len().min(count as usize);
        let after = self.checkpoints.partition_point(|(events, _)| *events <= count);
        let (from, mut durable) = match after.checked_sub(1) {
            Some(index) => self.checkpoints[index].clone(),
            None => (0, Durable::default()),
        };
        for event in &self.events[from..count] {
            durable.push(event);
        }
        (durable, self.events.get(count))
    }
}
