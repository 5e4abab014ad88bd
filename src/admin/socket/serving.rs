//! The door itself: a thread that waits for clients, and one for each client that is there.
//!
//! Invariant: once it is closed none of its threads runs, and none of them holds the store open.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::admin::socket::answering;
use crate::admin::socket::connection::Connection;
use crate::admin::socket::listening::{Listening, is_allowed};
use crate::admin::socket::protocol::{Reply, Request, VERSION};
use crate::error::{Error, Result};
use crate::store::core::StoreCore;

/// How many clients may be there at a time.
const MAX_CLIENTS: usize = 8;
const THREAD: &str = "sessile-admin";
/// How often the thread that waits sees whether it is to stop, where nothing wakes it.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// An open door; dropping it closes it.
pub(super) struct Door {
    shared: Arc<Shared>,
    waiting: Option<JoinHandle<()>>,
}

struct Shared {
    core: Arc<StoreCore>,
    listening: Listening,
    stop: AtomicBool,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Default)]
struct Clients {
    next: u64,
    there: HashMap<u64, Client>,
}

struct Client {
    stream: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    pub(super) fn open(core: Arc<StoreCore>, listening: Listening) -> Result<Self> {
        let failed = |error| Error::io("start the thread of the admin socket at", THREAD, error);
        listening.listener.set_nonblocking(true).map_err(failed)?;
        let shared = Arc::new(Shared {
            core,
            listening,
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
            let mut sockets = [PollFd::new(&self.listening.listener, PollFlags::IN)];
            if poll(&mut sockets, Some(&LOOK)).is_err() || self.stop.load(Ordering::Acquire) {
                continue;
            }
            match self.listening.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Most likely there are too many open files, and asking at once would spin.
                Err(_) => thread::sleep(std::time::Duration::from_millis(100)),
            }
        }
    }

    /// Lets a client in, if it may come and there is room; else its connection ends.
    fn admit(self: &Arc<Self>, stream: UnixStream) {
        if !is_allowed(&stream) || stream.set_nonblocking(false).is_err() {
            return;
        }
        let Ok(to_end_it) = stream.try_clone() else { return };
        let mut clients = self.clients.lock();
        if clients.there.len() >= MAX_CLIENTS || self.stop.load(Ordering::Acquire) {
            drop(clients);
            refuse(stream);
            return;
        }
        let number = clients.next;
        clients.next += 1;
        let (shared, all) = (Arc::clone(self), Arc::clone(&self.clients));
        let serve = move || {
            // A client that is gone has nothing to hear. An engine that panics ends this client's
            // connection, and its place is free again.
            let _ = catch_unwind(AssertUnwindSafe(|| shared.serve(stream)));
            // The door waits for those in the list alone: who is not in it must not hold the store.
            drop(shared);
            all.lock().there.remove(&number);
        };
        // It waits for the lock that is held here before it takes itself out.
        if let Ok(thread) = thread::Builder::new().name(THREAD.into()).spawn(serve) {
            let client = Client { stream: to_end_it, thread: Some(thread) };
            clients.there.insert(number, client);
        }
    }

    fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        let hello = Reply::Hello { sessile_admin: VERSION, pid: std::process::id() };
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

/// Tells a client that there is no room for it; whoever waits for clients waits for none of them.
fn refuse(stream: UnixStream) {
    let what = format!("{MAX_CLIENTS} clients are there already; try again");
    let reply = Reply::Error { what, because: Vec::new() };
    let _ = stream.set_nonblocking(true);
    if let Ok(mut connection) = Connection::new(stream) {
        let _ = connection.send(&reply).and_then(|()| connection.flush());
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.listening.remove();
        shared.stop.store(true, Ordering::Release);
        let _ = rustix::net::shutdown(&shared.listening.listener, rustix::net::Shutdown::Both);
        let own = thread::current().id();
        let join = |thread: Option<JoinHandle<()>>| {
            // An observer may drop the last handle in one of these threads.
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
                    let _ = client.stream.shutdown(Shutdown::Both);
                    client.thread.take()
                })
                .collect()
        };
        threads.into_iter().for_each(join);
    }
}
