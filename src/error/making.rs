//! How this crate makes the errors that it makes often.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use crate::error::{Error, Source};

impl Error {
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
