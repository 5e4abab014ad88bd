//! The one public error type: what happened, to which file, key or server, and what to do.
//!
//! Invariant: no variant carries a session id, a CSRF token or content, except in the text of an
//! error that the content's own code makes. Sources are shared pointers, because one failed commit
//! answers every caller that waited for it.

pub(crate) mod causes;
pub(crate) mod create;
mod making;
mod one_line;
pub(crate) mod timeouts;

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::one_line::OneLine;
use crate::error::timeouts::InvalidTimeouts;
use crate::key::SessionKey;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an [`Error`], shared by every caller that gets the error: see [`Error::causes`].
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Every error of this crate.
///
/// A missing session is no error where a method can answer `Ok(None)` or `Ok(false)`; other methods
/// return [`Error::Gone`]. Every other error means that the store could not answer. No message
/// and no `Debug` output contains a session id.
///
/// In a server, three errors are answers to a client, not failures of the store:
/// [`InvalidId`](Self::InvalidId) is a client without a session, and [`Gone`](Self::Gone) and
/// [`Conflict`](Self::Conflict) come from a second click, or a form from before a logout. A
/// [`DamagedRecord`](Self::DamagedRecord) or a [`ContentMismatch`](Self::ContentMismatch) stays
/// until somebody acts: log the error with its key, and give the client a new session.
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
    /// The text is not a session id. Nothing was looked up: treat the client as having no session.
    #[error("this is not a session id: {reason}; treat the client as having no session")]
    InvalidId {
        /// The rule that the text breaks.
        reason: &'static str,
    },
    /// The text is not a session key. Pass a key as the store displays it.
    #[error("this is not a session key: {reason}")]
    InvalidKey {
        /// The rule that the text breaks.
        reason: &'static str,
    },
    /// The user id exceeds [`MAX_LEN`](crate::UserId::MAX_LEN). Nothing was written: shorten it.
    #[error("the user id has {len} bytes and the limit is {max}; store a shorter identifier")]
    InvalidUser {
        /// The length of the refused user id, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The timeouts contradict each other or cannot be represented. Change the named timeout.
    #[error(transparent)]
    InvalidTimeouts(#[from] InvalidTimeouts),
    /// A builder's setting is out of its range, or conflicts with another setting. Change the
    /// setting that `name` names.
    #[error("the setting `{name}` {reason}")]
    InvalidSetting {
        /// The builder's method.
        name: &'static str,
        /// What is wrong, with the allowed range or what to do.
        reason: String,
    },
    /// The encoded content is larger than the store's limit, or than the server takes. Nothing was
    /// written: store less in the session, or raise
    /// [`max_content_len`](crate::Builder::max_content_len), on MySQL `max_allowed_packet`.
    #[error(
        "the content takes {len} bytes and the limit is {max}; \
         keep less in the session, or raise `max_content_len` or the server's limit"
    )]
    TooLarge {
        /// The encoded length, in bytes; for the limit of a server, with the header of the record.
        /// A JSON text is encoded up to 16 MiB, a list up to as many elements; both may be longer.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The content could not be encoded, or its encoding could not be decoded to the same value.
    /// Nothing was written.
    ///
    /// Content is decoded and encoded again before it is stored. The module
    /// [`guide::content`](crate::guide::content) lists the types and attributes that work as typed
    /// content, and those that need [`Json`](crate::Json).
    #[error("the content cannot be stored: {detail}; nothing was written")]
    Encode {
        /// The cause, its place in the content, and what to use instead.
        detail: String,
        /// The error of the content's own code, if that says more. It may show a value of the
        /// content.
        #[source]
        source: Option<Source>,
    },
    /// The attribute cannot be stored as JSON, or has another type than the requested one. Store a
    /// value that JSON can represent, or ask for the stored type.
    #[error("the attribute `{name}` could not be converted: {detail}")]
    Attribute {
        /// The attribute's name.
        name: String,
        /// What is wrong with the attribute.
        detail: String,
    },
    /// The stored content has another name, version, kind or shape. It is left unchanged and is
    /// intact: the program that wrote it can read it.
    ///
    /// The shape is the names of fields and variants, their order, and the kinds of their values.
    /// To read content from before a type changed, raise
    /// [`content_version`](crate::Builder::content_version) and give a migration. Content in
    /// [`Json`](crate::Json) has no shape besides its text.
    #[error("{detail}; the stored content is untouched")]
    ContentMismatch {
        /// What was found, what was expected, and what to do.
        detail: String,
        /// The error of the decoding or the migration, if that says more. A type's own error may
        /// show a value of the content.
        #[source]
        source: Option<Source>,
    },
    /// The stored bytes are not a record that this library wrote under this key. They are left
    /// unchanged: destroy the session by its key, or restore the file from a copy.
    #[error(
        "the record of session {key} is damaged ({reason}); \
         destroy it by its key or restore the file from a copy"
    )]
    DamagedRecord {
        /// The key of the record.
        key: SessionKey,
        /// The check that failed.
        reason: &'static str,
    },
    /// The session to change does not exist: it was destroyed, has expired, or has a new id.
    /// Nothing was written: treat the client as having no session.
    #[error("session {key} is gone; nothing was written")]
    Gone {
        /// The key that was looked up.
        key: SessionKey,
    },
    /// Another call changed the session after this one was read. Nothing was written: read the
    /// session again, or use [`modify`](crate::SessionStore::modify).
    #[error(
        "session {key} has changed since it was read; nothing was written: \
         read it again, or use `modify`"
    )]
    Conflict {
        /// The session's key.
        key: SessionKey,
    },
    /// The store has reached its limit on sessions. Existing sessions are not affected: raise
    /// [`max_sessions`](crate::Builder::max_sessions) or end some sessions.
    #[error("the store is full: its `max_sessions` is {max}; raise it, or end some sessions")]
    Full {
        /// The limit.
        max: u64,
    },
    /// The user has reached the limit on live sessions. Nothing was written: end one of them, or
    /// choose [`UserLimit::EndLeastRecentlyActive`](crate::UserLimit::EndLeastRecentlyActive).
    #[error(
        "the user is at the limit on sessions of one user, which is {max}; \
         end one of them, or let `max_sessions_per_user` end the least recently active"
    )]
    UserFull {
        /// The limit.
        max: u64,
    },
    /// The clock shows a time before 1970, or past 64 bits of milliseconds. Set the system time.
    #[error("the clock is outside the years this store can represent; set the system time")]
    ClockOutOfRange,
    /// The operating system gave no random bytes. No id, token or key was made: try again later.
    #[error("the operating system's random generator failed; no id, token or key was made")]
    Generator {
        /// What the operating system reported.
        #[source]
        source: Source,
    },
    /// The file is not a session store. Its bytes are unchanged: check the path.
    #[error("{path} is not a session store ({reason}); it was left as it is", path = OneLine(.path))]
    NotASessionStore {
        /// The file.
        path: PathBuf,
        /// The check that failed.
        reason: String,
    },
    /// The file is a session store, and parts of it are damaged. Restore it from a copy, or copy
    /// its readable records with [`salvage`](crate::salvage()).
    #[error("{path} is damaged; restore it from a copy", path = OneLine(.path))]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What the check found.
        #[source]
        source: Source,
    },
    /// The callback of [`Builder::on_recovery`](crate::Builder::on_recovery) ended the recovery.
    /// Open the file again: recovery starts over.
    #[error(
        "{path} was not closed and its recovery was called off; open it again to recover it",
        path = OneLine(.path)
    )]
    RecoveryAborted {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this library wrote the file, or the tables or keys on the server. Use a
    /// newer version of the program.
    #[error(
        "{path} has format version {found} and this program reads up to {supported}; \
         use a newer version of the program",
        path = OneLine(.path)
    )]
    UnsupportedFormat {
        /// The file, or the server without user and password.
        path: PathBuf,
        /// The version found in the file.
        found: u64,
        /// The newest version this library reads.
        supported: u64,
    },
    /// The file is already open, in this process or another. Close the other store first.
    #[error("{path} is open already; one store at a time may hold a file", path = OneLine(.path))]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The path leads to a symbolic link, a folder or a device. Give the path of the file itself.
    #[error(
        "{path} is {what}, not a regular file; name the file itself",
        path = OneLine(.path)
    )]
    NotARegularFile {
        /// The path.
        path: PathBuf,
        /// The kind of file found at the path.
        what: &'static str,
    },
    /// The file system cannot lock the file, so nothing would stop two programs from writing it.
    /// Keep the file on a local disk.
    #[error("{path} cannot be locked on this file system; keep it on a local disk", path = OneLine(.path))]
    LocksUnsupported {
        /// The file.
        path: PathBuf,
    },
    /// The open file was deleted, replaced or written over. The failed call was not acknowledged:
    /// close the store, check what happened to the file, and open it again.
    #[error(
        "{path} was deleted, replaced or written over while it was open; \
         close the store, see what happened to the file, and open it again",
        path = OneLine(.path)
    )]
    FileReplaced {
        /// The path under which the file was opened.
        path: PathBuf,
    },
    /// The disk, its quota, or a server's memory is full. Nothing acknowledged is lost: make room.
    #[error("no space is left for {path}; nothing acknowledged is lost: make room", path = OneLine(.path))]
    StorageFull {
        /// The file, or the server without user and password.
        path: PathBuf,
        /// What the operating system or the server reported.
        #[source]
        source: Source,
    },
    /// An operation on the file failed, and no session was changed. Correct the cause in `source`.
    /// If that is an earlier sync that failed, close the store and open it again.
    #[error("could not {action} {path}", path = OneLine(.path))]
    Io {
        /// The operation that failed. If it is the sync of a new file's folder, the file is there.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system or the storage engine reported.
        #[source]
        source: Source,
    },
    /// A commit failed half way: the change is stored completely or not at all; which is unknown.
    ///
    /// Read the session again, and continue from what it holds. While the disk keeps failing, a
    /// read may still show the state before the change. After a failed sync, close the store and
    /// open it again first. It is always safe to end a session a second time.
    #[error("the commit failed half way; whether the change is stored is not known: read it again")]
    OutcomeUnknown {
        /// What the storage engine reported.
        #[source]
        source: Source,
    },
    /// The sessions' server cannot be reached, or refuses the call. Nothing was changed.
    ///
    /// Most causes pass without help: a server restarts, a replica takes over, other programs
    /// release connections. A refused login or an invalid certificate stays until somebody corrects
    /// it.
    #[error("{server} cannot be used; nothing was changed")]
    Unavailable {
        /// The server, without user and password.
        server: String,
        /// What the connection or the server reported.
        #[source]
        source: Source,
    },
    /// The server is too old, or is configured in a way that would lose sessions. Nothing was
    /// changed: provide what `needed` says.
    #[error("{server} has {found}; needed is {needed}")]
    UnsupportedServer {
        /// The server, without user and password.
        server: String,
        /// What was found.
        found: String,
        /// What is needed instead.
        needed: String,
    },
    /// The archive is damaged, or is not for this program. Lines are counted from 1.
    #[error("line {line} of the archive {reason}")]
    InvalidArchive {
        /// The line that breaks a rule.
        line: u64,
        /// The rule that the line breaks.
        reason: String,
    },
    /// The archive was changed between its verification and the end of its import. The sessions
    /// that were imported by then stay: repeat the import with an archive that no program writes
    /// to.
    #[error(
        "the archive was changed while it was imported: line {line} is not as it was verified, and \
         {imported} sessions are imported"
    )]
    ArchiveChanged {
        /// The first line that shows the change.
        line: u64,
        /// The number of sessions that were imported before it.
        imported: u64,
    },
    /// The callback of a long operation ended the operation.
    #[error("the {action} was called off")]
    CalledOff {
        /// The operation that was ended.
        action: &'static str,
    },
    /// The store was opened in another process, before a `fork`. Nothing was read or written: open
    /// the store again in this process.
    ///
    /// Every call in the child fails so, and dropping a handle there does nothing. The file stays
    /// locked until each process has ended or has closed the store.
    #[error("the store was opened by process {opened_by}; open it again in this one")]
    Forked {
        /// The process that opened the store.
        opened_by: u32,
    },
    /// The store was closed, through this handle or another. Open it again.
    #[error("the store is closed; open it again")]
    Closed,
    /// An engine outside this crate failed, or a part of this crate without its own variant.
    #[error("the storage engine failed")]
    Engine {
        /// What failed.
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
}

/// The sources are only ever read, so a panic leaves none of them half changed.
impl std::panic::UnwindSafe for Error {}
impl std::panic::RefUnwindSafe for Error {}
