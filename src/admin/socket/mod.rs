//! A door into a running program: a Unix socket beside the store's file, through which the tool, or
//! an [`Inspector`](crate::Inspector), looks into the store while the program has it.
//!
//! Invariant: nothing here is reachable over a network, and whoever may open the file may open the
//! door, and nobody else. No session id goes through it. docs/admin-protocol.md has every line.

mod answering;
mod client;
mod connection;
mod listening;
mod protocol;
mod serving;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::socket::listening::Listening;
use crate::admin::socket::serving::Door;
use crate::error::{Error, Result};
use crate::store::SessionStore;

pub use client::RunningStore;

/// Where the door of a running store is.
///
/// # Examples
///
/// See [`SessionStore::serve_admin`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "hand it to `serve_admin`"]
pub struct AdminSocket {
    at: Option<PathBuf>,
}

/// What stands behind the name of the store's file.
const SUFFIX: &str = ".admin";

impl AdminSocket {
    /// Beside the store's file, under its name with `.admin` behind it, where the tool looks for
    /// it.
    pub const fn beside_file() -> Self {
        Self { at: None }
    }

    /// At a path of its own: for a folder that the program may not write to, or a path that is too
    /// long for a socket (108 bytes on Linux, 104 on others).
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { at: Some(path.into()) }
    }

    /// Where the socket of a store's file is, if it is beside the file.
    #[must_use]
    pub fn path_beside(file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(SUFFIX);
        path.into()
    }
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Opens a door for the tool `sessile`: it lists, shows and ends sessions, sweeps, checks,
    /// backs up and exports while this program runs. On Unix alone; there is no such door on
    /// Windows yet.
    ///
    /// One thread waits for clients, and each of at most 8 at a time has another while it is there.
    /// A client that dies, stalls, floods or sends garbage loses its connection, and nothing else
    /// happens. The door is closed, and the socket removed, when the store is closed or its last
    /// handle goes. A socket that a killed program left is taken over.
    ///
    /// # Security
    ///
    /// The socket has mode 0600, and on Linux each client's user is looked at: it has to be this
    /// process' or root. Whoever comes in may see every user and content, and end any session; they
    /// could open the file as well. No session id is shown or accepted.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if the store has no file and no path is named, or has a door
    /// already. [`Error::Io`] if a socket of another program, or something else, is at the path, or
    /// the system refuses.
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
        self.guests().keep(&core, "serve_admin", || {
            let listening = Listening::at(&path)?;
            Ok(Box::new(Door::open(Arc::clone(&core), listening)?))
        })
    }
}
