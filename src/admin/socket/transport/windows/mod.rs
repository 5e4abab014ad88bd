//! The named pipe, and the file with its name: created together, removed together.
//!
//! Invariant: only the owner, administrators and the system can open the pipe. Its name cannot be
//! predicted, and no other program shares it.
//!
//! There is no Unix socket here: the standard library and Wine 8 have none on Windows. And the
//! access list does not keep network logins out, because a program started through SSH has one.

mod pipe;
mod place;

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::os::windows::io::OwnedHandle;
use std::path::Path;

use interprocess::os::windows::ToWtf16;
use interprocess::os::windows::named_pipe::pipe_mode::Bytes;
use interprocess::os::windows::named_pipe::{PipeListener, PipeListenerOptions};
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use parking_lot::{Condvar, Mutex};

use crate::admin::socket::transport::windows::pipe::{ANSWERS, REQUESTS, Waits};
use crate::admin::socket::transport::windows::place::{Name, Place};
use crate::error::{Error, Result};

pub(in crate::admin::socket) use pipe::Stream;
pub(in crate::admin::socket) use place::is_door;

/// The access list: full access for the system, administrators and the owner, none for others.
/// Nothing is inherited.
const RIGHTS: &str = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)";

pub(in crate::admin::socket) struct Listening {
    // Dropped first, so that no file names a closed pipe.
    place: Place,
    listener: PipeListener<Bytes, Bytes>,
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Listening {
    /// Listens at a path that is free, or that holds the file of a program that has ended.
    pub(in crate::admin::socket) fn at(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("open the admin socket at", path, error);
        place::look_at(path).map_err(failed)?;
        let name = Name::draw().map_err(failed)?;
        let listener = listen(&name).map_err(failed)?;
        let place = Place::take(path, &name).map_err(failed)?;
        Ok(Self { place, listener, ended: Mutex::default(), wake: Condvar::new() })
    }

    /// The next client; `None` after `end`.
    pub(in crate::admin::socket) fn accept(&self) -> io::Result<Option<Stream>> {
        let mut waits = Waits::for_a_client();
        let mut ended = self.ended.lock();
        while !*ended {
            match self.listener.accept() {
                Ok(client) => {
                    let handle = OwnedHandle::try_from(client)
                        .map_err(|_| io::Error::other("the pipe is in use elsewhere"))?;
                    return Ok(Some(Stream::of(File::from(handle))));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.wake.wait_for(&mut ended, waits.next());
        }
        Ok(None)
    }

    /// Removes the file that names the pipe.
    pub(in crate::admin::socket) fn remove(&self) {
        self.place.leave();
    }

    /// Wakes the thread in `accept`, and refuses further clients.
    pub(in crate::admin::socket) fn end(&self) {
        *self.ended.lock() = true;
        self.wake.notify_all();
    }
}

/// Creates the first instance of the pipe. An existing pipe of the name is an error.
fn listen(name: &Name) -> io::Result<PipeListener<Bytes, Bytes>> {
    let rights = SecurityDescriptor::deserialize(&RIGHTS.to_wtf_16().map_err(io::Error::other)?)?;
    let mut options = PipeListenerOptions::new()
        .nonblocking(true)
        .accept_remote(false)
        .inheritable(false)
        .input_buffer_size_hint(REQUESTS)
        .output_buffer_size_hint(ANSWERS)
        .security_descriptor(Some(rights));
    options.path = name.pipe().to_wtf_16().map_err(io::Error::other)?;
    options.create_duplex::<Bytes>()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_at_the_path_stays_and_a_dead_doors_file_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let at = |path: &Path| Listening::at(path).map(drop).map_err(|error| error.to_string());
        fs::write(&path, "a thesis").unwrap();
        assert!(at(&path).unwrap_err().contains("open the admin socket"));
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        assert!(at(folder.path()).is_err());
        let dead = Name::draw().unwrap().text();
        fs::write(&path, &dead).unwrap();
        let refused = Stream::connect(&path).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let listening = Listening::at(&path).unwrap();
        let mine = fs::read_to_string(&path).unwrap();
        assert!(mine != dead && is_door(&path));
        // While it is open, no process can replace, remove or write its file.
        assert!(at(&path).is_err());
        assert!(fs::remove_file(&path).is_err() && fs::write(&path, "").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), mine);
        listening.remove();
        assert!(!path.exists());
        // A file that is there later belongs to another program.
        fs::write(&path, "a thesis").unwrap();
        listening.remove();
        drop(listening);
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
    }

    #[test]
    fn whoever_waits_for_a_client_is_woken_by_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let listening = Listening::at(&folder.path().join("door")).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| listening.accept().unwrap().is_none());
            listening.end();
            assert!(waiting.join().unwrap());
        });
    }
}
