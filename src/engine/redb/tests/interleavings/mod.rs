//! Interleavings of the engine's threads: at every lock and atomic of [`crate::sync`], shuttle
//! decides which thread goes on, and each test runs under thousands of such decisions.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --lib interleavings` runs them; `SESSILE_INTERLEAVINGS`
//! says how many executions each test gets, and `SESSILE_SEED` where the decisions begin. A failure
//! prints the decisions that led to it, for `shuttle::replay`. A wake-up that is lost shows as a
//! deadlock, which shuttle reports.
//!
//! redb's own locks are not explored: each of its calls is one step. No test may hold one of them
//! where shuttle can switch threads.

mod checkpoints;
mod engine;
mod queue;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// Runs a test under many schedules: half of them random at every step, half with few switches at
/// random places, which finds what needs one thread to stand still for long.
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
