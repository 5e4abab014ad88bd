//! The server of the admin socket: a thread that accepts clients, and one thread for each client.
//!
//! Invariant: once the socket is closed, none of its threads runs or holds the store open.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::admin::socket::answering;
use crate::admin::socket::connection::{Connection, Patience};
use crate::admin::socket::protocol::{Reply, VERSION};
use crate::admin::socket::request::{Request, max_request};
use crate::admin::socket::transport::{Listening, Stream};
use crate::caught::caught;
use crate::error::{Error, Result};
use crate::store::core::StoreCore;

/// The most clients at a time.
const MAX_CLIENTS: usize = 8;
const THREAD: &str = "sessile-admin";
/// The pause after a failed accept.
const REST: Duration = Duration::from_millis(100);

/// An open admin socket. Dropping it closes the socket.
pub(super) struct Door {
    shared: Arc<Shared>,
    waiting: Option<JoinHandle<()>>,
}

struct Shared {
    core: Arc<StoreCore>,
    listening: Listening,
    patience: Patience,
    stop: AtomicBool,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Default)]
struct Clients {
    next: u64,
    there: HashMap<u64, Client>,
}

struct Client {
    stream: Stream,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    pub(super) fn open(
        core: Arc<StoreCore>,
        listening: Listening,
        patience: Patience,
    ) -> Result<Self> {
        let failed = |error| Error::io("start the thread of the admin socket at", THREAD, error);
        let shared = Arc::new(Shared {
            core,
            listening,
            patience,
            stop: AtomicBool::new(false),
            clients: Arc::default(),
        });
        let mut door = Self { shared: Arc::clone(&shared), waiting: None };
        let thread = thread::Builder::new().name(THREAD.into()).spawn(move || shared.wait());
        door.waiting = Some(thread.map_err(failed)?);
        Ok(door)
    }
}

impl Shared {
    fn wait(self: &Arc<Self>) {
        while !self.stop.load(Ordering::Acquire) {
            match self.listening.accept() {
                Ok(Some(stream)) => self.admit(stream),
                Ok(None) => {}
                // Most likely the process has too many open files, and an immediate retry would
                // spin.
                Err(_) if !self.stop.load(Ordering::Acquire) => thread::sleep(REST),
                Err(_) => {}
            }
        }
    }

    /// Serves a client if its user is allowed and a place is free; otherwise ends the connection.
    fn admit(self: &Arc<Self>, stream: Stream) {
        if !stream.is_allowed() || stream.has_left() {
            return;
        }
        let Ok(to_end_it) = stream.try_clone() else { return };
        let mut clients = self.clients.lock();
        let is_closing = self.stop.load(Ordering::Acquire);
        if is_closing || clients.there.len() >= MAX_CLIENTS {
            drop(clients);
            refuse(stream, is_closing);
            return;
        }
        let number = clients.next;
        clients.next += 1;
        let (shared, all) = (Arc::clone(self), Arc::clone(&self.clients));
        let serve = move || {
            // A disconnected client gets no error. If the engine panics, only this client's
            // connection ends, and its place is free again.
            let _ = caught(|| shared.serve(stream));
            // Closing waits only for the threads in the list, so a thread outside it must not hold
            // the store.
            drop(shared);
            all.lock().there.remove(&number);
        };
        // The new thread removes itself from the list only after this lock is released.
        if let Ok(thread) = thread::Builder::new().name(THREAD.into()).spawn(serve) {
            let client = Client { stream: to_end_it, thread: Some(thread) };
            clients.there.insert(number, client);
        }
    }

    fn serve(&self, stream: Stream) -> io::Result<()> {
        let max_content_len = self.core.max_content_len;
        let mut connection = Connection::new(stream, max_request(max_content_len), self.patience)?;
        let hello = Reply::Hello {
            sessile_admin: VERSION,
            pid: std::process::id(),
            max_content_len: Some(max_content_len),
            timeouts: Some(STANDARD.encode(self.core.timeouts.to_bytes())),
        };
        connection.send(&hello)?;
        connection.flush()?;
        while let Some(line) = connection.line()? {
            connection.begin_answer();
            match Request::parse(&line) {
                Ok(request) => {
                    answering::answer(&self.core, &self.stop, &request, &mut connection)?
                }
                Err(reason) => {
                    let what = format!("this is no request: {reason}");
                    connection.send(&Reply::Error { what, because: Vec::new() })?;
                    return connection.flush();
                }
            }
            connection.flush()?;
        }
        Ok(())
    }
}

/// Tells a client that no place is free, or that the door is being closed. Never waits for the
/// client, since the accepting thread runs this.
fn refuse(stream: Stream, is_closing: bool) {
    let what = match is_closing {
        true => "the program is closing the store".into(),
        false => format!("{MAX_CLIENTS} clients are there already; try again"),
    };
    let reply = Reply::Error { what, because: Vec::new() };
    let _ = stream.never_wait();
    if let Ok(mut connection) = Connection::new(stream, 0, Patience::USUAL) {
        let _ = connection.send(&reply).and_then(|()| connection.flush());
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.listening.remove();
        shared.stop.store(true, Ordering::Release);
        shared.listening.end();
        let own = thread::current().id();
        let join = |thread: Option<JoinHandle<()>>| {
            // An observer can drop the last handle of the store in one of these threads.
            if let Some(thread) = thread.filter(|thread| thread.thread().id() != own) {
                let _ = thread.join();
            }
        };
        join(self.waiting.take());
        let threads: Vec<_> = {
            let mut clients = shared.clients.lock();
            clients
                .there
                .values_mut()
                .map(|client| {
                    client.stream.end();
                    client.thread.take()
                })
                .collect()
        };
        threads.into_iter().for_each(join);
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use super::*;
    use crate::store::SessionStore;

    /// A limit that no test reaches.
    const NEVER: Duration = Duration::from_secs(3_600);
    const PATIENT: Patience = Patience { idle: NEVER, write: NEVER, answer: NEVER };
    const SHORT: Duration = Duration::from_millis(100);

    struct World {
        folder: tempfile::TempDir,
        _store: SessionStore<String>,
        door: Door,
    }

    impl World {
        /// A store with an answer to `scan` that no socket's buffer holds.
        fn new(patience: Patience) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = SessionStore::builder().manual_maintenance().in_memory().unwrap();
            for _ in 0..256 {
                store.create("x".repeat(16_384)).unwrap();
            }
            let listening = Listening::at(&folder.path().join("door")).unwrap();
            let door = Door::open(store.shared_core(), listening, patience).unwrap();
            Self { folder, _store: store, door }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("door")
        }

        /// Comes in, and reads the greeting.
        fn client(&self) -> BufReader<UnixStream> {
            let mut client = BufReader::new(UnixStream::connect(self.path()).unwrap());
            client.get_mut().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            client.get_mut().set_write_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut line = String::new();
            client.read_line(&mut line).unwrap();
            assert!(line.contains("hello"));
            client
        }

        /// Waits until no client has a thread.
        fn wait_until_alone(&self) {
            for _ in 0..60_000 {
                if self.door.shared.clients.lock().there.is_empty() {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            panic!("the client is there still");
        }
    }

    #[test]
    fn the_limits_are_those_that_the_page_of_the_protocol_names() {
        let Patience { idle, write, answer } = Patience::USUAL;
        let page = include_str!("../../../docs/internals/admin-protocol.md");
        for (limit, words) in [(idle, "30 s"), (write, "60 s"), (answer, "1 hour")] {
            assert!(page.contains(words), "{limit:?}");
        }
        assert_eq!([idle, write, answer].map(|limit| limit.as_secs()), [30, 60, 3_600]);
    }

    #[test]
    fn a_client_that_has_left_takes_no_place() {
        let world = World::new(PATIENT);
        for _ in 0..2 * MAX_CLIENTS {
            let (ours, theirs) = UnixStream::pair().unwrap();
            drop(ours);
            world.door.shared.admit(Stream::of(theirs));
        }
        assert_eq!(world.door.shared.clients.lock().next, 0);
        // One that sends no more is greeted.
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        world.door.shared.admit(Stream::of(theirs));
        let mut line = String::new();
        BufReader::new(ours).read_line(&mut line).unwrap();
        assert!(line.contains("hello"), "{line}");
        world.wait_until_alone();
    }

    #[test]
    fn a_client_that_comes_while_the_door_is_being_closed_is_told_so() {
        let world = World::new(PATIENT);
        for (stop, told) in [(true, "closing the store"), (false, "hello")] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            world.door.shared.stop.store(stop, Ordering::Release);
            world.door.shared.admit(Stream::of(theirs));
            let mut line = String::new();
            BufReader::new(ours).read_line(&mut line).unwrap();
            assert!(line.contains(told), "{line}");
        }
        world.wait_until_alone();
    }

    #[test]
    fn a_client_that_asks_nothing_is_cut_off() {
        let world = World::new(Patience { idle: SHORT, ..PATIENT });
        let mut client = world.client();
        assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
        world.wait_until_alone();
    }

    #[test]
    fn a_client_that_sends_its_request_byte_by_byte_is_cut_off() {
        // Each byte comes long before the limit, and all of them are a short request.
        let world = World::new(Patience { idle: Duration::from_secs(1), ..PATIENT });
        let mut client = world.client();
        let sent = (0..2_000)
            .take_while(|_| {
                thread::sleep(Duration::from_millis(2));
                client.get_mut().write_all(b" ").is_ok()
            })
            .count();
        assert!(sent < 2_000, "the limit is for the whole line");
        world.wait_until_alone();
    }

    #[test]
    fn a_client_that_does_not_read_its_answer_is_cut_off() {
        let world = World::new(Patience { write: SHORT, ..PATIENT });
        let mut client = world.client();
        client.get_mut().write_all(b"{\"call\":\"scan\",\"after\":null}\n").unwrap();
        world.wait_until_alone();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("done"));
    }

    #[test]
    fn a_client_that_reads_its_answer_too_slowly_is_cut_off() {
        let world = World::new(Patience { answer: SHORT, ..PATIENT });
        let mut client = world.client();
        client.get_mut().write_all(b"{\"call\":\"scan\",\"after\":null}\n").unwrap();
        let mut rest = Vec::new();
        let mut bytes = [0; 16_384];
        while let Ok(len @ 1..) = client.read(&mut bytes) {
            rest.extend_from_slice(&bytes[..len]);
            thread::sleep(Duration::from_millis(2));
        }
        assert!(!String::from_utf8_lossy(&rest).contains("done"));
        world.wait_until_alone();
    }

    #[test]
    fn a_client_that_floods_is_cut_off_whether_it_sends_lines_or_none() {
        let world = World::new(Patience { write: SHORT, ..PATIENT });
        for flood in ["x".repeat(4_096), "{\"call\":\"count\"}\n".repeat(256)] {
            let mut client = world.client();
            // It reads nothing, and sends far more than the buffers of a socket hold.
            let sent = (0..100_000)
                .take_while(|_| client.get_mut().write_all(flood.as_bytes()).is_ok())
                .count();
            assert!(sent < 100_000, "{sent}");
            world.wait_until_alone();
        }
        assert_eq!(world.client().get_mut().write(b"\n").unwrap(), 1, "others are let in");
    }
}
