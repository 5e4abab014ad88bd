//! "Keep me logged in": where the session id waits for the next start.
//!
//! The store holds digests and cannot give an id back. So the id goes into the system's keyring,
//! or into a file beside the store that this user alone may read. The file `login` says which: it
//! holds the word `keyring`, or the id itself.
//!
//! Invariant: whoever has the id is logged in. No error and no `Debug` here has it, the file is
//! never there with another mode than 0600, and it is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sessile::SessionId;
use zeroize::Zeroizing;

/// The file's name, and what it holds if the id is elsewhere.
const FILE: &str = "login";
const IN_KEYRING: &str = "keyring";
/// No more than this is read of it.
const MAX_LEN: u64 = 64;

/// Where the user wants the id to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the login ends with the window.
    #[default]
    Nowhere,
    /// In a file beside the store, of mode 0600. Worth as much as the store's own mode.
    File,
    /// In the system's keyring, which a password or the login to the system opens.
    Keyring,
}

impl Place {
    /// Whether this build knows a keyring. Whether the system has one, shows when it is used.
    pub const HAS_KEYRING: bool = cfg!(feature = "keyring");
}

/// Keeps one id for the programs that use one folder.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
}

impl Keeper {
    /// For the store in this folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps the id for the next start, in place of any that was kept before.
    ///
    /// # Errors
    ///
    /// If the disk or the keyring refuses. Nothing is kept then.
    pub fn keep(&self, place: Place, id: &SessionId) -> io::Result<()> {
        self.forget()?;
        let encoded = Zeroizing::new(id.encode());
        match place {
            Place::Nowhere => Ok(()),
            Place::File => self.write_private(encoded.as_bytes()),
            Place::Keyring => {
                // First the note where it is: an id that nothing leads to would never be removed.
                self.write_private(IN_KEYRING.as_bytes())?;
                let kept = keyring::set(&self.folder, &encoded);
                if kept.is_err() {
                    fs::remove_file(self.file())?;
                }
                kept
            }
        }
    }

    /// The id that is kept, if one is.
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
        let kept = keyring::get(&self.folder)?;
        let id = kept.and_then(|encoded| SessionId::parse(&encoded).ok());
        Ok(id.map(|id| (Place::Keyring, id)))
    }

    /// Keeps nothing from now on.
    ///
    /// # Errors
    ///
    /// If the file or the entry in the keyring cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        let file = self.file();
        let is_in_keyring = match fs::read(&file) {
            Ok(text) => Zeroizing::new(text).as_slice() == IN_KEYRING.as_bytes(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if is_in_keyring {
            keyring::remove(&self.folder)?;
        }
        fs::remove_file(file)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Writes a new file, for this user alone from its first moment, and puts it into its place.
    fn write_private(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.folder.join(format!("{FILE}.new"));
        let written = write_new(&new, bytes).and_then(|()| fs::rename(&new, self.file()));
        if written.is_err() {
            // It may not be there, and nobody reads it.
            fs::remove_file(&new).or_else(is_gone)?;
        }
        written
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a killed program left.
    fs::remove_file(path).or_else(is_gone)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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

/// One entry for each folder, so that two of them do not share a login.
#[cfg(feature = "keyring")]
mod keyring {
    use std::io;
    use std::path::Path;

    use keyring::v1::{Entry, Error};
    use zeroize::Zeroizing;

    const SERVICE: &str = "sessile-example-desktop";

    fn entry(folder: &Path) -> io::Result<Entry> {
        if let Err(error) = Entry::store_status() {
            eprintln!("the keyring: {error}");
            return Err(io::Error::other("this system has no keyring that answers"));
        }
        let name = std::path::absolute(folder)?.to_string_lossy().into_owned();
        Entry::new(SERVICE, &name).map_err(refused)
    }

    pub(super) fn set(folder: &Path, encoded: &str) -> io::Result<()> {
        entry(folder)?.set_password(encoded).map_err(refused)
    }

    pub(super) fn get(folder: &Path) -> io::Result<Option<Zeroizing<String>>> {
        match entry(folder)?.get_password() {
            Ok(encoded) => Ok(Some(Zeroizing::new(encoded))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    pub(super) fn remove(folder: &Path) -> io::Result<()> {
        match entry(folder)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    /// Its text alone goes to the log: some of these errors hold what was read.
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

    fn none<T>() -> io::Result<T> {
        Err(io::Error::other("this build of the program knows no keyring"))
    }

    pub(super) fn set(_: &Path, _: &str) -> io::Result<()> {
        none()
    }

    pub(super) fn get(_: &Path) -> io::Result<Option<Zeroizing<String>>> {
        none()
    }

    pub(super) fn remove(_: &Path) -> io::Result<()> {
        none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_the_next_start_and_forgotten_after_a_logout() {
        let folder = tempfile::tempdir().unwrap();
        let (first, id) = (Keeper::of(folder.path()), SessionId::generate().unwrap());
        assert_eq!(first.find().unwrap(), None);
        first.keep(Place::File, &id).unwrap();
        let second = Keeper::of(folder.path());
        assert_eq!(second.find().unwrap(), Some((Place::File, id)));
        second.forget().unwrap();
        assert_eq!(second.find().unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_this_users_alone_and_not_trusted_otherwise() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::of(folder.path());
        keeper.keep(Place::File, &SessionId::generate().unwrap()).unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(keeper.find().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_file_that_holds_something_else_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::of(folder.path());
        for text in ["", "AAAA", &"A".repeat(100_000), "AAAAAAAAAAAAAAAAAAAAAB"] {
            keeper.write_private(text.as_bytes()).unwrap();
            assert_eq!(keeper.find().unwrap(), None);
        }
    }

    #[test]
    fn what_a_killed_program_left_half_written_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("login.new"), "half").unwrap();
        let (keeper, id) = (Keeper::of(folder.path()), SessionId::generate().unwrap());
        keeper.keep(Place::File, &id).unwrap();
        assert_eq!(keeper.find().unwrap(), Some((Place::File, id)));
    }
}
