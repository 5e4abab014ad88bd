//! Bytes to and from a server: where it is, and a connection with deadlines, in TLS where asked.

pub(crate) mod location;
pub(crate) mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;
