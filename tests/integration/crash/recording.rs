//! A recorded workload, and the states that each crash of it may leave.

use std::collections::HashMap;
use std::fmt::Display;

use sessile::testing::SimulatedDisk;
use sessile::{Durability, SessionId, SessionKey};

use super::Choices;
use super::opened::{Opened, beginning_of_time};
use super::oracle::{Content, Row, Touches, disagreement, look};
use super::workload::Step;
use super::world::{Call, World};

#[derive(Debug)]
pub(super) struct Recording {
    pub(super) disk: SimulatedDisk,
    pub(super) durability: Durability,
    /// The disk's count once the store was open.
    pub(super) opened: u64,
    pub(super) calls: Vec<Call>,
    pub(super) before: Vec<Row>,
    pub(super) ids: HashMap<SessionKey, SessionId>,
}

/// One of the states that a crash may leave.
#[derive(Debug)]
pub(super) struct Candidate<'r> {
    rows: &'r [Row],
    /// Sessions that a sweep in steps has not reached yet.
    may_be_there: Vec<Row>,
}

impl Candidate<'_> {
    pub(super) const fn rows(&self) -> &[Row] {
        self.rows
    }
}

impl Recording {
    /// Runs the steps, each of which must succeed.
    pub(super) fn of(mut world: World, steps: impl IntoIterator<Item = Step>) -> Self {
        let (opened, before) = (world.disk.operations(), world.rows.clone());
        let mut calls = Vec::new();
        for step in steps {
            let call = world.call(step);
            assert!(call.result.is_ok(), "{call:?}");
            calls.push(call);
        }
        let World { disk, durability, ids, .. } = world;
        Self { disk, durability, opened, calls, before, ids }
    }

    /// A seeded workload. The durability changes with the seed, so each has a third of the seeds.
    pub(super) fn seeded(seed: u64, steps: u32) -> Self {
        Self::seeded_on(SimulatedDisk::new(), seed, steps)
    }

    /// As `seeded`, on another disk, which is empty.
    pub(super) fn seeded_on(disk: SimulatedDisk, seed: u64, steps: u32) -> Self {
        let mut choices = Choices(seed);
        let durability = super::DURABILITIES[(seed % 3) as usize];
        let world = World::on(disk, durability);
        let first = choices.below(16) as u32;
        let steps: Vec<_> =
            (0..steps).map(|number| Step::any(&mut choices, first + number)).collect();
        Self::of(world, steps)
    }

    /// The possible states after a crash before the operation of this number.
    pub(super) fn candidates(&self, operation: u64) -> Vec<Candidate<'_>> {
        let acknowledged = self.calls.partition_point(|call| call.ended <= operation);
        let certain = match self.durability {
            Durability::Deferred { .. } => {
                let flushed = self.calls[..acknowledged].iter().rposition(|c| c.step.flushes());
                flushed.map_or(0, |at| at + 1)
            }
            _ => acknowledged,
        };
        let in_flight = self.calls.get(acknowledged).is_some_and(|call| call.began <= operation);
        let latest = acknowledged + usize::from(in_flight);
        let whole = |rows| Candidate { rows, may_be_there: Vec::new() };
        let mut candidates: Vec<_> =
            (certain..=latest).map(|count| whole(self.rows_after(count))).collect();
        if in_flight && matches!(self.calls[acknowledged].step, Step::Sweep) {
            let rows = self.rows_after(latest);
            let mut may_be_there = self.rows_after(acknowledged).to_vec();
            may_be_there.retain(|row| rows.iter().all(|other| other.tag != row.tag));
            candidates.push(Candidate { rows, may_be_there });
        }
        candidates
    }

    fn rows_after(&self, calls: usize) -> &[Row] {
        match calls.checked_sub(1) {
            Some(last) => &self.calls[last].after,
            None => &self.before,
        }
    }

    /// Opens the disk that a crash left and compares it; returns the disk's count once it was open.
    pub(super) fn check(
        &self,
        disk: &SimulatedDisk,
        candidates: &[Candidate<'_>],
        crash: &dyn Display,
    ) -> u64 {
        let opened = Opened::again(disk, self.durability, &beginning_of_time());
        let opened = opened.unwrap_or_else(|error| panic!("{crash}: {error}: {error:?}"));
        let operations = disk.operations();
        let found = look(&opened.store).unwrap();
        let reasons: Vec<_> = candidates
            .iter()
            .map(|c| disagreement(&found, c.rows, &c.may_be_there, Touches::Durable))
            .collect();
        assert!(reasons.contains(&None), "{crash}: {reasons:#?}");
        assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new(), "{crash}");
        for (key, id) in &self.ids {
            let there = found.values().any(|found| found.key == *key);
            assert_eq!(opened.store.read(id).unwrap().is_some(), there, "{crash}");
        }
        // It works like any other store.
        let mut session = opened.store.create(Content::new(u32::MAX)).unwrap();
        opened.store.regenerate_id(&mut session).unwrap();
        assert!(opened.store.read(session.id()).unwrap().is_some(), "{crash}");
        assert_eq!(opened.store.len().unwrap(), found.len() as u64 + 1, "{crash}");
        operations
    }

    pub(super) fn check_power_loss(&self, operation: u64, seed: u64, what: &dyn Display) {
        let disk = self.disk.after_power_loss(operation, seed);
        let crash = format!("{what}, power lost at {operation} with seed {seed}");
        self.check(&disk, &self.candidates(operation), &crash);
    }

    pub(super) fn check_kill(&self, operation: u64, seed: u64, what: &dyn Display) {
        let disk = self.disk.after_kill(operation, seed);
        let crash = format!("{what}, killed at {operation} with seed {seed}");
        self.check(&disk, &self.candidates(operation), &crash);
    }

    /// Crashes, and crashes a second time during the opening.
    pub(super) fn check_twice(&self, operation: u64, seed: u64, what: &dyn Display) {
        let killed = seed.is_multiple_of(3);
        let first = || match killed {
            true => self.disk.after_kill(operation, seed),
            false => self.disk.after_power_loss(operation, seed),
        };
        let crash = format!("{what}, crashed at {operation} with seed {seed}");
        let candidates = self.candidates(operation);
        let disk = first();
        let opened = self.check(&disk, &candidates, &crash);
        // The second crash hits an operation of the opening; without one there is nothing to crash.
        let Some(last) = opened.checked_sub(1) else { return };
        let second = Choices(seed).below(last + 1);
        let disk = disk.after_power_loss(second, seed);
        let crash = format!("{crash}, and power lost at {second} of the recovery");
        self.check(&disk, &candidates, &crash);
    }

    /// Kills the process, and cuts the power at each operation of the recovery.
    pub(super) fn check_recovery(&self, operation: u64, seed: u64, what: &dyn Display) {
        let crash = format!("{what}, killed at {operation} with seed {seed}");
        let candidates = self.candidates(operation);
        let disk = self.disk.after_kill(operation, seed);
        let opened = self.check(&disk, &candidates, &crash);
        for second in 0..opened {
            for seed in seed..seed + 100 {
                let disk = disk.after_power_loss(second, seed);
                let crash = format!("{crash}, and power lost at {second} with seed {seed}");
                self.check(&disk, &candidates, &crash);
            }
        }
    }
}
