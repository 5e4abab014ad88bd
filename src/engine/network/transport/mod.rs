//! Bytes to and from a server: where it is, and a connection with deadlines, in TLS where asked.

mod connecting;
#[cfg(test)]
mod dripping;
#[cfg(test)]
pub(crate) mod listening;
pub(crate) mod location;
pub(crate) mod stream;
mod timed;
#[cfg(feature = "tls")]
pub(crate) mod tls;
