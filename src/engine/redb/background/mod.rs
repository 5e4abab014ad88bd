//! Work that no caller waits for: sweeping expired sessions, and warming up after opening.

pub(in crate::engine::redb) mod step_size;
pub(in crate::engine::redb) mod sweep;
pub(in crate::engine::redb) mod warm_up;
