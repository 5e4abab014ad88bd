//! "Keep me logged in": where the session id is kept for the next start.
//!
//! The store holds digests and cannot give an id back. So the id goes into the system's keyring,
//! or into a file beside the store that only this user may read. The file `login` holds the word
//! `keyring`, or the id itself.
//!
//! Invariant: the id gives a login, so no error and no `Debug` of this module contains it. The file
//! always has mode 0600, and exists complete or not at all. It says `keyring` before an id is in the
//! keyring and until none is there any more, so that no id stays there unknown.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sessile::SessionId;
use zeroize::Zeroizing;

/// The file's name, and its text if the id is in the keyring.
const FILE: &str = "login";
const IN_KEYRING: &str = "keyring";
/// The most bytes that are read of the file.
const MAX_LEN: u64 = 64;

/// Where the user wants the id to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the login ends with the window.
    #[default]
    Nowhere,
    /// In a file of mode 0600 beside the store, protected as the store itself is.
    File,
    /// In the system's keyring, which the user's password or the system's login unlocks.
    Keyring,
}

impl Place {
    /// Whether this build supports a keyring. The system may still have none; the first use shows.
    pub const HAS_KEYRING: bool = cfg!(feature = "keyring");
}

/// Keeps one id for the programs that use one folder.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    keyring: Box<dyn Keyring>,
}

impl Keeper {
    /// The keeper for the store in this folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self::with(folder, Box::new(keyring::System))
    }

    fn with(folder: &Path, keyring: Box<dyn Keyring>) -> Self {
        Self { folder: folder.into(), keyring }
    }

    /// Keeps the id for the next start, in place of any that was kept before.
    ///
    /// # Errors
    ///
    /// If the disk or the keyring refuses. Nothing is kept then, unless the error says where an id
    /// still is.
    pub fn keep(&self, place: Place, id: &SessionId) -> io::Result<()> {
        self.forget()?;
        let kept = self.put(place, id);
        if kept.is_err() {
            // A keyring may have taken the id and failed to say so.
            self.forget()?;
        }
        kept
    }

    fn put(&self, place: Place, id: &SessionId) -> io::Result<()> {
        let encoded = Zeroizing::new(id.encode());
        match place {
            Place::Nowhere => Ok(()),
            Place::File => self.write_private(encoded.as_bytes()),
            Place::Keyring => {
                self.keyring.is_there(&self.folder)?;
                // The file is written first: without it, nobody would remove the keyring's id.
                self.write_private(IN_KEYRING.as_bytes())?;
                self.keyring.set(&self.folder, &encoded)
            }
        }
    }

    /// The kept id, if there is one.
    ///
    /// # Errors
    ///
    /// If the file or the keyring cannot be read, or others may read the file.
    pub fn find(&self) -> io::Result<Option<(Place, SessionId)>> {
        let mut text = Zeroizing::new(String::new());
        match File::open(self.file()) {
            Ok(file) => {
                refuse_if_shared(&file)?;
                file.take(MAX_LEN).read_to_string(&mut text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        if text.as_str() != IN_KEYRING {
            return Ok(SessionId::parse(&text).ok().map(|id| (Place::File, id)));
        }
        let kept = self.keyring.get(&self.folder)?;
        let id = kept.and_then(|encoded| SessionId::parse(&encoded).ok());
        Ok(id.map(|id| (Place::Keyring, id)))
    }

    /// The id in a file that others may read, as in a folder that was copied or restored without
    /// its modes. Whoever has read it has the login, so the caller ends that session.
    #[must_use]
    pub fn exposed(&self) -> Option<SessionId> {
        let file = File::open(self.file()).ok()?;
        refuse_if_shared(&file).err().filter(is_denied)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_LEN).read_to_string(&mut text).ok()?;
        SessionId::parse(&text).ok()
    }

    /// Removes the kept id from wherever it is.
    ///
    /// # Errors
    ///
    /// If the file or the entry in the keyring cannot be removed. The error says where the id still
    /// is; the next call tries again.
    pub fn forget(&self) -> io::Result<()> {
        let in_file = |error| still_kept(error, "beside the store");
        // A killed program may have left an id in the new file.
        fs::remove_file(self.new_file()).or_else(is_gone).map_err(in_file)?;
        let file = self.file();
        let is_in_keyring = match fs::read(&file) {
            Ok(text) => Zeroizing::new(text).as_slice() == IN_KEYRING.as_bytes(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(in_file(error)),
        };
        if is_in_keyring {
            let removed = self.keyring.remove(&self.folder);
            removed.map_err(|error| still_kept(error, "in the keyring"))?;
            return fs::remove_file(file);
        }
        fs::remove_file(file).map_err(in_file)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn new_file(&self) -> PathBuf {
        self.folder.join(format!("{FILE}.new"))
    }

    /// Writes a new file, private from its creation, and renames it to its place.
    fn write_private(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.new_file();
        let written = write_new(&new, bytes).and_then(|()| fs::rename(&new, self.file()));
        if written.is_err() {
            // The new file may be missing, and nobody reads it.
            fs::remove_file(&new).or_else(is_gone)?;
        }
        written
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A killed program may have left this file.
    fs::remove_file(path).or_else(is_gone)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn still_kept(error: io::Error, place: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{error}, and an id is still kept {place}"))
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn is_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// On Windows the folder's own rights keep other users out.
#[cfg_attr(not(unix), expect(unused_variables, clippy::unnecessary_wraps))]
fn refuse_if_shared(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()) & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "other users may read the file with the login, so it is not trusted",
        ));
    }
    Ok(())
}

/// A keyring with one entry per folder, so that two folders do not share a login.
trait Keyring: fmt::Debug + Send {
    /// Fails where there is no keyring.
    fn is_there(&self, folder: &Path) -> io::Result<()>;

    fn set(&self, folder: &Path, encoded: &str) -> io::Result<()>;

    fn get(&self, folder: &Path) -> io::Result<Option<Zeroizing<String>>>;

    fn remove(&self, folder: &Path) -> io::Result<()>;
}

#[cfg(feature = "keyring")]
mod keyring {
    use std::io;
    use std::path::Path;

    use keyring::v1::{Entry, Error};
    use zeroize::Zeroizing;

    const SERVICE: &str = "sessile-example-desktop";

    /// The system's keyring.
    #[derive(Debug)]
    pub(super) struct System;

    impl super::Keyring for System {
        fn is_there(&self, folder: &Path) -> io::Result<()> {
            entry(folder).map(drop)
        }

        fn set(&self, folder: &Path, encoded: &str) -> io::Result<()> {
            entry(folder)?.set_password(encoded).map_err(refused)
        }

        fn get(&self, folder: &Path) -> io::Result<Option<Zeroizing<String>>> {
            match entry(folder)?.get_password() {
                Ok(encoded) => Ok(Some(Zeroizing::new(encoded))),
                Err(Error::NoEntry) => Ok(None),
                Err(error) => Err(refused(error)),
            }
        }

        fn remove(&self, folder: &Path) -> io::Result<()> {
            match entry(folder)?.delete_credential() {
                Ok(()) | Err(Error::NoEntry) => Ok(()),
                Err(error) => Err(refused(error)),
            }
        }
    }

    fn entry(folder: &Path) -> io::Result<Entry> {
        if let Err(error) = Entry::store_status() {
            eprintln!("the keyring: {error}");
            return Err(io::Error::other("this system's keyring does not answer"));
        }
        let name = std::path::absolute(folder)?.to_string_lossy().into_owned();
        Entry::new(SERVICE, &name).map_err(refused)
    }

    /// Only the error's text goes to the log, since some of these errors hold the secret.
    fn refused(error: Error) -> io::Error {
        eprintln!("the keyring: {error}");
        io::Error::other("the system's keyring refused")
    }
}

#[cfg(not(feature = "keyring"))]
mod keyring {
    use std::io;
    use std::path::Path;

    use zeroize::Zeroizing;

    /// In place of the system's keyring.
    #[derive(Debug)]
    pub(super) struct System;

    impl super::Keyring for System {
        fn is_there(&self, _: &Path) -> io::Result<()> {
            none()
        }

        fn set(&self, _: &Path, _: &str) -> io::Result<()> {
            none()
        }

        fn get(&self, _: &Path) -> io::Result<Option<Zeroizing<String>>> {
            none()
        }

        fn remove(&self, _: &Path) -> io::Result<()> {
            none()
        }
    }

    fn none<T>() -> io::Result<T> {
        Err(io::Error::other("this build of the program supports no keyring"))
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
