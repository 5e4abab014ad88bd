//! Opens the store of a desktop program, in the system's folder for a program's data.
//!
//! Invariant: a folder created here is accessible to its user only; an existing one is left as it
//! is.

use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::store::SessionStore;

/// The name of the file in that folder.
const FILE: &str = "sessions.redb";

/// Characters of a name that could lead out of the folder.
const SEPARATORS: [char; 4] = ['/', '\\', ':', '\0'];

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Opens the store of a desktop program, with every setting at its default; see
    /// [`Builder::open_in_app_dir`].
    ///
    /// # Errors
    ///
    /// As for [`Builder::open_in_app_dir`].
    #[cfg_attr(docsrs, doc(cfg(feature = "app-dir")))]
    pub fn open_in_app_dir(qualifier: &str, organisation: &str, application: &str) -> Result<Self> {
        Self::builder().open_in_app_dir(qualifier, organisation, application)
    }
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    /// Opens the file `sessions.redb` in the system's folder for this program's data on this
    /// machine. On Unix a missing folder is created with mode 0700, and a missing file with 0600.
    ///
    /// | system | folder, for `("org", "Example Ltd", "Notes")` |
    /// |---|---|
    /// | Linux | `$XDG_DATA_HOME/notes`, or `~/.local/share/notes` |
    /// | macOS | `~/Library/Application Support/org.Example-Ltd.Notes` |
    /// | Windows | `%LOCALAPPDATA%\Example Ltd\Notes\data` |
    ///
    /// The crate `directories` finds the folder by the XDG base directory specification, Apple's
    /// guidelines and Windows' known folders. On Windows the folder's own permissions keep other
    /// users out. A second start of the program fails with [`Error::AlreadyOpen`]. With
    /// [`open_timeout`](Self::open_timeout) it waits for one that is about to end.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for an empty application name, and for a name that contains `/`,
    /// `\`, `:` or a zero byte or is `.` or `..`, white space left out. [`Error::Io`], with the
    /// folder's path, if the folder cannot be created, and with the application's name as its path
    /// if this user has no home folder. Also as for [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<String>::builder()
    ///     .open_timeout(Duration::from_secs(2))
    ///     .open_in_app_dir("org", "Example Ltd", "Notes")?;
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "app-dir")))]
    pub fn open_in_app_dir(
        self,
        qualifier: &str,
        organisation: &str,
        application: &str,
    ) -> Result<SessionStore<C>> {
        self.open(app_dir(qualifier, organisation, application)?.join(FILE))
    }
}

/// Returns the folder of [`Builder::open_in_app_dir`], for a program's other files, such as the id
/// of a stored login. A missing folder is created, on Unix with mode 0700.
///
/// # Errors
///
/// As for [`Builder::open_in_app_dir`], without the errors of [`open`](Builder::open).
///
/// # Examples
///
/// ```no_run
/// let folder = sessile::app_dir("org", "Example Ltd", "Notes")?;
/// let store = sessile::SessionStore::<String>::open(folder.join("sessions.redb"))?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "app-dir")))]
pub fn app_dir(qualifier: &str, organisation: &str, application: &str) -> Result<PathBuf> {
    let folder = find(qualifier, organisation, application)?;
    make_private(&folder).map_err(|error| Error::io("create the folder", &folder, error))?;
    Ok(folder)
}

fn find(qualifier: &str, organisation: &str, application: &str) -> Result<PathBuf> {
    let names =
        [("qualifier", qualifier), ("organisation", organisation), ("application", application)];
    for (what, name) in names {
        // On Linux, white space within a name is left out of the folder's name.
        let black: String = name.chars().filter(|letter| !letter.is_whitespace()).collect();
        if name.contains(SEPARATORS) || matches!(black.as_str(), "." | "..") {
            return Err(Error::setting(what, "is to name a folder, and could lead out of it"));
        }
    }
    if application.trim().is_empty() {
        return Err(Error::setting("application", "is empty: it names the program's folder"));
    }
    match ProjectDirs::from(qualifier, organisation, application) {
        Some(found) => Ok(found.data_local_dir().to_path_buf()),
        None => {
            let cause = io::Error::new(io::ErrorKind::NotFound, "this user has no home folder");
            Err(Error::io("find the folder of", application, cause))
        }
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}
