//! The admin socket of a running program: a Unix socket beside the store's file, or a named pipe on
//! Windows. Through it the tool, or an [`Inspector`](crate::Inspector), uses the store while the
//! program has the file open.
//!
//! Invariant: the socket is not reachable over a network, only users who may open the file may
//! connect, and no session id goes through it. docs/internals/admin-protocol.md describes every
//! line.

mod answering;
mod client;
mod connection;
mod protocol;
mod request;
mod serving;
mod transport;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::socket::connection::Patience;
use crate::admin::socket::serving::Door;
use crate::admin::socket::transport::{Listening, is_door};
use crate::error::{Error, Result};
use crate::store::SessionStore;

pub use client::RunningStore;

/// The path of the admin socket of a running store.
///
/// On Unix a socket is at the path. On Windows it is a small file with the name of a pipe; the
/// program holds the file open, and the system removes it when the program ends.
///
/// # Examples
///
/// See [`SessionStore::serve_admin`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "hand it to `serve_admin`"]
pub struct AdminSocket {
    at: Option<PathBuf>,
}

/// The suffix of the socket's name, after the name of the store's file.
const SUFFIX: &str = ".admin";

impl AdminSocket {
    /// Beside the store's file, at its path plus `.admin`, where the tool finds the socket.
    pub const fn beside_file() -> Self {
        Self { at: None }
    }

    /// At another path: use this if the program may not write to the file's folder, if its file
    /// system has no sockets, as those of USB sticks (FAT, exFAT) and some folders that a virtual
    /// machine shares, or if the absolute path is too long for a socket (108 bytes on Linux, 104 on
    /// other Unix systems).
    ///
    /// Give each program its own path. Of several that start at one path, one gets the socket, and
    /// the others an error.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { at: Some(path.into()) }
    }

    /// The path of a socket beside this store's file.
    #[must_use]
    pub fn path_beside(file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(SUFFIX);
        path.into()
    }

    /// Whether the path holds an admin socket, or one that a killed program left: a socket, or on
    /// Windows a file with the name of a pipe. A symbolic link is neither.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        is_door(path)
    }
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Opens an admin socket for the tool `sessile`, which then lists, shows and ends sessions,
    /// sweeps, checks, backs up, exports, and copies sessions in, while this program runs.
    ///
    /// One thread accepts clients, at most 8 at a time, and each client has a thread while it is
    /// connected. A client that dies, stalls, floods or sends garbage loses its own connection and
    /// has no other effect. The socket is closed and removed when the store is closed or its last
    /// handle is dropped. A socket that a killed program left is replaced.
    ///
    /// # Security
    ///
    /// A client sees every user and content, and can end any session. It can add sessions, and so
    /// log in as any user. Its user could do the same with the file. No session id is shown or
    /// accepted, and nothing is reachable over a network.
    ///
    /// On Unix the socket has mode 0600. On Linux and Android a client must also run as this
    /// process' user or as root.
    ///
    /// On Windows the pipe's access list admits the pipe's owner, administrators and the system,
    /// from this machine only. Administrators own the pipe of an elevated process. The name is
    /// random, so no other process can take it first, and the pipe of another program is never
    /// shared. Any process of the same user has the same rights to the pipe as this one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if the store has no file and no path is given, or if the store
    /// already has an admin socket. [`Error::Io`] if another program's socket or another file is at
    /// the path, if a killed program's socket is there and another program keeps the folder locked
    /// for 5 seconds, if the file system has no sockets that clients can reach, or if the system
    /// refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::admin::{AdminSocket, RunningStore};
    /// use sessile::{Inspector, SessionStore};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let store = SessionStore::<u32>::open(&path)?;
    /// store.serve_admin(AdminSocket::beside_file())?;
    /// let key = store.create_for_user("ann", 1)?.key();
    ///
    /// // In another process:
    /// let inspector = Inspector::on(RunningStore::beside(&path)?)?;
    /// assert!(inspector.revoke(&key)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve_admin(&self, socket: AdminSocket) -> Result<()> {
        let core = self.shared_core();
        core.ensure_open()?;
        let beside = || core.file.as_deref().map(AdminSocket::path_beside);
        let Some(path) = socket.at.or_else(beside) else {
            return Err(Error::setting("serve_admin", "needs a path where the store has no file"));
        };
        // The program may change its working directory before the socket is removed.
        let path = std::path::absolute(&path)
            .map_err(|error| Error::io("find the place of the admin socket", &path, error))?;
        self.guests().keep(&core, "serve_admin", || {
            let listening = Listening::at(&path)?;
            Ok(Box::new(Door::open(Arc::clone(&core), listening, Patience::USUAL)?))
        })
    }
}
