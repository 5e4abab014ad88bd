//! Syncs that fail: nobody is told that it worked, nothing goes on by itself, and nothing that was
//! acknowledged is lost when the power goes.

use sessile::Error;
use sessile::testing::{DiskFault, SimulatedDisk};

use super::opened::{Opened, beginning_of_time};
use super::oracle::{Row, Touches, disagreement, look};
use super::recording::Recording;
use super::workload::Step;
use super::world::World;
use super::{Choices, DURABILITIES};

fn steps(seed: u64) -> Vec<Step> {
    let mut choices = Choices(seed);
    let steps = (0..40).map(|number| Step::any(&mut choices, number));
    // What is reopened by the program is another matter.
    steps.filter(|step| !matches!(step, Step::Reopen)).collect()
}

/// What the disk holds after power loss must be one of these.
fn check(disk: &SimulatedDisk, world: &World, possible: &[Vec<Row>], what: &str) {
    for seed in 0..8 {
        let crashed = disk.after_power_loss(disk.operations(), seed);
        let opened = Opened::on(&crashed, world.durability, &beginning_of_time())
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let found = look(&opened.store).unwrap();
        let reasons: Vec<_> =
            possible.iter().map(|rows| disagreement(&found, rows, &[], Touches::Durable)).collect();
        assert!(reasons.contains(&None), "{what}, power lost with {seed}: {reasons:#?}");
        assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new());
    }
}

/// A sync fails, once; further calls are made until the workload ends.
fn run(seed: u64, operation: u64, before: Option<DiskFault>) {
    let what = format!("workload {seed}, a sync fails after {operation}");
    let mut world = World::on(SimulatedDisk::new(), DURABILITIES[(seed % 2) as usize]);
    if let Some(fault) = before {
        // The store has opened its file anew once already.
        world.disk.fail_once(fault, world.disk.operations());
        let refused = world.call(Step::Create { tag: 1_000 });
        assert!(matches!(refused.result, Err(Error::Io { .. })), "{what}: {refused:?}");
    }
    world.disk.fail_once(DiskFault::Sync, operation);
    let mut undecided: Option<Vec<Row>> = None;
    let mut struck = false;
    for step in steps(seed) {
        let call = world.call(step);
        match &call.result {
            Ok(()) if !struck => {}
            // Touches are kept in memory, and what changes nothing needs no disk.
            Ok(()) => assert!(call.began == call.ended, "{what}: {call:?}"),
            Err(Error::OutcomeUnknown { .. }) if !struck => undecided = Some(call.after),
            // Before its commit, or since a sync has failed.
            Err(Error::Io { .. }) => {}
            Err(_) => panic!("{what}: {call:?}"),
        }
        struck |= call.result.is_err();
        if struck {
            // What is in memory can be read still; the rest says why not.
            match look(&world.opened.as_ref().unwrap().everything) {
                Ok(_) | Err(Error::Io { .. }) => {}
                Err(error) => panic!("{what}: {error:?}"),
            }
        }
    }
    let mut possible = vec![world.rows.clone()];
    if struck {
        assert!(matches!(world.call(Step::Clear).result, Err(Error::Io { .. })), "{what}");
    }
    possible.extend(undecided);
    check(&world.disk, &world, &possible, &what);
}

fn at_every_operation(before: Option<DiskFault>) {
    for seed in 1..=4 {
        let world = World::on(SimulatedDisk::new(), DURABILITIES[(seed % 2) as usize]);
        let recording = Recording::of(world, steps(seed));
        for operation in recording.opened..recording.disk.operations() {
            run(seed, operation, before);
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    at_every_operation(None);
}

#[test]
fn a_sync_that_fails_after_the_file_was_opened_anew_is_not_forgotten() {
    at_every_operation(Some(DiskFault::Write));
}
