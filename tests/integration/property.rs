//! Random sequences of operations, on both engines, against the model.

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use sessile::testing::EngineFixture;

use crate::fixtures::{Deferred, Memory, Redb};
use crate::operations::{check, scenario};

fn agrees_with_the_model<F: EngineFixture>(cases: u32) {
    let cases = match std::env::var("PROPTEST_CASES") {
        Ok(cases) => cases.parse().expect("PROPTEST_CASES is a number"),
        Err(_) => cases,
    };
    let seeds = FileFailurePersistence::WithSource("regressions");
    let config = Config {
        cases,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(seeds)),
        ..Config::default()
    };
    proptest!(config, |((defaults, operations) in scenario())| check::<F>(defaults, &operations));
}

#[test]
fn the_memory_engine_agrees_with_the_model() {
    agrees_with_the_model::<Memory>(400);
}

#[test]
fn the_redb_engine_agrees_with_the_model() {
    agrees_with_the_model::<Redb<Deferred>>(60);
}

#[test]
fn the_durable_redb_engine_agrees_with_the_model() {
    agrees_with_the_model::<Redb>(12);
}
