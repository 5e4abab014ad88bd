//! What a client has found at the path of a socket: the socket itself, and no link to another.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::admin::socket::transport::unix::Identity;

/// What a client has found at the path of a socket.
pub(super) struct Found<'p> {
    pub(super) path: &'p Path,
    /// Holds what was found, so that a client connects to this and to nothing that is put there
    /// later.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    held: rustix::fd::OwnedFd,
    pub(super) identity: Identity,
    pub(super) owner: u32,
}

impl<'p> Found<'p> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn at(path: &'p Path) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = rustix::fs::open(path, flags, Mode::empty())?;
        let found = std::fs::File::from(held.try_clone()?).metadata()?;
        let (identity, owner) = Self::unless_link(&found)?;
        Ok(Self { path, held, identity, owner })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn at(path: &'p Path) -> io::Result<Self> {
        let (identity, owner) = Self::unless_link(&std::fs::symlink_metadata(path)?)?;
        Ok(Self { path, identity, owner })
    }

    fn unless_link(found: &Metadata) -> io::Result<(Identity, u32)> {
        match found.is_symlink() {
            true => Err(io::Error::other(
                "it is a symbolic link, which may lead to another store; name the socket itself",
            )),
            false => Ok(((found.dev(), found.ino()), found.uid())),
        }
    }

    /// A path of the socket itself, whatever its name leads to by now.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn itself(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd;

        Some(format!("/proc/self/fd/{}", self.held.as_raw_fd()).into())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) const fn itself(&self) -> Option<PathBuf> {
        None
    }
}
