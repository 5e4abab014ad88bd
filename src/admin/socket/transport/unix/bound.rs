//! Putting a socket at its path.
//!
//! Invariant: a socket of another program is not replaced, nor is anything else at the path. Until
//! its mode is set, the socket is in a folder that only this user may enter.

use std::fs;
use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::admin::socket::transport::unix::{Identity, identity};
use crate::engine::redb::storage::platform::move_to_nothing;
use crate::random::{RandomSource, SystemRandom};

/// Identifies the dead socket at the path, if one is there. Anything else at the path is an error.
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

/// Creates the socket in a folder that only this user may enter, sets its mode, and moves it to the
/// path. The move fails if another process has put something there meanwhile.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Option<Identity>)> {
    look_at(path)?;
    let folder = private_folder(path)?;
    let private = folder.join("s");
    let bound = UnixListener::bind(&private).and_then(|listener| {
        fs::set_permissions(&private, Permissions::from_mode(0o600))?;
        let own = identity(&private);
        let mut _alone = None;
        if look_at(path)?.is_some() {
            // Another program may have replaced the dead socket. Its live one answers, so under the
            // lock it is not removed.
            _alone = alone_in(path)?;
            if let Some(dead) = look_at(path)?
                && identity(path) == Some(dead)
            {
                fs::remove_file(path)?;
            }
        }
        move_to_nothing(&private, path)?;
        ensure_reachable(path, own)?;
        Ok((listener, own))
    });
    let _ = fs::remove_file(&private);
    let _ = fs::remove_dir(&folder);
    bound.map_err(advised)
}

/// Removes a socket to which no client can connect, because its file system does not find the
/// listener.
fn ensure_reachable(path: &Path, own: Option<Identity>) -> io::Result<()> {
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            if own.is_some() && identity(path) == own {
                let _ = fs::remove_file(path);
            }
            Err(io::Error::from(ErrorKind::Unsupported))
        }
        // A full queue of clients is as good.
        _ => Ok(()),
    }
}

/// Adds what to do, to the error of a file system that has no sockets.
fn advised(error: io::Error) -> io::Error {
    let of_a_file_system = [Errno::PERM, Errno::IO, Errno::INVAL, Errno::NODEV, Errno::NXIO];
    let is_one = of_a_file_system.iter().any(|it| error.raw_os_error() == Some(it.raw_os_error()));
    if !is_one && error.kind() != ErrorKind::Unsupported {
        return error;
    }
    let advice = "the file system may have no sockets; name a path on another one with \
                  `AdminSocket::at`";
    io::Error::new(error.kind(), format!("{error}: {advice}"))
}

/// Locks the folder of a path against other programs that open a socket there. `None` if the system
/// cannot lock it, or this user may not list it.
fn alone_in(path: &Path) -> io::Result<Option<File>> {
    const PAUSE: Duration = Duration::from_millis(10);
    const TRIES: usize = 500;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) else { return Ok(None) };
    for _ in 0..TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(io::Error::new(ErrorKind::AddrInUse, "another program keeps its folder locked"))
}

/// Creates a folder beside a path. With `/s` for the socket, its name is no longer than the
/// shortest name of a socket beside a file. If even that is too long for an address, the name is
/// shorter.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::socket::transport::unix::Listening;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_socket_that_no_client_can_reach_is_removed_and_somebody_elses_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let listener = UnixListener::bind(&path).unwrap();
        ensure_reachable(&path, identity(&path)).unwrap();
        // As on a file system that does not find the listener again.
        drop(listener);
        let error = ensure_reachable(&path, Some((0, 0))).unwrap_err();
        assert!(path.exists());
        assert!(advised(error).to_string().contains("`AdminSocket::at`"));
        assert!(ensure_reachable(&path, identity(&path)).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn an_error_of_a_file_system_without_sockets_tells_what_to_do_and_no_other_does() {
        let told = |error: Errno| advised(error.into()).to_string();
        for error in [Errno::PERM, Errno::IO, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(told(error).contains("`AdminSocket::at`"), "{error}");
        }
        for error in [Errno::ACCESS, Errno::NOSPC, Errno::ROFS, Errno::ADDRINUSE] {
            assert!(!told(error).contains("AdminSocket"), "{error}");
        }
    }

    #[test]
    fn what_is_put_at_the_path_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        // The folder is locked until the test has put something there.
        let lock = File::open(folder.path()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        lock.lock().unwrap();
        thread::scope(|scope| {
            let bound = scope.spawn(|| bind(&path).map(drop));
            // It finds the dead socket and waits for the lock once it has its private folder.
            let waits = || names(folder.path()).iter().any(|name| name.starts_with('.'));
            while !waits() && !bound.is_finished() {
                thread::yield_now();
            }
            fs::remove_file(&path).unwrap();
            fs::write(&path, "a thesis").unwrap();
            lock.unlock().unwrap();
            assert_eq!(bound.join().unwrap().unwrap_err().kind(), ErrorKind::AlreadyExists);
        });
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        assert_eq!(names(folder.path()), ["door"]);
    }

    #[test]
    fn a_folder_that_somebody_keeps_locked_is_no_hindrance_where_nothing_is_at_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::open(folder.path()).unwrap();
        lock.lock().unwrap();
        assert!(bind(&folder.path().join("door")).is_ok());
    }

    #[test]
    fn of_programs_that_find_one_dead_socket_one_takes_it_over_and_answers() {
        const PROGRAMS: usize = 4;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        for round in 0..100 {
            drop(UnixListener::bind(&path).unwrap());
            let together = std::sync::Barrier::new(PROGRAMS);
            let opened: Vec<_> = thread::scope(|scope| {
                let open = || {
                    together.wait();
                    Listening::at(&path)
                };
                let threads: Vec<_> = (0..PROGRAMS).map(|_| scope.spawn(open)).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
            });
            let [opened] = &*opened else { panic!("{round}: {} have it", opened.len()) };
            UnixStream::connect(&path).unwrap();
            opened.remove();
            assert_eq!(names(folder.path()), [""; 0]);
        }
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
