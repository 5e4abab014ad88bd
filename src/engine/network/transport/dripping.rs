//! A peer for tests: it sends a byte now and then, so that no single read waits for long.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::network::transport::location::Address;

/// The most bytes that it sends, in about ten seconds.
pub(super) const MOST: usize = 1_000;

/// Returns the address, and a thread that returns how many bytes it sent before the connection
/// ended. It sends `head` first.
pub(super) fn start(head: &'static [u8]) -> (Address, JoinHandle<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sending = thread::Builder::new().spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let bytes = head.iter().copied().chain(std::iter::repeat(0)).take(MOST);
        let is_sent = |byte| {
            thread::sleep(Duration::from_millis(10));
            socket.write_all(&[byte]).is_ok()
        };
        bytes.map(is_sent).take_while(|is_sent| *is_sent).count()
    });
    (Address { host: "127.0.0.1".into(), port }, sending.unwrap())
}
