//! The other end of a connection, for tests.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::engine::network::deadline::Deadline;
use crate::engine::network::transport::location::Address;
use crate::engine::network::transport::stream::Stream;

/// Returns both ends of a connection.
pub(crate) fn connected() -> (Stream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address { host: "127.0.0.1".into(), port };
    let hour = Deadline::after(Duration::from_secs(3_600));
    let stream = Stream::connect(&address, hour).unwrap();
    (stream, listener.accept().unwrap().0)
}

/// Returns everything that was received, once the connection has ended.
pub(crate) fn said_by(mut peer: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    said
}
