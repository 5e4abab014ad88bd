//! Cases of deadlines, of clocks, and of sweeps.

pub mod clocks;
pub mod lifetimes;
pub mod sweeping;
