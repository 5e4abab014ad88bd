//! Bytes to and from a server: its location, and a connection with deadlines, with TLS if
//! requested.

pub(crate) mod connecting;
pub(crate) mod datagrams;
#[cfg(test)]
mod dripping;
#[cfg(test)]
pub(crate) mod listening;
pub(crate) mod location;
pub(crate) mod stream;
mod timed;
#[cfg(feature = "tls")]
pub(crate) mod tls;
