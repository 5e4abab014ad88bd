//! From a host name to a connected socket, within a deadline.
//!
//! Invariant: neither the resolver nor an address that does not answer uses the time of the steps
//! after it. This file knows no protocol.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::descriptors::beside_standard_streams;
use crate::engine::network::backend::Attempt;
use crate::engine::network::deadline::Deadline;
use crate::engine::network::failure::Failure;
use crate::engine::network::transport::location::Address;
use crate::engine::network::transport::timed::too_late;

/// Connects a socket to the first of the host's addresses that answers.
///
/// # Errors
///
/// [`Failure::NotDone`] with the last address's error.
pub(super) fn connect(address: &Address, deadline: Deadline) -> Attempt<TcpStream> {
    let (host, port) = (address.host.clone(), address.port);
    let candidates = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let name = format!("{host}:{port}");
            resolved(name, deadline, move || Ok((host, port).to_socket_addrs()?.collect()))?
        }
    };
    connect_to(&candidates, deadline)
}

/// Connects a socket to the first of the addresses that answers.
///
/// # Errors
///
/// [`Failure::NotDone`] with the last address's error.
pub(super) fn connect_to(candidates: &[SocketAddr], deadline: Deadline) -> Attempt<TcpStream> {
    first_of(candidates, deadline, |candidate, left| {
        let socket = beside_standard_streams(TcpStream::connect_timeout(candidate, left)?);
        socket.set_nodelay(true)?;
        Ok(socket)
    })
}

/// Asks the operating system for addresses. Its resolver has no deadline, so it runs on its own
/// thread, which ends when the resolver returns. Callers that ask for the same name meanwhile wait
/// for the same thread.
pub(crate) fn resolved(
    name: String,
    deadline: Deadline,
    look: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Attempt<Vec<SocketAddr>> {
    let failed = |error: String| {
        Failure::not_done(format!("the name of the host could not be resolved: {error}"))
    };
    deadline.remaining().ok_or_else(|| failed(too_late().to_string()))?;
    let look_up = LookUp::begun(name, look).map_err(|error| failed(error.to_string()))?;
    let mut found = look_up.found.lock();
    loop {
        if let Some(found) = &*found {
            return found.clone().map_err(failed);
        }
        if look_up.has_found.wait_until(&mut found, deadline.as_instant()).timed_out() {
            return found.clone().unwrap_or_else(|| Err(too_late().to_string())).map_err(failed);
        }
    }
}

/// A look-up of a name on its own thread.
#[derive(Default)]
struct LookUp {
    found: Mutex<Option<Result<Vec<SocketAddr>, String>>>,
    has_found: Condvar,
}

type LookUps = BTreeMap<(u32, String), Arc<LookUp>>;

/// The look-ups that run, by process and name. A forked process has no thread of its parent.
static RUNNING: StdMutex<LookUps> = StdMutex::new(BTreeMap::new());

/// The look-ups that run; `None` if another thread has them for a second. A process that was forked
/// in a moment when a thread had them never gets them. Not parking_lot's mutex: one that waits
/// takes a lock of the whole process.
fn running() -> Option<MutexGuard<'static, LookUps>> {
    (0..1_000).find_map(|_| match RUNNING.try_lock() {
        Ok(running) => Some(running),
        Err(TryLockError::Poisoned(running)) => Some(running.into_inner()),
        Err(TryLockError::WouldBlock) => {
            thread::sleep(Duration::from_millis(1));
            None
        }
    })
}

impl LookUp {
    /// Returns the look-up of this name that runs, or else begins it. Without the list of those
    /// that run, it begins one of its own.
    fn begun(
        name: String,
        look: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let key = (std::process::id(), name);
        let mut running = running();
        if let Some(look_up) = running.as_ref().and_then(|running| running.get(&key)) {
            return Ok(Arc::clone(look_up));
        }
        let look_up = Arc::new(Self::default());
        let ending = (running.is_some().then(|| key.clone()), Arc::clone(&look_up));
        let thread = thread::Builder::new().name("sessile-resolve".into());
        thread.spawn(move || {
            let (key, look_up) = ending;
            let ending = Ending { key, look_up };
            let found = look().map_err(|error| error.to_string());
            *ending.look_up.found.lock() = Some(found);
        })?;
        if let Some(running) = &mut running {
            running.insert(key, Arc::clone(&look_up));
        }
        Ok(look_up)
    }
}

/// Ends a look-up, also one that panics.
struct Ending {
    /// If it is in the list of those that run.
    key: Option<(u32, String)>,
    look_up: Arc<LookUp>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(key) = &self.key
            && let Some(mut running) = running()
        {
            running.remove(key);
        }
        self.look_up.found.lock().get_or_insert_with(|| Err("the resolver died".into()));
        self.look_up.has_found.notify_all();
    }
}

/// Returns the result for the first address that answers; each address gets an equal share of the
/// time left.
fn first_of<T>(
    candidates: &[SocketAddr],
    deadline: Deadline,
    mut connect: impl FnMut(&SocketAddr, Duration) -> io::Result<T>,
) -> Attempt<T> {
    let mut last = None;
    for (at, candidate) in candidates.iter().enumerate() {
        let Some(left) = deadline.remaining() else {
            last.get_or_insert_with(too_late);
            break;
        };
        let others = u32::try_from(candidates.len() - at).unwrap_or(u32::MAX);
        match connect(candidate, (left / others).max(Duration::from_millis(1))) {
            Ok(connected) => return Ok(connected),
            Err(error) => last = Some(error),
        }
    }
    let last =
        last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    Err(Failure::not_done(format!("could not connect: {last}")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_resolver_that_does_not_answer_is_not_waited_for() {
        let (go_on, may_go_on) = channel::<()>();
        let found =
            resolved("hangs".into(), Deadline::after(Duration::from_millis(20)), move || {
                // Blocks until the test ends.
                let _ = may_go_on.recv();
                Ok(Vec::new())
            });
        assert!(matches!(found, Err(Failure::NotDone(_))), "{found:?}");
        drop(go_on);
    }

    #[test]
    fn a_name_is_looked_up_by_one_thread_at_a_time() {
        let (go_on, may_go_on) = channel::<()>();
        let (looked, looks) = channel();
        let may_go_on = Arc::new(Mutex::new(may_go_on));
        let attempt = |deadline| {
            let (looked, may_go_on) = (looked.clone(), Arc::clone(&may_go_on));
            resolved("one".into(), deadline, move || {
                looked.send(()).unwrap();
                let _ = may_go_on.lock().recv();
                Ok(Vec::new())
            })
        };
        for _ in 0..3 {
            assert!(attempt(Deadline::after(Duration::from_millis(20))).is_err());
        }
        drop(go_on);
        assert!(attempt(Deadline::after(HOUR)).is_ok());
        looks.recv().unwrap();
        let later = looks.try_iter().count();
        assert!(later <= 1, "{later}: each attempt has left a thread");
    }

    #[test]
    fn what_the_resolver_says_is_passed_on() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7));
        let found = resolved("here".into(), Deadline::after(HOUR), move || Ok(vec![address]));
        assert_eq!(found.unwrap(), [address]);
        let refused = resolved("nowhere".into(), Deadline::after(HOUR), || {
            Err(io::Error::other("no such name"))
        });
        let Err(Failure::NotDone(reason)) = refused else { panic!("{refused:?}") };
        assert!(reason.to_string().contains("no such name"), "{reason}");
    }

    #[test]
    fn an_address_that_does_not_answer_leaves_time_to_the_others() {
        let candidates = [1, 2, 3, 4].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut given = Vec::new();
        let connected = first_of(&candidates, Deadline::after(HOUR), |candidate, left| {
            given.push(left);
            match candidate.port() {
                3 => Ok(candidate.port()),
                _ => Err(io::ErrorKind::TimedOut.into()),
            }
        });
        assert_eq!(connected.unwrap(), 3);
        let parts = [4, 3, 2];
        assert_eq!(given.len(), parts.len());
        for (given, part) in given.iter().zip(parts) {
            assert!(*given <= HOUR / part && *given > HOUR / (part + 1), "{given:?}");
        }
    }

    #[test]
    fn a_host_that_is_not_reached_says_why() {
        let failure = first_of::<()>(&[], Deadline::after(HOUR), |_, _| unreachable!());
        let Err(Failure::NotDone(reason)) = failure else { panic!("{failure:?}") };
        assert!(reason.to_string().contains("no address"), "{reason}");
        let candidate = [SocketAddr::from(([127, 0, 0, 1], 1))];
        let passed = Deadline::after(Duration::ZERO);
        let failure = first_of::<()>(&candidate, passed, |_, _| unreachable!());
        assert!(matches!(failure, Err(Failure::NotDone(_))), "{failure:?}");
    }
}
