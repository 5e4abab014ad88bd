//! Time: the clock that a store asks, the timeouts that turn its answers into deadlines, and both
//! as one moment.

pub(crate) mod clock;
pub(crate) mod millis;
pub(crate) mod moment;
pub(crate) mod ticks;
pub(crate) mod timeouts;
