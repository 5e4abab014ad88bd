//! A disk that is full, fails to write, or panics, at every operation. Each call reports it, no
//! acknowledged change is lost, and the same store works again once the cause is gone. A fault
//! strikes once, or until a repair. After it, every listed session is looked up, and every id that
//! must be absent.

use std::collections::{HashMap, HashSet};

use sessile::engine::Moment;
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Durability, Engine, Error, SessionKey};

use super::opened::{Opened, beginning_of_time};
use super::oracle::{Found, Row, Touches, disagreement, look};
use super::recording::Recording;
use super::workload::Step;
use super::world::World;
use super::{Choices, DURABILITIES, share_of};

const STEPS: u32 = 25;
/// The number of failed calls after which a lasting fault is repaired.
const PATIENCE: u32 = 4;

/// The first flush builds the filter of keys, which must learn of later keys.
fn steps(seed: u64, fault: DiskFault) -> impl Iterator<Item = Step> {
    let mut choices = Choices(seed);
    let any = (0..STEPS).map(move |number| Step::any(&mut choices, number));
    // A close whose sync panics reports it by the panic alone, so these steps are left out.
    let reopens = move |step: &Step| matches!(step, Step::Reopen) && fault == DiskFault::Panic;
    [Step::Flush].into_iter().chain(any.filter(move |step| !reopens(step)))
}

fn is_documented(error: &Error, fault: DiskFault) -> bool {
    match error {
        Error::OutcomeUnknown { .. } => true,
        Error::StorageFull { .. } => fault == DiskFault::Full,
        // With a full disk, this is the error of reads until the file can be reopened.
        Error::Io { .. } => true,
        _ => false,
    }
}

/// A run of a workload on a failing disk, and the rows that may differ from those of the world.
struct Run {
    world: World,
    /// The rows after a call with an unknown outcome, until the store writes again.
    undecided: Option<Vec<Row>>,
    /// With `Deferred`: the rows since the last flush, which a failed close may leave. An error of
    /// any other call loses nothing.
    deferred: Vec<Vec<Row>>,
    closed_badly: bool,
    /// The fault that the disk may still have.
    failing: Option<DiskFault>,
    what: String,
}

impl Run {
    fn on(durability: Durability, what: String) -> Self {
        let world = World::on(SimulatedDisk::new(), durability);
        let deferred = Vec::new();
        Self { world, undecided: None, deferred, closed_badly: false, failing: None, what }
    }

    /// Makes a call, and compares the stored rows with its answer.
    fn call(&mut self, step: Step) -> Option<Error> {
        if self.undecided.is_some() {
            // Outcomes are unknown until the store can write again.
            if let Err(error) = self.world.call(Step::Flush).result {
                return Some(error);
            }
            self.settle();
            self.undecided = None;
        }
        let before = self.world.rows.clone();
        let call = self.world.call(step);
        self.closed_badly |= matches!(step, Step::Reopen) && call.result.is_err();
        match call.result {
            Ok(()) => self.deferred.push(before),
            Err(Error::OutcomeUnknown { .. }) => self.undecided = Some(call.after),
            // The last of its commits has failed for certain; earlier ones may have succeeded.
            Err(_) if step.flushes() => self.undecided = Some(call.after),
            Err(_) => {}
        }
        if self.world.opened.is_some() {
            self.settle();
        }
        if call.result.is_ok() && step.flushes() {
            self.deferred.clear();
        }
        call.result.err()
    }

    /// Checks that the stored rows match the answers, and takes over the open ones from the store.
    fn settle(&mut self) {
        let opened = self.world.opened.as_ref().unwrap();
        let found = match look(&opened.everything) {
            Ok(found) => found,
            Err(error) if self.cannot_read(&error) => return,
            Err(error) => panic!("{}: {error:?}", self.what),
        };
        let mut possible = vec![self.world.rows.clone()];
        possible.extend(self.undecided.clone());
        if self.closed_badly && matches!(self.world.durability, Durability::Deferred { .. }) {
            possible.extend(self.deferred.iter().rev().cloned());
        }
        for rows in &mut possible {
            for row in rows {
                row.key = row.key.or_else(|| found.get(&row.tag).map(|found| found.key));
            }
        }
        self.look_up_each(&found);
        let reasons: Vec<_> =
            possible.iter().map(|rows| disagreement(&found, rows, &[], Touches::All)).collect();
        let Some(agrees) = reasons.iter().position(Option::is_none) else {
            panic!("{}: {reasons:#?}", self.what)
        };
        self.world.rows.clone_from(&possible[agrees]);
        self.closed_badly = false;
    }

    /// Checks that look-ups find exactly the sessions of a listing.
    fn look_up_each(&self, found: &HashMap<u32, Found>) {
        let Opened { engine, everything, .. } = self.world.opened.as_ref().unwrap();
        let listed: HashSet<SessionKey> = found.values().map(|found| found.key).collect();
        for key in &listed {
            match engine.load(key, Moment::BEGINNING) {
                Ok(record) => assert!(record.is_some(), "{}: {key} is not found", self.what),
                Err(error) if self.cannot_read(&error) => {}
                Err(error) => panic!("{}: {error:?}", self.what),
            }
        }
        for (key, id) in &self.world.ids {
            match everything.read(id) {
                Ok(read) => assert_eq!(read.is_some(), listed.contains(key), "{}", self.what),
                Err(error) if self.cannot_read(&error) => {}
                Err(error) => panic!("{}: {error:?}", self.what),
            }
        }
    }

    /// Records that are not in memory cannot be read while the file cannot be reopened.
    fn cannot_read(&self, error: &Error) -> bool {
        match error {
            Error::Io { .. } => self.failing.is_some(),
            Error::StorageFull { .. } => self.failing == Some(DiskFault::Full),
            _ => false,
        }
    }

    /// Checks the disk after a power loss: all rows, and the touches that must be durable.
    fn check_after_power_loss(&self) {
        let Self { world: World { disk, rows, durability, .. }, what, .. } = self;
        for seed in 0..2 {
            let crashed = disk.after_power_loss(disk.operations(), seed);
            let opened = Opened::on(&crashed, *durability, &beginning_of_time())
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let found = look(&opened.store).unwrap();
            assert_eq!(disagreement(&found, rows, &[], Touches::Durable), None, "{what}");
            assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new(), "{what}");
        }
    }
}

fn run(seed: u64, fault: DiskFault, lasting: bool, operation: u64) {
    let what = format!("workload {seed}, {fault:?} at {operation}, lasting: {lasting}");
    let mut run = Run::on(DURABILITIES[(seed % 3) as usize], what.clone());
    let disk = run.world.disk.clone();
    match lasting {
        true => disk.fail_from(fault, operation),
        false => disk.fail_once(fault, operation),
    }
    run.failing = lasting.then_some(fault);
    let mut failed = 0;
    for step in steps(seed, fault) {
        let Some(error) = run.call(step) else { continue };
        assert!(is_documented(&error, fault), "{what}: {step:?}: {error:?}");
        failed += 1;
        assert!(failed <= PATIENCE, "{what}: {step:?}: {error:?} after the repair");
        let repaired = failed == PATIENCE || run.world.opened.is_none();
        if repaired {
            disk.repair();
            run.failing = None;
        }
        if run.world.opened.is_none() {
            // It could be closed and not opened; the opening is repeated once the disk works.
            let opened = Opened::on(&disk, run.world.durability, &run.world.clock);
            run.world.opened = Some(opened.unwrap_or_else(|error| panic!("{what}: {error:?}")));
            run.settle();
        } else if repaired {
            // As the background thread does within the touch interval.
            let error = run.call(Step::Flush);
            assert!(error.is_none(), "{what}: {error:?}");
        }
    }
    disk.repair();
    let error = run.call(Step::Flush);
    assert!(error.is_none(), "{what}: {error:?}");
    let engine = &run.world.opened.as_ref().unwrap().engine;
    assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new(), "{what}");
    run.check_after_power_loss();
}

/// Every operation of a few workloads, with one fault each.
fn at_every_operation(fault: DiskFault, lasting: bool) {
    let workloads = match fault {
        DiskFault::Full | DiskFault::Write => 6,
        // One workload of each durability.
        _ => 3,
    };
    let mut runs = 0;
    for seed in 1..=workloads {
        let recording = Recording::of(
            World::on(SimulatedDisk::new(), DURABILITIES[(seed % 3) as usize]),
            steps(seed, fault),
        );
        for operation in share_of(recording.opened..=recording.disk.operations() - 1, seed) {
            run(seed, fault, lasting, operation);
            runs += 1;
        }
    }
    println!("{runs} runs");
}

#[test]
fn a_disk_that_is_full_once_at_any_operation_loses_nothing_acknowledged() {
    at_every_operation(DiskFault::Full, false);
}

#[test]
fn a_disk_that_is_full_until_there_is_room_needs_no_restart() {
    at_every_operation(DiskFault::Full, true);
}

#[test]
fn a_write_error_at_any_operation_loses_nothing_acknowledged() {
    at_every_operation(DiskFault::Write, false);
}

#[test]
fn a_disk_that_cannot_write_until_it_is_repaired_needs_no_restart() {
    at_every_operation(DiskFault::Write, true);
}

#[test]
fn a_write_that_fails_after_it_was_carried_out_leaves_what_is_read_and_listed_the_same() {
    at_every_operation(DiskFault::Late, false);
}

#[test]
fn a_panic_in_any_sync_is_outlived_and_loses_nothing_acknowledged() {
    at_every_operation(DiskFault::Panic, false);
}
