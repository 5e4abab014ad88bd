//! A store on a disk that fails, loses its power and has its process killed, as a script demands.
//!
//! After every event the stored rows are compared with the answers. There is more than one possible
//! state only where an answer leaves it open.

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
    /// Fails the fitting operation after so many more operations of the disk: once, or until the
    /// repair.
    Fail {
        fault: DiskFault,
        after: u64,
        lasting: bool,
    },
    Repair,
    /// Cuts the power, so many operations of the disk before the end of the last call.
    CutPower {
        back: u64,
        seed: u64,
    },
    /// Kills the process at such a point.
    Kill {
        back: u64,
        seed: u64,
    },
}

/// The tags of this module's own sessions; those of the script are smaller.
const FIRST_TAG: u32 = 1 << 20;
/// A tag that is a multiple of this has content of length 0.
const SMALL: u32 = 16;
/// Seeds of ids that no other opening of the tests uses.
const FIRST_SEED: u64 = 1 << 32;

/// A state that may be stored: these rows, and any of `may_be_there`.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    rows: Vec<Row>,
    may_be_there: Vec<Row>,
    /// How recent the touches of this candidate must be, if that differs from the others.
    touches: Option<Touches>,
}

impl Candidate {
    pub(super) fn whole(rows: &[Row]) -> Self {
        Self { rows: rows.to_vec(), may_be_there: Vec::new(), touches: None }
    }

    /// The state after `Deferred` has lost its unflushed changes.
    fn of_loss(rows: &[Row]) -> Self {
        Self { touches: Some(Touches::Durable), ..Self::whole(rows) }
    }

    /// Applies later touches. Their own buffer outlives the loss.
    fn touch(&mut self, after: &[Row]) {
        for row in &mut self.rows {
            let touched = after.iter().find(|other| other.key.is_some() && other.key == row.key);
            row.last_active =
                touched.map_or(row.last_active, |touched| row.last_active.max(touched.last_active));
        }
    }

    /// The state after a call. A sweep removes in steps, each of which may be the last.
    fn of_call(step: Step, before: &[Row], after: &[Row]) -> Self {
        let mut candidate = Self::whole(after);
        if matches!(step, Step::Sweep) {
            candidate.may_be_there = before.to_vec();
            candidate.may_be_there.retain(|row| after.iter().all(|other| other.tag != row.tag));
        }
        candidate
    }

    /// The rows of this candidate that were found, or how it differs from the found state.
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
    /// The states that calls with an unknown outcome may have left.
    undecided: Vec<Candidate>,
    /// With `Deferred`: the states since the last flush, which a crash or a failed close may bring
    /// back. An error of any other call loses nothing.
    deferred: Vec<Candidate>,
    /// The disk's count before the last event, and all possible states from then on.
    began: u64,
    since: Vec<Candidate>,
    /// Whether a fault was injected, and calls may still fail.
    trouble: bool,
    /// Whether a sync failed, and whether the disk was full.
    syncs_failed: bool,
    was_full: bool,
    openings: u64,
    tags: u32,
}

/// Runs a script.
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

    /// Makes a call, and compares the stored rows with its answer.
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
                // Some calls are several commits, or a commit and another action, of which one
                // failed.
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

    /// What opening writes, the next opening writes again, so no outcome is unknown.
    fn check_failed_opening(&self, error: &Error) {
        assert!(self.is_failure_of_the_disk(error), "opening: {error:?}");
    }

    fn is_failure_of_the_disk(&self, error: &Error) -> bool {
        match error {
            Error::Io { .. } => self.trouble,
            Error::StorageFull { .. } => self.was_full,
            _ => false,
        }
    }

    /// Makes the store open, and settles the unknown outcomes.
    fn make_ready(&mut self) -> Result<(), Error> {
        if self.world.opened.is_none() {
            self.open()?;
        }
        if !self.undecided.is_empty() {
            // Outcomes are unknown until the store can write again.
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
        let opened = opened.inspect_err(|error| self.check_failed_opening(error))?;
        self.world.opened = Some(opened);
        // A store that could not be closed lost its touches in memory.
        if self.settle(Touches::Durable) {
            self.decide();
        }
        Ok(())
    }

    /// Checks that the stored rows match the answers, and takes over the open ones from the store.
    /// False if the store could not be read.
    fn settle(&mut self, touches: Touches) -> bool {
        let Some(opened) = &self.world.opened else { return false };
        let found = match look(&opened.everything) {
            Ok(found) => found,
            // Records that are not in memory cannot be read until the file is reopened.
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

    /// Ends the fault. After that one write may fail, and another one after a failed read. A store
    /// whose sync has failed works again once it is closed and opened.
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
                // Closing rightly reports its unwritten changes.
                drop(self.reopen());
                assert!(self.world.opened.is_some(), "it cannot be opened after the repair");
                failures = 1;
                self.syncs_failed = false;
            }
        }
        (self.trouble, self.syncs_failed, self.was_full) = (false, false, false);
        assert!(self.settle(Touches::All));
    }

    /// Replaces the disk by the one that a crash leaves.
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

    /// Each known id finds its session while that is live, and the tables agree.
    fn check_reads(&self) {
        let (opened, now) = (self.world.opened.as_ref().unwrap(), self.world.clock.millis());
        for (key, id) in &self.world.ids {
            let is_live = |row: &Row| row.key == Some(*key) && now < row.deadline();
            let live = self.world.rows.iter().any(is_live);
            assert_eq!(opened.store.read(id).unwrap().is_some(), live, "{key}");
        }
        assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new());
    }

    /// At the end of the script the store works, and its contents are on the disk.
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

/// The rows of the first candidate that matches the found rows.
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
