//! A store on a disk that fails, loses its power and has its process killed when a script says so.
//!
//! After every event what is stored is held against what was answered. Where an answer leaves
//! something open, and nowhere else, there is more than one thing that may be stored.

use std::collections::HashMap;

use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Durability, Error};

use super::opened::Opened;
use super::oracle::{Found, Row, Touches, disagreement, look};
use super::workload::Step;
use super::world::World;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Call(Step),
    /// What fits fails after so many more operations of the disk; once, or until it is repaired.
    Fail {
        fault: DiskFault,
        after: u64,
        lasting: bool,
    },
    Repair,
    /// The power goes, so many of the disk's operations before the end of the last call.
    CutPower {
        back: u64,
        seed: u64,
    },
    /// The same for the process.
    Kill {
        back: u64,
        seed: u64,
    },
}

/// The tags of what this module itself creates; the script's are smaller.
const FIRST_TAG: u32 = 1 << 20;
/// Content of no length follows from a tag that is a multiple of this.
const SMALL: u32 = 16;
/// Seeds of ids that no other opening of the tests uses.
const FIRST_SEED: u64 = 1 << 32;

/// What may be stored: these rows, and any of the others.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    rows: Vec<Row>,
    may_be_there: Vec<Row>,
    /// How recent its touches have to be, if not as recent as those of the others.
    touches: Option<Touches>,
}

impl Candidate {
    pub(super) fn whole(rows: &[Row]) -> Self {
        Self { rows: rows.to_vec(), may_be_there: Vec::new(), touches: None }
    }

    /// What is there once `Deferred` has lost what it had not flushed.
    fn of_loss(rows: &[Row]) -> Self {
        Self { touches: Some(Touches::Durable), ..Self::whole(rows) }
    }

    /// Takes over later touches. They wait in a memory of their own, which outlives what is lost.
    fn touch(&mut self, after: &[Row]) {
        for row in &mut self.rows {
            let touched = after.iter().find(|other| other.key.is_some() && other.key == row.key);
            row.last_active =
                touched.map_or(row.last_active, |touched| row.last_active.max(touched.last_active));
        }
    }

    /// A sweep removes in steps, each of which may be the last.
    fn of_call(step: Step, before: &[Row], after: &[Row]) -> Self {
        let mut candidate = Self::whole(after);
        if matches!(step, Step::Sweep) {
            candidate.may_be_there = before.to_vec();
            candidate.may_be_there.retain(|row| after.iter().all(|other| other.tag != row.tag));
        }
        candidate
    }

    /// The rows of it that were found, or why it is not what was found.
    fn matching(&self, found: &HashMap<u32, Found>, touches: Touches) -> Result<Vec<Row>, String> {
        let mut candidate = self.clone();
        for row in candidate.rows.iter_mut().chain(&mut candidate.may_be_there) {
            row.key = row.key.or_else(|| found.get(&row.tag).map(|found| found.key));
        }
        let Self { mut rows, may_be_there, touches: own } = candidate;
        let touches = own.unwrap_or(touches);
        if let Some(what) = disagreement(found, &rows, &may_be_there, touches) {
            return Err(what);
        }
        rows.extend(may_be_there.into_iter().filter(|row| found.contains_key(&row.tag)));
        for row in &mut rows {
            row.last_active = found[&row.tag].last_active;
        }
        Ok(rows)
    }
}

struct Run {
    world: World,
    /// What calls may have left that did not say.
    undecided: Vec<Candidate>,
    /// What there was since the last flush, which a crash may bring back, or a store that could not
    /// be closed: `Deferred` alone. An error alone takes nothing along.
    deferred: Vec<Candidate>,
    /// The disk's count before the last event, and all that there may have been from then on.
    began: u64,
    since: Vec<Candidate>,
    /// Whether something was made to fail and calls are not known to work again.
    trouble: bool,
    /// Whether a sync was among that, or a want of room.
    syncs_failed: bool,
    was_full: bool,
    openings: u64,
    tags: u32,
}

/// Carries a script out.
pub(crate) fn run(durability: Durability, script: impl IntoIterator<Item = Event>) {
    let mut run = Run::on(durability);
    for event in script {
        match event {
            Event::Call(step) => drop(run.call(step)),
            Event::Fail { fault, after, lasting } => run.fail(fault, after, lasting),
            Event::Repair => run.repair(),
            Event::CutPower { back, seed } => {
                run.crash(back, |disk, at| disk.after_power_loss(at, seed));
            }
            Event::Kill { back, seed } => run.crash(back, |disk, at| disk.after_kill(at, seed)),
        }
    }
    run.finish();
}

impl Run {
    fn on(durability: Durability) -> Self {
        let world = World::on(SimulatedDisk::new(), durability);
        let began = world.disk.operations();
        Self {
            world,
            undecided: Vec::new(),
            deferred: Vec::new(),
            began,
            since: Vec::new(),
            trouble: false,
            syncs_failed: false,
            was_full: false,
            openings: FIRST_SEED,
            tags: FIRST_TAG,
        }
    }

    fn is_deferred(&self) -> bool {
        matches!(self.world.durability, Durability::Deferred { .. })
    }

    fn candidates(&self) -> Vec<Candidate> {
        [&[Candidate::whole(&self.world.rows)], &self.undecided[..]].concat()
    }

    fn candidates_after_a_crash(&self) -> Vec<Candidate> {
        [self.candidates(), self.deferred.clone()].concat()
    }

    /// Makes a call, and holds what is stored then against what it answered.
    fn call(&mut self, step: Step) -> Result<(), Error> {
        self.began = self.world.disk.operations();
        self.since = self.candidates_after_a_crash();
        self.make_ready()?;
        if matches!(step, Step::Reopen) {
            return self.reopen();
        }
        let before = self.world.rows.clone();
        let call = self.world.call(step);
        let after = Candidate::of_call(step, &before, &call.after);
        self.since.push(after.clone());
        match &call.result {
            Ok(()) if step.flushes() => self.deferred.clear(),
            Ok(()) if self.is_deferred() => self.deferred.push(Candidate::of_loss(&before)),
            Ok(()) => {}
            Err(error) => {
                self.check_error(error, step);
                // Some are several commits, or a commit and something else, of which one failed.
                let several = matches!(
                    step,
                    Step::Sweep | Step::Flush | Step::Extend { .. } | Step::ReadAndExtend { .. }
                );
                if several || matches!(error, Error::OutcomeUnknown { .. }) {
                    self.undecided.push(after);
                }
            }
        }
        if matches!(step, Step::Extend { .. } | Step::ReadAndExtend { .. }) {
            self.deferred.iter_mut().for_each(|candidate| candidate.touch(&call.after));
        }
        self.settle(Touches::All);
        call.result
    }

    fn check_error(&self, error: &Error, step: Step) {
        assert!(self.trouble, "{step:?}: {error:?} on a disk that works");
        let is_documented =
            self.is_failure_of_the_disk(error) || matches!(error, Error::OutcomeUnknown { .. });
        assert!(is_documented, "{step:?}: {error:?}");
    }

    fn is_failure_of_the_disk(&self, error: &Error) -> bool {
        match error {
            Error::Io { .. } => self.trouble,
            Error::StorageFull { .. } => self.was_full,
            _ => false,
        }
    }

    /// Sees to it that the store is open and nothing is left open.
    fn make_ready(&mut self) -> Result<(), Error> {
        if self.world.opened.is_none() {
            self.open()?;
        }
        if !self.undecided.is_empty() {
            // Nothing is decided before the store can write again.
            let flushed = self.world.call(Step::Flush).result;
            flushed.inspect_err(|error| self.check_error(error, Step::Flush))?;
            if self.settle(Touches::All) {
                self.decide();
            }
        }
        Ok(())
    }

    fn decide(&mut self) {
        self.undecided.clear();
        self.deferred.clear();
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let after = Step::Reopen.after(&self.world.rows, None, 0);
        let closed = self.world.opened.take().map_or(Ok(()), |opened| opened.store.close());
        match &closed {
            Ok(()) => {
                self.world.rows = after;
                self.deferred.clear();
            }
            Err(error) => {
                self.check_error(error, Step::Reopen);
                self.undecided.push(Candidate::whole(&after));
                self.undecided.append(&mut self.deferred);
            }
        }
        self.open()?;
        closed
    }

    fn open(&mut self) -> Result<(), Error> {
        let World { disk, durability, clock, .. } = &self.world;
        self.openings += 1;
        let opened = Opened::drawing_from(self.openings, disk, *durability, clock);
        let opened = opened.inspect_err(|error| self.check_error(error, Step::Reopen))?;
        self.world.opened = Some(opened);
        // Touches that were in memory went with the store, if it could not be closed.
        if self.settle(Touches::Durable) {
            self.decide();
        }
        Ok(())
    }

    /// What is stored must be what the answers say; of what they leave open, it is taken over.
    /// Whether it could be read.
    fn settle(&mut self, touches: Touches) -> bool {
        let Some(opened) = &self.world.opened else { return false };
        let found = match look(&opened.everything) {
            Ok(found) => found,
            // What is not in memory cannot be read until the file is reopened.
            Err(error) if self.is_failure_of_the_disk(&error) => return false,
            Err(error) => panic!("{error:?}"),
        };
        self.world.rows = pick(&found, &self.candidates(), touches);
        true
    }

    fn fail(&mut self, fault: DiskFault, after: u64, lasting: bool) {
        let disk = &self.world.disk;
        let from = match fault {
            DiskFault::Read => disk.reads() + after,
            _ => disk.operations() + after,
        };
        match lasting {
            true => disk.fail_from(fault, from),
            false => disk.fail_once(fault, from),
        }
        self.trouble = true;
        self.syncs_failed |= fault == DiskFault::Sync;
        self.was_full |= fault == DiskFault::Full;
    }

    /// Ends the fault. From then on it takes one write to find that out, another where a read had
    /// failed; and a store whose sync has failed goes on once it is closed and opened.
    fn repair(&mut self) {
        self.world.disk.repair();
        if !self.trouble {
            return;
        }
        let mut failures = 0;
        loop {
            self.tags += SMALL;
            match self.call(Step::Create { tag: self.tags }) {
                Ok(()) => break,
                Err(error) => assert!(failures < 2, "{error:?} after the repair"),
            }
            failures += 1;
            if failures == 2 && self.syncs_failed {
                // Closing is right about what it could not write.
                drop(self.reopen());
                assert!(self.world.opened.is_some(), "it cannot be opened after the repair");
                failures = 1;
                self.syncs_failed = false;
            }
        }
        (self.trouble, self.syncs_failed, self.was_full) = (false, false, false);
        assert!(self.settle(Touches::All));
    }

    /// The disk as a crash leaves it takes the place of this one.
    fn crash(&mut self, back: u64, leave: impl FnOnce(&SimulatedDisk, u64) -> SimulatedDisk) {
        let now = self.world.disk.operations();
        let at = now - back % (now - self.began + 1);
        let mut possible = self.candidates_after_a_crash();
        if at < now {
            possible.append(&mut self.since);
        }
        let crashed = leave(&self.world.disk, at);
        self.openings += 1;
        let World { durability, clock, .. } = &self.world;
        let opened = Opened::drawing_from(self.openings, &crashed, *durability, clock);
        let opened = opened.unwrap_or_else(|error| panic!("after a crash: {error:?}"));
        let found = look(&opened.everything).unwrap();
        self.world.rows = pick(&found, &possible, Touches::Durable);
        self.world.disk = crashed;
        self.world.opened = Some(opened);
        self.decide();
        self.began = self.world.disk.operations();
        self.since = self.candidates_after_a_crash();
        (self.trouble, self.syncs_failed, self.was_full) = (false, false, false);
        self.check_reads();
    }

    /// Each id that was told finds its session as long as that lives, and the tables agree.
    fn check_reads(&self) {
        let (opened, now) = (self.world.opened.as_ref().unwrap(), self.world.clock.millis());
        for (key, id) in &self.world.ids {
            let is_live = |row: &Row| row.key == Some(*key) && now < row.deadline();
            let live = self.world.rows.iter().any(is_live);
            assert_eq!(opened.store.read(id).unwrap().is_some(), live, "{key}");
        }
        assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new());
    }

    /// After all of it the store works, and what it holds is on the disk.
    fn finish(&mut self) {
        self.repair();
        self.call(Step::Flush).unwrap();
        self.check_reads();
        let flushed = self.world.rows.clone();
        self.call(Step::Reopen).unwrap();
        assert_eq!(self.world.rows.len(), flushed.len());
        for seed in 0..2 {
            self.crash(0, |disk, at| disk.after_power_loss(at, seed));
        }
    }
}

/// The rows of the first candidate that is what was found.
pub(super) fn pick(
    found: &HashMap<u32, Found>,
    candidates: &[Candidate],
    touches: Touches,
) -> Vec<Row> {
    let mut reasons = Vec::new();
    for candidate in candidates {
        match candidate.matching(found, touches) {
            Ok(rows) => return rows,
            Err(what) => reasons.push(what),
        }
    }
    panic!("{reasons:#?}");
}
