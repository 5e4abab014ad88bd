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

use crate::engine::redb::storage::platform::move_to_nothing;
use crate::error::{Error, Result};
use crate::random::{RandomSource, SystemRandom};

pub(super) struct Listening {
    pub(super) listener: UnixListener,
    path: PathBuf,
    identity: Option<Identity>,
}

impl Listening {
    /// Listens at a path that is free, or where a program that is gone has left its socket.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("open the admin socket at", path, error);
        // Nobody could connect to a path that is too long for a socket, though it can be put there.
        SocketAddr::from_pathname(path).map_err(failed)?;
        let found = look_at(path).map_err(failed)?;
        let (listener, identity) = bind(path, found).map_err(failed)?;
        Ok(Self { listener, path: path.into(), identity })
    }

    /// Removes the socket, if it is the one that was put there.
    pub(super) fn remove(&self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Refuses what is not to be replaced. Which socket is there that nobody listens at, if one is.
fn look_at(path: &Path) -> io::Result<Option<Identity>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else already"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another program answers there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            Ok(Some((found.dev(), found.ino())))
        }
        Err(error) => Err(error),
    }
}

/// A folder that nobody else may enter holds the socket until it has its mode. It is put in its
/// place if nothing is there, in one step: somebody else may be faster.
fn bind(path: &Path, dead: Option<Identity>) -> io::Result<(UnixListener, Option<Identity>)> {
    let folder = private_folder(path)?;
    let private = folder.join("s");
    let bound = UnixListener::bind(&private).and_then(|listener| {
        fs::set_permissions(&private, Permissions::from_mode(0o600))?;
        let own = identity(&private);
        if dead.is_some() && identity(path) == dead {
            fs::remove_file(path)?;
        }
        move_to_nothing(&private, path)?;
        Ok((listener, own))
    });
    let _ = fs::remove_file(&private);
    let _ = fs::remove_dir(&folder);
    bound
}

/// A new folder beside a path. Its name is short: with the `/s` of the socket in it, it is no longer
/// than the shortest name that a socket beside a file has. It is shorter still where it has to be.
fn private_folder(path: &Path) -> io::Result<PathBuf> {
    const DRAWS: usize = 64;
    let named = |bits: u16, digits: usize| path.with_file_name(format!(".{bits:0digits$x}"));
    let fits = SocketAddr::from_pathname(named(0, 4).join("s")).is_ok();
    for _ in 0..DRAWS {
        let mut bits = [0; 2];
        SystemRandom.fill(&mut bits).map_err(io::Error::other)?;
        let bits = u16::from_be_bytes(bits);
        let folder = if fits { named(bits, 4) } else { named(bits % 16, 1) };
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return created.map(|()| folder),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "there are too many folders of such a name"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_put_at_the_path_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        fs::write(&path, "a thesis").unwrap();
        assert_eq!(bind(&path, None).unwrap_err().kind(), ErrorKind::AlreadyExists);
        // Nor where a dead socket was there a moment ago.
        let dead = folder.path().join("dead");
        drop(UnixListener::bind(&dead).unwrap());
        let found = look_at(&dead).unwrap();
        assert_eq!(bind(&path, found).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        assert!(bind(&dead, found).is_ok());
        assert_eq!(names(folder.path()), ["dead", "door"]);
    }

    #[test]
    fn a_path_that_fits_a_socket_just_so_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let fits = |path: &Path| SocketAddr::from_pathname(path).is_ok();
        for name in ["a.admin", "door"] {
            let place = |filling: usize| folder.path().join("x".repeat(filling)).join(name);
            let longest = (1..200).rev().find(|filling| fits(&place(*filling))).unwrap();
            fs::create_dir(place(longest).parent().unwrap()).unwrap();
            let listening = Listening::at(&place(longest)).unwrap();
            assert!(UnixStream::connect(place(longest)).is_ok());
            listening.remove();
            assert!(Listening::at(&place(longest + 1)).is_err());
            fs::remove_dir(place(longest).parent().unwrap()).unwrap();
        }
    }
}
