//! The Unix socket: created in a private folder, moved to its path in one step, removed at the end.
//!
//! Invariant: other users can connect at no moment, and the socket of another program is neither
//! replaced nor removed.

mod bound;
mod found;

use std::fs;
use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::admin::socket::transport::unix::bound::bind;
use crate::admin::socket::transport::unix::found::Found;
use crate::descriptors::beside_standard_streams;
use crate::error::{Error, Result};

/// The longest wait for a client before the thread checks whether to stop.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

pub(in crate::admin::socket) struct Listening {
    listener: UnixListener,
    path: PathBuf,
    identity: Option<Identity>,
}

impl Listening {
    /// Listens at a path that is free, or that holds the socket of a program that has ended.
    pub(in crate::admin::socket) fn at(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("open the admin socket at", path, error);
        // A socket can be moved to a path that is too long for a socket address, but no client
        // could connect.
        SocketAddr::from_pathname(path).map_err(failed)?;
        let (listener, identity) = bind(path).map_err(failed)?;
        let listener = beside_standard_streams(listener);
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, path: path.into(), identity })
    }

    /// The next client; `None` if none comes within a second.
    pub(in crate::admin::socket) fn accept(&self) -> io::Result<Option<Stream>> {
        let mut sockets = [PollFd::new(&self.listener, PollFlags::IN)];
        if poll(&mut sockets, Some(&LOOK)).is_err() {
            return Ok(None);
        }
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                Ok(Some(Stream(beside_standard_streams(stream))))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the socket if the path still holds this one.
    pub(in crate::admin::socket) fn remove(&self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Wakes the thread in `accept`, and refuses further clients.
    pub(in crate::admin::socket) fn end(&self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

pub(in crate::admin::socket) struct Stream(UnixStream);

impl Stream {
    #[cfg(test)]
    pub(in crate::admin::socket) const fn of(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Connects to the socket at a path, and follows no symbolic link: whoever may write to the
    /// folder could lead a more powerful user to another store with one.
    pub(in crate::admin::socket) fn connect(path: &Path) -> io::Result<Self> {
        Self::connect_to(&Found::at(path)?)
    }

    /// Connects to the socket that was found beside a store's file. The file's owner may have put
    /// the socket of another user's program there.
    pub(in crate::admin::socket) fn connect_beside(file: &Path, path: &Path) -> io::Result<Self> {
        let found = Found::at(path)?;
        let stream = Self::connect_to(&found)?;
        let owner = match fs::symlink_metadata(file) {
            Ok(file) => file.uid(),
            // A store without a file may have its socket there, which has an owner too.
            Err(error) if error.kind() == ErrorKind::NotFound => found.owner,
            Err(error) => return Err(error),
        };
        match stream.user()?.unwrap_or(found.owner) {
            user if user == owner => Ok(stream),
            user => Err(io::Error::other(format!(
                "the program is of user {user}, and the store's file of user {owner}; name the \
                 socket to use it"
            ))),
        }
    }

    fn connect_to(found: &Found<'_>) -> io::Result<Self> {
        if let Some(itself) = found.itself() {
            match UnixStream::connect(itself) {
                // The system has no folder of open files.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                connected => return connected.map(Self),
            }
        }
        let stream = UnixStream::connect(found.path)?;
        match identity(found.path) == Some(found.identity) {
            true => Ok(Self(stream)),
            false => Err(io::Error::other("it was replaced meanwhile; try again")),
        }
    }

    /// The user of the program that listens.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn user(&self) -> io::Result<Option<u32>> {
        let peer = rustix::net::sockopt::socket_peercred(&self.0)?;
        Ok(Some(peer.uid.as_raw()))
    }

    /// The system does not report the program's user; the socket's owner decides.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const fn user(&self) -> io::Result<Option<u32>> {
        Ok(None)
    }

    /// Whether the client's user may connect.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(in crate::admin::socket) fn is_allowed(&self) -> bool {
        let own = rustix::process::geteuid();
        rustix::net::sockopt::socket_peercred(&self.0)
            .is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
    }

    /// The system does not report the client's user; the socket's mode decides.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(in crate::admin::socket) fn is_allowed(&self) -> bool {
        true
    }

    /// Whether the client has closed the connection and asked nothing, as this process does when it
    /// looks whether its own socket can be reached. One that only sends no more is still there.
    pub(in crate::admin::socket) fn has_left(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let mut sockets = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let is_closed = poll(&mut sockets, Some(&now)).is_ok()
            && sockets.iter().any(|socket| socket.revents().contains(PollFlags::HUP));
        let seen = recv(&self.0, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        is_closed && matches!(seen, Ok((_, 0)))
    }

    pub(in crate::admin::socket) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(in crate::admin::socket) fn set_read_timeout(
        &self,
        most: Option<Duration>,
    ) -> io::Result<()> {
        self.0.set_read_timeout(most)
    }

    pub(in crate::admin::socket) fn set_write_timeout(&self, most: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(most))
    }

    /// Makes reads and writes fail instead of waiting.
    pub(in crate::admin::socket) fn never_wait(&self) -> io::Result<()> {
        self.0.set_nonblocking(true)
    }

    /// Ends the connection, and wakes every thread that waits for it.
    pub(in crate::admin::socket) fn end(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether the path holds a socket. A symbolic link to one is none.
pub(in crate::admin::socket) fn is_door(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
