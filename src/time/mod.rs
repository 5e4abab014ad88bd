//! Time: the clock that a store asks, and the timeouts that turn its answers into deadlines.

pub(crate) mod clock;
pub(crate) mod ticks;
pub(crate) mod timeouts;
