//! A network that fails on demand: a proxy between an engine and its server.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

/// The direction of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// To the server.
    Request,
    /// From the server.
    Answer,
}

/// The fault of a connection at a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Both ends see the connection close.
    Cut,
    /// The later bytes are discarded, and the connection stays open.
    Swallow,
    /// The later bytes arrive late.
    Delay(Duration),
}

/// A TCP proxy on 127.0.0.1. It counts round trips and bytes, and breaks one connection at a chosen
/// byte; later connections work.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
///
/// use sessile::testing::{NetworkFault, Proxy, Way};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let proxy = Proxy::start(server.local_addr()?);
/// proxy.arm(Way::Request, 3, NetworkFault::Cut);
/// let mut client = TcpStream::connect(proxy.address())?;
/// client.write_all(b"hello")?;
///
/// let mut received = String::new();
/// server.accept()?.0.read_to_string(&mut received)?;
/// assert_eq!(received, "hel");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    refusing: AtomicBool,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    requested: u64,
    answered: u64,
    round_trips: u64,
    armed: Option<(Way, u64, NetworkFault)>,
    /// The connections that have not ended, by their numbers.
    connections: HashMap<u64, Arc<Ends>>,
    accepted: u64,
}

/// The client's end of a connection, and the server's.
type Ends = [TcpStream; 2];

impl State {
    /// Counts bytes. If a fault is due among them, returns the number of bytes before it, and the
    /// fault.
    fn count(&mut self, way: Way, length: usize) -> Option<(usize, NetworkFault)> {
        let counted = match way {
            Way::Request => &mut self.requested,
            Way::Answer => &mut self.answered,
        };
        let before = *counted;
        *counted += length as u64;
        match self.armed {
            Some((armed, at, fault)) if armed == way && at < *counted => {
                self.armed = None;
                Some((usize::try_from(at.saturating_sub(before)).unwrap_or(0), fault))
            }
            _ => None,
        }
    }
}

impl Proxy {
    /// Starts a proxy to a server.
    ///
    /// # Panics
    ///
    /// If the server's name does not resolve, or the machine has no free port.
    #[must_use]
    pub fn start(target: impl ToSocketAddrs) -> Self {
        let target = target.to_socket_addrs().unwrap().next().expect("the server has an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            state: Mutex::default(),
            refusing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let accepting = Some(started({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        }));
        Self { address, shared, accepting }
    }

    /// The address of the proxy.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks the connection at byte number `at`, counted in this direction from now on.
    pub fn arm(&self, way: Way, at: u64, fault: NetworkFault) {
        let mut state = self.shared.state.lock();
        (state.requested, state.answered) = (0, 0);
        state.armed = Some((way, at, fault));
    }

    /// Whether the fault has happened or was cancelled.
    #[must_use]
    pub fn is_disarmed(&self) -> bool {
        self.shared.state.lock().armed.is_none()
    }

    /// Cancels a fault, and counts bytes and round trips from zero.
    pub fn reset(&self) {
        let mut state = self.shared.state.lock();
        (state.requested, state.answered, state.round_trips) = (0, 0, 0);
        state.armed = None;
    }

    /// The number of bytes in this direction.
    #[must_use]
    pub fn bytes(&self, way: Way) -> u64 {
        let state = self.shared.state.lock();
        match way {
            Way::Request => state.requested,
            Way::Answer => state.answered,
        }
    }

    /// The number of round trips: a client's send after an answer, or the first send.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.shared.state.lock().round_trips
    }

    /// Whether new connections are closed at once, as if the server were down.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Closes every connection.
    pub fn cut_all(&self) {
        for (_, ends) in self.shared.state.lock().connections.drain() {
            shut_down(&ends);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.cut_all();
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn started(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name("sessile-proxy".into()).spawn(work).unwrap()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if shared.refusing.load(Ordering::SeqCst) {
            continue;
        }
        // A client sees a server that is down as a closed connection.
        let Ok(server) = TcpStream::connect(shared.target) else { continue };
        relay([client, server].into(), shared);
    }
}

fn relay(ends: Arc<Ends>, shared: &Arc<Shared>) {
    for end in &*ends {
        let _ = end.set_nodelay(true);
    }
    let number = {
        let mut state = shared.state.lock();
        state.accepted += 1;
        let number = state.accepted;
        state.connections.insert(number, Arc::clone(&ends));
        number
    };
    // Whether the client's next byte begins a round trip.
    let is_turn = Arc::new(AtomicBool::new(true));
    for way in [Way::Request, Way::Answer] {
        let (ends, shared, is_turn) = (Arc::clone(&ends), Arc::clone(shared), Arc::clone(&is_turn));
        started(move || {
            let [client, server] = &*ends;
            let (from, to) = if way == Way::Request { (client, server) } else { (server, client) };
            // Whichever way it ends, both ends see the close.
            let _ = pump(way, from, to, &shared, &is_turn);
            shut_down(&ends);
            shared.state.lock().connections.remove(&number);
        });
    }
}

fn shut_down(ends: &Ends) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn pump(
    way: Way,
    mut from: &TcpStream,
    mut to: &TcpStream,
    shared: &Shared,
    is_turn: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let bytes = &buffer[..length];
        let due = {
            let mut state = shared.state.lock();
            if is_turn.swap(way == Way::Answer, Ordering::SeqCst) && way == Way::Request {
                state.round_trips += 1;
            }
            state.count(way, length)
        };
        match due {
            None => to.write_all(bytes)?,
            Some((passed, fault)) => {
                to.write_all(&bytes[..passed])?;
                match fault {
                    NetworkFault::Cut => return Ok(()),
                    NetworkFault::Swallow => {
                        while from.read(&mut buffer)? > 0 {}
                        return Ok(());
                    }
                    NetworkFault::Delay(delay) => {
                        thread::sleep(delay);
                        to.write_all(&bytes[passed..])?;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_has_ended_takes_no_descriptor() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap());
        for _ in 0..20 {
            let mut client = TcpStream::connect(proxy.address()).unwrap();
            client.write_all(b"hello").unwrap();
            let (mut accepted, _) = server.accept().unwrap();
            let mut said = [0; 5];
            accepted.read_exact(&mut said).unwrap();
            drop(client);
            assert_eq!(accepted.read(&mut said).unwrap(), 0);
        }
        for _ in 0..6_000 {
            if proxy.shared.state.lock().connections.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?} are kept", proxy.shared.state.lock().connections);
    }
}
