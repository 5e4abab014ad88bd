//! Every sequence of three calls, crashed at every operation.

use sessile::Durability;
use sessile::testing::SimulatedDisk;

use super::recording::Recording;
use super::share_of;
use super::workload::Step;
use super::world::World;

/// Creates a session of the user, with a tag that makes it small.
fn another(tag: u32) -> Step {
    Step::CreateForUser { user: 0, tag }
}

/// The calls that change the tables in different ways, with tags for this place in the sequence.
fn kinds(place: u32) -> [Step; 8] {
    let tag = 16 * (place + 2);
    [
        another(tag),
        Step::Update { session: 0, user: 1, tag: tag + 1 },
        Step::Regenerate { session: 0, tag: tag + 2 },
        Step::Extend { session: 1 },
        Step::Destroy { session: 0 },
        Step::DestroyAllOf { user: 0 },
        Step::Clear,
        Step::Flush,
    ]
}

#[test]
fn every_three_calls_survive_power_loss_at_any_operation() {
    let (mut runs, mut states) = (0, 0);
    for ((first, second), third) in kinds(0)
        .into_iter()
        .flat_map(|first| kinds(1).into_iter().map(move |second| (first, second)))
        .flat_map(|pair| kinds(2).into_iter().map(move |third| (pair, third)))
    {
        let mut world = World::on(SimulatedDisk::new(), Durability::Immediate);
        for tag in 0..2 {
            assert!(world.call(another(tag)).result.is_ok());
        }
        assert!(world.call(Step::Forward { by: 200 }).result.is_ok());
        let recording = Recording::of(world, [first, second, third]);
        let what = format!("{first:?}, {second:?}, {third:?}");
        for operation in share_of(recording.opened..=recording.disk.operations(), runs) {
            recording.check_power_loss(operation, runs * 1_000 + operation, &what);
            states += 1;
        }
        runs += 1;
    }
    println!("{runs} triples, {states} states");
    assert_eq!(runs, 512);
}
