//! How this crate makes the errors that it makes often.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use crate::error::{Error, Source};

impl Error {
    /// Nothing is at the path of a file to open. The standard library's own words for this kind of
    /// error, "entity not found", say nothing of a file.
    pub(crate) fn missing_file(path: impl Into<PathBuf>) -> Self {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "there is no such file");
        Self::io("open", path, nothing)
    }

    /// Something is at the path of a file to create.
    pub(crate) fn occupied(path: impl Into<PathBuf>) -> Self {
        let something = io::Error::new(io::ErrorKind::AlreadyExists, "there is something already");
        Self::io("create", path, something)
    }

    pub(crate) fn attribute(name: &str, detail: String) -> Self {
        Self::Attribute { name: name.into(), detail }
    }

    pub(crate) fn setting(name: &'static str, reason: impl fmt::Display) -> Self {
        Self::InvalidSetting { name, reason: reason.to_string() }
    }

    /// An I/O failure before anything was committed; a full disk has its own variant.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let source: Source = Arc::new(source);
        if full { Self::StorageFull { path, source } } else { Self::Io { action, path, source } }
    }
}
