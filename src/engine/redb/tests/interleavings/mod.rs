//! Interleavings of the engine's threads. At every lock and atomic of [`crate::sync`], shuttle
//! decides which thread continues, and each test runs under thousands of such schedules.
//!
//! `RUSTC_WORKSPACE_WRAPPER=tests/cfg/shuttle cargo test --lib interleavings` runs them.
//! `SESSILE_INTERLEAVINGS` is the number of executions of each test, and `SESSILE_SEED` the seed of
//! the schedules. A failure prints its schedule, for `shuttle::replay`. A lost wake-up shows as a
//! deadlock, which shuttle reports.
//!
//! redb's own locks are not explored: each of its calls is one step. No test may hold one of them
//! where shuttle can switch threads.

mod checkpoints;
mod closing;
mod engine;
mod limits;
mod queue;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// Runs a test under many schedules. Half of them are random at every step. The other half have few
/// switches at random places, which finds bugs that need one thread to pause for long.
fn explore(executions: u64, test: impl Fn() + Send + Sync + Clone + 'static) {
    let executions = number("SESSILE_INTERLEAVINGS", executions);
    let half = usize::try_from(executions / 2).expect("a number of executions");
    let seed = number("SESSILE_SEED", 1);
    let mut config = Config::new();
    // redb's trees recurse, and an unoptimised build takes more than shuttle's 60 KiB.
    config.stack_size = 1024 * 1024;
    Runner::new(RandomScheduler::new_from_seed(seed, half), config.clone()).run(test.clone());
    Runner::new(PctScheduler::new_from_seed(seed, 3, half), config).run(test);
}
