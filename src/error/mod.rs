//! The one public error type: what happened, to what, and what to do about it.
//!
//! Invariant: no variant carries a session id, a CSRF token or content. Sources are shared
//! pointers, because one failed commit answers every caller that waited for it.

pub(crate) mod create;
pub(crate) mod timeouts;

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use crate::error::timeouts::InvalidTimeouts;
use crate::key::SessionKey;

/// What every fallible method of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause behind an [`Error`], shared by every caller it concerns.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong, in one list.
///
/// An error is never "no session": a method that finds no session answers `Ok(None)`, `Ok(false)`
/// or [`Error::Gone`]. Every other error means that the question could not be answered. No message
/// and no `Debug` output contains a session id.
///
/// In a server, three kinds of errors are answers to a client rather than failures of the store:
/// [`InvalidId`](Self::InvalidId) is a client without a session, and [`Gone`](Self::Gone) and
/// [`Conflict`](Self::Conflict) are a second click, or a form from before a logout. A
/// [`DamagedRecord`](Self::DamagedRecord) or a [`ContentMismatch`](Self::ContentMismatch) stays
/// until somebody acts: log it with its key, and give the client a new session.
///
/// The enum is `#[non_exhaustive]`: keep a catch-all arm.
///
/// # Examples
///
/// ```
/// use sessile::{Error, SessionId};
///
/// // A malformed cookie is the client's mistake, not the store's: treat it as no session.
/// let id = match SessionId::parse("../../etc/passwd") {
///     Ok(id) => Some(id),
///     Err(Error::InvalidId { .. }) => None,
///     Err(other) => return Err(other),
/// };
/// assert!(id.is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a session id. Nothing was looked up.
    #[error("this is not a session id: {reason}; treat the client as having no session")]
    InvalidId {
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The text is not a session key.
    #[error("this is not a session key: {reason}")]
    InvalidKey {
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A user id is longer than [`UserId::MAX_LEN`](crate::UserId::MAX_LEN). Nothing was written.
    #[error("the user id has {len} bytes and the limit is {max}; store a shorter identifier")]
    InvalidUser {
        /// The length of the refused user id, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The timeouts contradict themselves or cannot be represented.
    #[error(transparent)]
    InvalidTimeouts(#[from] InvalidTimeouts),
    /// A setting of a builder is out of its range, or does not go with another one.
    #[error("the setting `{name}` {reason}")]
    InvalidSetting {
        /// The builder's method.
        name: &'static str,
        /// What is wrong, and the range or what to do.
        reason: String,
    },
    /// The encoded content is larger than the store accepts. Nothing was written.
    #[error(
        "the content takes {len} bytes and the limit is {max}; \
         keep less in the session or raise `max_content_len`"
    )]
    TooLarge {
        /// The encoded length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The content could not be encoded, or what was encoded could not be read back as the same
    /// value. Nothing was written.
    ///
    /// Content is decoded and encoded again before it is stored. The module
    /// [`guide::content`](crate::guide::content) says which types and attributes go with typed
    /// content, and which with [`Json`](crate::Json).
    #[error("the content cannot be stored: {detail}; nothing was written")]
    Encode {
        /// What does it, where in the content, and what to use.
        detail: String,
        /// What the content's own code reported, where there is more to say.
        #[source]
        source: Option<Source>,
    },
    /// An attribute cannot be kept as JSON, or is of another type than the one asked for.
    #[error("the attribute `{name}` could not be converted: {detail}")]
    Attribute {
        /// The attribute's name.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// What is stored is content of another name, version, kind or shape. It is left as it is, and
    /// is sound: the program that wrote it can read it.
    ///
    /// The shape is the names of fields and variants, their order, and the kinds of their values. A
    /// type that has changed reads what it wrote before through
    /// [`content_version`](crate::Builder::content_version) and a migration; content in
    /// [`Json`](crate::Json) has no shape beyond the text.
    #[error("{detail}; the stored content is untouched")]
    ContentMismatch {
        /// What was found, what was expected, and what to do.
        detail: String,
        /// What the decoding or the migration reported, where there is more to say.
        #[source]
        source: Option<Source>,
    },
    /// A stored record is not what this library wrote under its key. It is left as it is.
    #[error(
        "the record of session {key} is damaged ({reason}); \
         destroy it by its key or restore the file from a copy"
    )]
    DamagedRecord {
        /// The key it is stored under.
        key: SessionKey,
        /// The check that failed.
        reason: &'static str,
    },
    /// The session to change is not there: destroyed, expired, or under a new id.
    #[error("session {key} is gone; nothing was written")]
    Gone {
        /// The key that was looked for.
        key: SessionKey,
    },
    /// The session was changed by somebody else since it was read. Nothing was written.
    #[error(
        "session {key} has changed since it was read; nothing was written: \
         read it again, or use `modify`"
    )]
    Conflict {
        /// The session's key.
        key: SessionKey,
    },
    /// The store holds as many sessions as it may. Existing sessions are not affected.
    #[error("the store holds {max} sessions, its limit; raise `max_sessions` or end some")]
    Full {
        /// The limit.
        max: u64,
    },
    /// The user has as many live sessions as one user may. Nothing was written.
    #[error(
        "the user has {max} sessions, the limit of one user; \
         end one of them, or let `max_sessions_per_user` end the least recently active"
    )]
    UserFull {
        /// The limit.
        max: u64,
    },
    /// The clock shows a time before 1970, or one that milliseconds in 64 bits cannot hold.
    #[error("the clock is outside the years this store can represent; set the system time")]
    ClockOutOfRange,
    /// The operating system gave no random bytes. No id, token or key was made.
    #[error("the operating system's random generator failed; no id, token or key was made")]
    Generator {
        /// What the operating system reported.
        #[source]
        source: Source,
    },
    /// The file is something else than a session store. Its bytes are untouched.
    #[error("{path} is not a session store ({reason}); it was left as it is", path = .path.display())]
    NotASessionStore {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        reason: String,
    },
    /// The file is a session store, but parts of it are not as they were written.
    #[error("{path} is damaged; restore it from a copy", path = .path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What the check found.
        #[source]
        source: Source,
    },
    /// The callback of [`Builder::on_recovery`](crate::Builder::on_recovery) called the recovery
    /// off. The next opening starts over.
    #[error(
        "{path} was not closed and its recovery was called off; open it again to recover it",
        path = .path.display()
    )]
    RecoveryAborted {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this library, or the tables or keys on a server
    /// were.
    #[error(
        "{path} has format version {found} and this program reads up to {supported}; \
         use a newer version of the program",
        path = .path.display()
    )]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// The version found in the file.
        found: u64,
        /// The newest version this library reads.
        supported: u64,
    },
    /// The file is open already, in this process or another.
    #[error("{path} is open already; one store at a time may hold a file", path = .path.display())]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The path leads to a symbolic link, a folder or a device.
    #[error(
        "{path} is {what}, not a regular file; name the file itself",
        path = .path.display()
    )]
    NotARegularFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The file system cannot lock the file, so nothing would stop two programs from writing it.
    #[error("{path} cannot be locked on this file system; keep it on a local disk", path = .path.display())]
    LocksUnsupported {
        /// The file.
        path: PathBuf,
    },
    /// The open file was deleted, another one put in its place, or a copy written over it. Nothing
    /// was acknowledged.
    #[error(
        "{path} was deleted, replaced or written over while it was open; \
         close the store, see what happened to the file, and open it again",
        path = .path.display()
    )]
    FileReplaced {
        /// The path under which the file was opened.
        path: PathBuf,
    },
    /// The disk, or the quota on it, is full, or a server's memory. Nothing acknowledged is lost.
    #[error("no space is left for {path}; nothing acknowledged is lost: make room", path = .path.display())]
    StorageFull {
        /// The file.
        path: PathBuf,
        /// What the operating system reported.
        #[source]
        source: Source,
    },
    /// An operation on the file failed, and it is known that nothing was written.
    #[error("could not {action} {path}", path = .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system or the storage engine reported.
        #[source]
        source: Source,
    },
    /// A commit failed half way: the change may or may not survive. It is all there or not at all.
    ///
    /// Read the session again, and go by what is there. While the disk keeps failing, a read may
    /// still show the state before. After a failed sync, close the store and open it again first.
    /// Ending a session once more is always right.
    #[error("the commit failed half way; whether the change is stored is not known: read it again")]
    OutcomeUnknown {
        /// What the storage engine reported.
        #[source]
        source: Source,
    },
    /// The server that holds the sessions cannot be used, or refuses to be. Nothing was changed.
    ///
    /// Most of its causes pass: the server is started again, a replica takes over, others give
    /// connections back. A login that is refused, or a certificate that does not hold, stays so
    /// until somebody acts.
    #[error("{server} cannot be used; nothing was changed")]
    Unavailable {
        /// The server, without user and password.
        server: String,
        /// What the connection or the server said.
        #[source]
        source: Source,
    },
    /// The server is too old, or set up in a way that would lose sessions. Nothing was changed.
    #[error("{server} has {found}; needed is {needed}")]
    UnsupportedServer {
        /// The server, without user and password.
        server: String,
        /// What was found.
        found: String,
        /// What is needed instead.
        needed: String,
    },
    /// An archive is not as it was written, or not for this program. The line is counted from 1.
    #[error("line {line} of the archive {reason}")]
    InvalidArchive {
        /// The line that breaks a rule.
        line: u64,
        /// Which rule it breaks.
        reason: String,
    },
    /// The callback of a long operation called it off.
    #[error("the {action} was called off")]
    CalledOff {
        /// What was under way.
        action: &'static str,
    },
    /// The store was opened in another process, before a `fork`. Nothing was read or written.
    ///
    /// Every call answers so in the child, and dropping a handle there does nothing. The file stays
    /// locked for as long as either process lives and has not closed the store.
    #[error("the store was opened by process {opened_by}; open it again in this one")]
    Forked {
        /// The process that opened the store.
        opened_by: u32,
    },
    /// The store was closed, through this handle or another.
    #[error("the store is closed; open it again")]
    Closed,
    /// An engine other than the ones in this crate failed.
    #[error("the storage engine failed")]
    Engine {
        /// What the engine reported.
        #[source]
        source: Source,
    },
}

impl Error {
    /// Wraps an error of an [`Engine`](crate::engine::Engine) of your own.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::Error;
    ///
    /// let error = Error::engine(std::io::Error::other("the server hung up"));
    /// assert_eq!(error.to_string(), "the storage engine failed");
    /// ```
    pub fn engine(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine { source: Arc::new(source) }
    }

    pub(crate) fn attribute(name: &str, detail: String) -> Self {
        Self::Attribute { name: name.into(), detail }
    }

    pub(crate) fn setting(name: &'static str, reason: impl fmt::Display) -> Self {
        Self::InvalidSetting { name, reason: reason.to_string() }
    }

    /// An I/O failure before anything was committed; a full disk gets its own variant.
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

/// Its causes are only ever read.
impl std::panic::UnwindSafe for Error {}
impl std::panic::RefUnwindSafe for Error {}
