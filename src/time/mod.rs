//! Time: the clock that a store uses, the timeouts that determine deadlines, and both as one
//! moment.

pub(crate) mod clock;
pub(crate) mod millis;
pub(crate) mod moment;
pub(crate) mod ticks;
pub(crate) mod timeouts;
