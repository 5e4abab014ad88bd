//! The socket in the file system: made in private, put in its place in one step, taken away again.
//!
//! Invariant: nobody but this process' user can connect at any moment, and what is another
//! program's is neither replaced nor removed.

use std::fs;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub(super) struct Listening {
    pub(super) listener: UnixListener,
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Listening {
    /// Listens at a path that is free, or where a program that is gone has left its socket.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("open the admin socket at", path, error);
        // Nobody could connect to a path that is too long for a socket, though it can be put there.
        SocketAddr::from_pathname(path).map_err(failed)?;
        ensure_free(path).map_err(failed)?;
        let listener = bind(path).map_err(failed)?;
        Ok(Self { listener, path: path.into(), identity: identity(path) })
    }

    /// Removes the socket, if it is the one that was put there.
    pub(super) fn remove(&self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn ensure_free(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else already"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another program answers there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// A folder that nobody else may enter holds it until it has its mode.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let folder = path.with_file_name(format!(".sessile-admin-{}", std::process::id()));
    let private = folder.join("s");
    let clear = || {
        let _ = fs::remove_file(&private);
        let _ = fs::remove_dir(&folder);
    };
    // Of a process that had the same number, and was killed on the way.
    clear();
    DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = UnixListener::bind(&private).and_then(|listener| {
        fs::set_permissions(&private, Permissions::from_mode(0o600))?;
        fs::rename(&private, path)?;
        Ok(listener)
    });
    clear();
    bound
}

/// Whether the process at the other end may come in, where the system tells whose it is.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}

/// Elsewhere the mode of the socket decides.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn is_allowed(_: &UnixStream) -> bool {
    true
}
