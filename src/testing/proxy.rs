//! A network that fails on demand: a proxy between an engine and its server.

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
    sockets: Vec<TcpStream>,
}

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
        for socket in self.shared.state.lock().sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
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
        if relay(&client, &server, shared).is_err() {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    }
}

fn relay(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.state.lock().sockets.extend([client.try_clone()?, server.try_clone()?]);
    // Whether the client's next byte begins a round trip.
    let is_turn = Arc::new(AtomicBool::new(true));
    for (way, from, to) in [(Way::Request, client, server), (Way::Answer, server, client)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let (shared, is_turn) = (Arc::clone(shared), Arc::clone(&is_turn));
        started(move || {
            // Whichever way it ends, both ends see the close.
            let _ = pump(way, &from, &to, &shared, &is_turn);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
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
