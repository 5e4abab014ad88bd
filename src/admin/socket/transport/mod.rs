//! The differences between systems: the path of the socket, access, and the transport of bytes.
//!
//! Invariant: each system's module has these names with the same meaning, and no other module of
//! the admin socket depends on the system. `Listening` accepts clients at a path, `Stream` is one
//! connection, and `is_door` recognises the path of an admin socket.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use crate::admin::socket::transport::unix::{Listening, Stream, is_door};
#[cfg(windows)]
pub(super) use crate::admin::socket::transport::windows::{Listening, Stream, is_door};
