//! A blocking, embedded session store: one redb file, blocking calls, reads at the speed of memory,
//! commits that survive power loss. A stolen copy of the file gives nobody a login.
//!
//! Link the crate into a desktop program or a blocking server and open a file. Its sessions survive
//! a crash, expire on time, belong to users, and can be listed and ended one by one.
//!
//! Begin with [the first program](#a-first-program). Each page of the [`guide`] answers one
//! question. [Limits](#limits) and [systems](#systems) are below.
//!
//! # Overview
//!
//! | type | is |
//! |---|---|
//! | [`SessionStore<C>`](SessionStore) | the store of sessions with content `C`, a handle that every thread clones. Everything begins here |
//! | [`Builder<C>`](Builder) | the settings of a store, and the ways to open it: a file, memory, a URL, an engine |
//! | [`Session<C>`](Session) | one session, as read: content, user, times. [`update`](SessionStore::update) saves it |
//! | [`SessionId`] | the secret in the client's cookie, never stored or printed |
//! | [`SessionKey`] | the digest of a session id, which names the session in the store and its listings; safe to show |
//! | [`SessionInfo`], [`SessionByKey<C>`](SessionByKey) | a session in a listing, without and with its content |
//! | [`UserId`] | the user of a session |
//! | [`Json<T>`](Json), [`Attributes`] | self-describing content: any serde type, or values by name |
//! | [`Timeouts`], [`SessionOptions`] | how long sessions live: the store's setting, and one session's |
//! | [`CsrfToken`], [`web`](web/index.html) | CSRF tokens for forms; the session cookie, and forms before a login |
//! | [`Durability`] | which writes a crash may lose |
//! | [`Error`] | what failed, and what to do about it. A missing session is not an error |
//! | [`Inspector`], [`admin`], [`salvage`](salvage()) | for operators: inspect a store, end sessions, copy, rescue |
//! | [`Observer`], [`Event`] | events of sessions that begin and end, and of failures |
//! | [`Engine`], [`RedbEngine`], [`MemoryEngine`] | the storage of records; [`engine`] is its contract |
//!
//! # A first program
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use sessile::{Json, SessionId, SessionStore};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Cart {
//!     items: Vec<String>,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("sessions.redb");
//! let store = SessionStore::<Json<Cart>>::open(path)?; // or "sessions.redb"
//!
//! // At login: a new session, whose id becomes the cookie.
//! let session = store.create_for_user("ann", Json(Cart { items: vec![] }))?;
//! let cookie = session.id().encode();
//!
//! // At each request: read it and extend its life.
//! let id = SessionId::parse(&cookie)?;
//! if let Some(mut session) = store.read_and_extend(&id)? {
//!     session.content_mut().items.push("tea".into());
//!     store.update(&mut session)?;
//! }
//!
//! // At logout: gone, for good and for every request in flight.
//! store.destroy(&id)?;
//! assert!(store.read(&id)?.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! # Login, step by step
//!
//! A login form needs a CSRF token before anybody is logged in. So a session comes first:
//!
//! ```
//! use sessile::{Error, SessionId, SessionOptions, SessionStore};
//!
//! # fn main() -> Result<(), Error> {
//! let store = SessionStore::<u32>::in_memory()?;
//!
//! // GET /login: a session without a user. Its id is in the cookie, its token in the form.
//! let session = store.create_with(0, &SessionOptions::new().csrf_token())?;
//! let cookie = session.id().encode();
//! let form_field = session.csrf_token().map(|token| token.encode()).unwrap_or_default();
//!
//! // POST /login: check the token, then the password; then a new id, which saves the session.
//! let id = SessionId::parse(&cookie)?;
//! let Some(mut session) = store.read(&id)? else { return Ok(()) }; // show the form again
//! assert!(session.csrf_token().is_some_and(|token| token.verify(&form_field)));
//! session.set_user("ann");
//! store.regenerate_id(&mut session)?;
//! let cookie = session.id().encode(); // Set-Cookie: …; HttpOnly; Secure; SameSite=Lax; Path=/
//!
//! // The id from before the login is dead, whoever knew it.
//! assert!(store.read(&id)?.is_none());
//! # assert!(store.read(&SessionId::parse(&cookie)?)?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! On the open web, a session for each view of the form costs a commit for each crawler. With the
//! feature `cookie` the form's token is computed and nothing is written: see
//! [`web`](web/index.html).
//!
//! The repository's `examples/server` is a complete server to copy. Its `site.rs` is the part about
//! sessions.
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | read about one question, with programs | [`guide`] |
//! | set how long sessions live, "remember me" | [`guide::timeouts`] |
//! | read and set the session cookie | [`guide::login`], [`web`](web/index.html) |
//! | choose a type for the content, change it later | [`guide::content`], [`Builder::content_version`] |
//! | list and end a user's sessions | [`guide::users`], [`SessionStore::sessions_of_with`], [`SessionStore::destroy_of`] |
//! | change one session from many threads | [`SessionStore::modify`] |
//! | limit the sessions of one user | [`Builder::max_sessions_per_user`] |
//! | call the store from async code | [`guide::async_`] |
//! | copy a store while it is in use | [`SessionStore::backup`] |
//! | log a store's events, or raise an alarm | [`Observer`], [`Event`] |
//! | check a store for damage, rescue a damaged file | [`SessionStore::check`], [`salvage`](salvage()) |
//! | keep sessions on a server, for many machines | [`SessionStore::connect`], [`guide::engines`] |
//! | inspect a store without its program, export an archive | [`admin`] |
//! | write a storage engine | [`engine::Engine`] |
//! | handle errors | [`guide::errors`], [`Error`] |
//! | know what a new version may change | [`guide::versions`] |
//!
//! # Guarantees
//!
//! - A session is expired once `now >= deadline`. An expired session is absent: no method can tell
//!   it from one that never existed, and extending does not revive it.
//! - Only creating creates. An update of an ended session changes nothing, so a request in flight
//!   never undoes a logout.
//! - A read returns what was stored, or an error: content is decoded once before it is written, and
//!   its shape is compared at every read.
//! - No update is lost: [`update`](SessionStore::update) refuses a session that changed since it
//!   was read, and [`modify`](SessionStore::modify) tries again.
//! - With the default [`Durability`], an acknowledged write survives a killed process and power
//!   loss. With `Deferred`, each loses at most the last interval.
//! - The session id is never stored, printed or logged; the file holds digests.
//!
//! # What it is not
//!
//! No HTTP, no user accounts, no server, no async. It is not a cache. Only one process at a time
//! has the file open.
//!
//! # Limits
//!
//! | limit | default | set by | beyond it |
//! |---|---|---|---|
//! | content of a session | 64 KiB, at most 16 MiB | [`Builder::max_content_len`] | [`Error::TooLarge`] |
//! | nesting levels in content | 64; in JSON 127 | | [`Error::Encode`] |
//! | sessions | 10,000,000 | [`Builder::max_sessions`] | [`Error::Full`] |
//! | sessions of a user | none | [`Builder::max_sessions_per_user`] | [`Error::UserFull`], or the least recently active ends |
//! | a user id | 255 bytes | | [`Error::InvalidUser`] |
//! | cache of records and pages | on Linux 1/32 of memory, 64 to 512 MiB; elsewhere 64 MiB | [`Builder::cache_size`] | read from the file |
//! | processes on a file | 1 | [`SessionStore::connect`] to a server | [`Error::AlreadyOpen`] |
//!
//! # Systems
//!
//! The crate was run on Linux, x86-64, with the file on a local disk that supports locks; most of
//! its tests were run under Wine, too. For macOS, Android and the BSDs, locks and syncs are written
//! after each system's documentation; **none of them was run**, nor was Windows itself. The README
//! has a table. The server engines were run on PostgreSQL, MySQL, MariaDB, Redis and Valkey;
//! [`guide::engines`] lists the servers that were not run.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `app-dir` | no | `SessionStore::open_in_app_dir`, `app_dir`: the store in the system's folder for a program's data |
//! | `cookie` | no | [`web`](web/index.html): reads and sets the session cookie; CSRF tokens for forms before a login |
//! | `testing` | no | a manual clock, a disk that crashes and fails, the conformance suite for your own engines |
//! | `postgres` | no | sessions on PostgreSQL |
//! | `mysql` | no | sessions on MySQL or MariaDB |
//! | `mongodb` | no | sessions on a MongoDB replica set; never run on a real one |
//! | `redis` | no | sessions on Redis or Valkey, alone or as a cluster |
//! | `admin` | no | a socket or a named pipe through which the tool `sessile` reaches a running program |
//! | `tracing` | no | spans and events for `tracing`: keys, never an id, a user or content |
//! | `metrics` | no | counters, gauges and histograms for the facade `metrics` |
//! | `tls` | no | TLS to each of these servers; it compiles C |
//! | `uuid` | no | a [`UserId`] from a `uuid::Uuid` |

#![cfg_attr(docsrs, feature(doc_cfg))]

// First, since rustdoc shows the methods of a type in the order of the modules.
mod builder;
mod store;

pub mod admin;
mod caught;
mod descriptors;
pub mod engine;
mod error;
pub mod guide;
mod key;
mod percent;
mod process;
mod random;
mod record;
mod session;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod trace;
#[cfg(feature = "cookie")]
#[cfg_attr(docsrs, doc(cfg(feature = "cookie")))]
pub mod web;

pub use admin::inspector::Inspector;
pub use builder::Builder;
#[cfg(feature = "app-dir")]
pub use builder::app_dir::app_dir;
pub use engine::contract::Engine;
pub use engine::durability::Durability;
pub use engine::redb::recovery::Recovery;
pub use engine::redb::salvage::progress::{SalvageProgress, SalvageStep};
pub use engine::redb::salvage::{Salvage, SalvageReport, salvage};
#[doc(inline)]
pub use engine::{MemoryEngine, Problem, RedbEngine, UserLimit};
pub use error::create::CreateError;
pub use error::timeouts::InvalidTimeouts;
pub use error::{Error, Result, Source};
pub use key::SessionKey;
pub use record::content::StoredContent;
pub use session::Session;
pub use session::attributes::{AttributeValue, Attributes};
pub use session::csrf::CsrfToken;
pub use session::id::SessionId;
pub use session::info::SessionInfo;
pub use session::json::Json;
pub use session::options::SessionOptions;
pub use session::user::UserId;
pub use store::SessionStore;
pub use store::by_key::SessionByKey;
pub use store::check::CheckReport;
pub use store::events::{EndReason, Event, MaintenanceTask, Observer};
pub use store::listing::Stats;
pub use store::listing::Visited;
pub use store::modify::{ModifyOutcome, ModifyValue, Returned};
pub use time::clock::{Clock, SystemClock};
pub use time::timeouts::Timeouts;

/// Compiles and runs the README's programs as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
