//! Failing syncs: no caller is told that the call succeeded, the store does not continue by itself,
//! and no acknowledged change is lost in a power loss.

use std::ops::RangeInclusive;

use sessile::Error;
use sessile::engine::RedbOptions;
use sessile::testing::{DiskFault, SimulatedDisk};

use super::opened::{Opened, beginning_of_time};
use super::oracle::{Row, Touches, disagreement, look};
use super::recording::Recording;
use super::workload::Step;
use super::world::World;
use super::{Choices, DURABILITIES, share_of};

fn steps(seed: u64) -> Vec<Step> {
    steps_from(0, seed)
}

/// Steps whose tags begin with `first`.
fn steps_from(first: u32, seed: u64) -> Vec<Step> {
    let mut choices = Choices(seed);
    let steps = (first..first + 40).map(|number| Step::any(&mut choices, number));
    // Reopening by the program is tested separately.
    steps.filter(|step| !matches!(step, Step::Reopen)).collect()
}

/// After a power loss the disk must hold one of these states.
fn check(world: &World, crashes: u64, possible: &[Vec<Row>], what: &str) {
    let disk = &world.disk;
    for seed in 0..crashes {
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

/// A sync fails once, and further calls are made until the workload ends. Returns the possible
/// states.
fn run(
    disk: SimulatedDisk,
    seed: u64,
    operation: u64,
    before: Option<DiskFault>,
) -> (World, Vec<Vec<Row>>, String) {
    let what = format!("workload {seed}, a sync fails after {operation}");
    let mut world = World::on(disk, DURABILITIES[(seed % 2) as usize]);
    if let Some(fault) = before {
        // The store has already reopened its file once.
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
            // Touches stay in memory, and a call that changes nothing needs no disk.
            Ok(()) => assert!(call.began == call.ended, "{what}: {call:?}"),
            Err(Error::OutcomeUnknown { .. }) if !struck => undecided = Some(call.after),
            // Before its commit, or after a failed sync.
            Err(Error::Io { .. }) => {}
            Err(_) => panic!("{what}: {call:?}"),
        }
        struck |= call.result.is_err();
        if struck {
            // redb reads nothing after a failed sync of its own.
            match look(&world.opened.as_ref().unwrap().everything) {
                Ok(_) | Err(Error::Io { .. }) => {}
                Err(error) => panic!("{what}: {error:?}"),
            }
        }
    }
    let mut possible = vec![world.rows.clone()];
    if struck {
        let refused = world.call(Step::Clear).result;
        let Err(Error::Io { source, .. }) = &refused else { panic!("{what}: {refused:?}") };
        // The store itself refuses, before it reopens the file, and says what to do.
        assert!(source.to_string().contains("close the store"), "{what}: {source}");
    }
    possible.extend(undecided);
    (world, possible, what)
}

#[test]
fn after_a_failed_sync_of_the_log_listings_and_counts_show_what_reads_show() {
    type Store = sessile::SessionStore<String>;
    let disk = SimulatedDisk::new();
    let engine = sessile::RedbEngine::open_on(&disk, &RedbOptions::new()).unwrap();
    let store = Store::builder().engine(engine).manual_maintenance().build().unwrap();
    let create = || store.create_for_user("ann", String::new());
    let sessions = [create().unwrap(), create().unwrap(), create().unwrap()];
    disk.fail_once(DiskFault::Sync, disk.operations());
    create().unwrap_err();
    assert!(!disk.repair(), "it struck");
    for _ in 0..2 {
        assert!(sessions.iter().all(|session| store.read(session.id()).unwrap().is_some()));
        assert_eq!(store.len().unwrap(), 3);
        assert_eq!(store.sessions_of("ann").unwrap().len(), 3);
        assert_eq!(store.for_each(|_, _| ()).unwrap(), 3);
        assert!(matches!(create(), Err(Error::Io { .. })));
        assert!(matches!(store.flush(), Err(Error::Io { .. })));
    }
}

/// The program closes and opens the store again, as the error says, on a running system, and
/// continues. Then the power is lost.
fn go_on(mut world: World, possible: Vec<Vec<Row>>, seed: u64, what: &str) {
    let what = format!("{what}, the store is opened again");
    let struck = !world.disk.repair();
    if !struck {
        // The workload had no sync left to fail, so a sync of closing or opening the store fails.
        world.disk.fail_once(DiskFault::Sync, 0);
    }
    if let Some(opened) = world.opened.take() {
        // Whether the close succeeds does not matter here.
        let _ = opened.store.close();
    }
    let open = || Opened::again(&world.disk, world.durability, &world.clock);
    let opened = match open() {
        Err(Error::Io { .. }) if !struck => open(),
        opened => opened,
    };
    let opened = opened.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let found = look(&opened.everything).unwrap();
    let is_found = |rows: &Vec<Row>| disagreement(&found, rows, &[], Touches::Durable).is_none();
    let rows = possible.into_iter().find(is_found);
    world.rows = rows.unwrap_or_else(|| panic!("{what}: {found:#?}"));
    for row in &mut world.rows {
        // Touches in memory were lost with the store.
        row.last_active = found[&row.tag].last_active;
    }
    world.opened = Some(opened);
    let mut written = false;
    for step in steps_from(2_000, seed + 100).into_iter().chain([Step::Flush]) {
        let call = world.call(step);
        assert!(call.result.is_ok(), "{what}: {call:?}");
        if call.ended > call.began && !written {
            check(&world, 2, &[world.rows.clone()], &what);
            written = true;
        }
    }
    check(&world, 2, &[world.rows.clone()], &what);
}

fn at_every_operation(before: Option<DiskFault>, then: impl Fn(World, Vec<Vec<Row>>, u64, &str)) {
    at_every_operation_on(SimulatedDisk::new, 1..=4, before, then);
}

/// As `at_every_operation`, on disks of another kind, with these workloads.
fn at_every_operation_on(
    disk: fn() -> SimulatedDisk,
    seeds: RangeInclusive<u64>,
    before: Option<DiskFault>,
    then: impl Fn(World, Vec<Vec<Row>>, u64, &str),
) {
    for seed in seeds {
        let world = World::on(disk(), DURABILITIES[(seed % 2) as usize]);
        let recording = Recording::of(world, steps(seed));
        for operation in share_of(recording.opened..=recording.disk.operations() - 1, seed) {
            let (world, possible, what) = run(disk(), seed, operation, before);
            then(world, possible, seed, &what);
        }
    }
}

fn lose_power(world: World, possible: Vec<Vec<Row>>, _: u64, what: &str) {
    check(&world, 8, &possible, what);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    at_every_operation(None, lose_power);
}

#[test]
fn a_sync_that_fails_after_the_file_was_opened_again_is_not_forgotten() {
    at_every_operation(Some(DiskFault::Write), lose_power);
}

#[test]
fn a_store_that_is_opened_again_after_a_failed_sync_loses_nothing_to_a_power_cut() {
    at_every_operation(None, go_on);
}

#[test]
fn a_store_that_failed_to_write_and_to_sync_can_be_opened_again_too() {
    at_every_operation(Some(DiskFault::Write), go_on);
}

/// So every system other than Linux syncs the log. The first workload is `TwoPhase`, which has no
/// log; the second is `Immediate`.
#[test]
fn a_failed_sync_of_the_whole_file_is_told_as_that_of_one_write_and_loses_nothing_either() {
    let disk = SimulatedDisk::syncing_whole_files;
    for before in [None, Some(DiskFault::Write)] {
        at_every_operation_on(disk, 2..=2, before, lose_power);
        at_every_operation_on(disk, 2..=2, before, go_on);
    }
}
