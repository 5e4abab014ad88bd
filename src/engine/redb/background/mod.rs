//! Work that no caller waits for: sweeps, and the warm-up after opening. Acknowledged writes must
//! be durable without it.

pub(in crate::engine::redb) mod step_size;
pub(in crate::engine::redb) mod sweep;
pub(in crate::engine::redb) mod warm_up;
