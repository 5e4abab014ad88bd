//! A blocking, embedded session store: one redb file, blocking calls, reads at the speed of
//! memory, commits that survive power loss, and a copied file that gives nobody a login.
//!
//! Link it into a desktop program or a blocking server, open a file, and there are sessions that
//! survive a crash, expire on time, belong to users, and can be listed and ended one by one.
//!
//! Begin with [the first program](#a-first-program); then [`guide`] answers one question a page.
//! [Limits](#limits) and [systems](#systems) are below.
//!
//! # Overview
//!
//! | type | is |
//! |---|---|
//! | [`SessionStore<C>`](SessionStore) | the store of sessions with content `C`, a handle that every thread clones. Everything begins here |
//! | [`Builder<C>`](Builder) | its settings, and the ways to open it: a file, memory, a URL, an engine |
//! | [`Session<C>`](Session) | one session in the caller's hand: content, user, times. [`update`](SessionStore::update) saves it |
//! | [`SessionId`] | the secret in the client's cookie, which nothing stores or prints |
//! | [`SessionKey`] | what the store and its listings know a session by, safe to show |
//! | [`SessionInfo`], [`SessionByKey<C>`](SessionByKey) | a line of a listing, without content and with it |
//! | [`UserId`] | whose session it is |
//! | [`Json<T>`](Json), [`Attributes`] | content that describes itself: any serde type, or values by name |
//! | [`Timeouts`], [`SessionOptions`] | how long sessions live: all of them, or one |
//! | [`CsrfToken`], [`web`](web/index.html) | tokens for forms; the cookie, and forms before a login |
//! | [`Durability`] | what a crash may take |
//! | [`Error`] | what went wrong, with what to do; "no session" is no error |
//! | [`Inspector`], [`admin`], [`salvage`](salvage()) | for operators: look in, end sessions, copy, rescue |
//! | [`Observer`], [`Event`] | sessions that begin and end, and what an operator has to know, as it happens |
//! | [`Engine`], [`RedbEngine`], [`MemoryEngine`] | where records are kept; [`engine`] is the contract |
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
//! A login form needs a CSRF token before anybody is logged in, so there is a session first:
//!
//! ```
//! use sessile::{Error, SessionId, SessionOptions, SessionStore};
//!
//! # fn main() -> Result<(), Error> {
//! let store = SessionStore::<u32>::in_memory()?;
//!
//! // GET /login: a session of nobody, its id in the cookie, its token in the form.
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
//! // Whoever knew the id from before the login holds nothing.
//! assert!(store.read(&id)?.is_none());
//! # assert!(store.read(&SessionId::parse(&cookie)?)?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! On the open web a session for each view of the form is a commit for each crawler. With the
//! feature `cookie` the form's token is computed and nothing is written: see
//! [`web`](web/index.html).
//!
//! The repository's `examples/server` is a whole server, to be copied; `examples/server/site.rs` is
//! the part about sessions.
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | read about one question, with programs | [`guide`] |
//! | set how long sessions live, "remember me" | [`guide::timeouts`] |
//! | put sessions and cookies together | [`guide::login`], [`web`](web/index.html) |
//! | choose a type for the content, change it later | [`guide::content`], [`Builder::content_version`] |
//! | list and end a user's sessions | [`guide::users`], [`SessionStore::sessions_of_with`], [`SessionStore::destroy_of`] |
//! | change one session from many threads | [`SessionStore::modify`] |
//! | limit how many sessions a user has | [`Builder::max_sessions_per_user`] |
//! | call it from async code | [`guide::async_`] |
//! | copy a store while it is in use | [`SessionStore::backup`] |
//! | be told what happens in a store, for a log or an alarm | [`Observer`], [`Event`] |
//! | see whether a store is whole, rescue a damaged one | [`SessionStore::check`], [`salvage`](salvage()) |
//! | keep sessions on a server, for many machines | [`SessionStore::connect`], [`guide::engines`] |
//! | look into a store without its program, keep it in an archive | [`admin`] |
//! | keep sessions somewhere else | [`engine::Engine`] |
//! | handle what can go wrong | [`guide::errors`], [`Error`] |
//! | know what an update may change | [`guide::versions`] |
//!
//! # What holds
//!
//! - A session is expired once `now >= deadline`, and an expired session is absent: no method can
//!   tell it from one that never was, and touching does not revive it.
//! - Only creating creates. An update of a session that is gone changes nothing, so a request in
//!   flight never undoes a logout.
//! - What is stored comes back, or reading it is an error: content is read back before it is
//!   written, and its shape is compared whenever it is read.
//! - No lost updates: [`update`](SessionStore::update) refuses a session that changed since it was
//!   read, [`modify`](SessionStore::modify) tries again.
//! - What was acknowledged survives a killed process and, with the default [`Durability`], power
//!   loss.
//! - The session id is never stored, printed or logged; the file holds digests.
//!
//! # What it is not
//!
//! No HTTP, no user accounts, no server, no async. Not a cache, and not for two processes at once:
//! one process holds the file.
//!
//! # Limits
//!
//! | limit | default | set by | past it |
//! |---|---|---|---|
//! | content of a session | 64 KiB, at most 16 MiB | [`Builder::max_content_len`] | [`Error::TooLarge`] |
//! | levels in content | 64; in JSON 127 | | [`Error::Encode`] |
//! | sessions | 10,000,000 | [`Builder::max_sessions`] | [`Error::Full`] |
//! | sessions of a user | none | [`Builder::max_sessions_per_user`] | [`Error::UserFull`], or the oldest ends |
//! | a user id | 255 bytes | | [`Error::InvalidUser`] |
//! | the page cache | 1/32 of memory, 64 to 512 MiB | [`Builder::cache_size`] | pages are read again |
//! | processes on a file | 1 | [`SessionStore::connect`] to a server | [`Error::AlreadyOpen`] |
//!
//! # Systems
//!
//! It was run on Linux, x86-64, with the file on a local disk that supports locks, and most of its
//! tests under Wine. macOS, Android and the BSDs have their locks and syncs in the code, by the
//! documentation of each system; **none of them was run**, nor was Windows itself. The README has a
//! table. Of servers it was run on PostgreSQL,
//! MariaDB and Redis; [`guide::engines`] names those that it was not run on.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `app-dir` | no | `SessionStore::open_in_app_dir`, `app_dir`: the folder that the system has for a program's data, and the store in it |
//! | `cookie` | no | [`web`](web/index.html): the session cookie, in and out; CSRF tokens for forms before a login |
//! | `testing` | no | a manual clock, a disk that crashes and fails, the conformance suite for engines of your own |
//! | `postgres` | no | sessions on PostgreSQL |
//! | `mysql` | no | sessions on MySQL or MariaDB |
//! | `mongodb` | no | sessions on a MongoDB replica set; never run on a real one |
//! | `redis` | no | sessions on Redis or Valkey, alone or as a cluster |
//! | `admin` | no | a door for the tool `sessile` into a running program; on Unix |
//! | `tracing` | no | spans and events for `tracing`: keys, never an id, a user or content |
//! | `metrics` | no | counters, gauges and histograms for the facade `metrics` |
//! | `tls` | no | TLS to each of them; it compiles C |
//! | `uuid` | no | a [`UserId`] from a `uuid::Uuid` |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod admin;
mod builder;
pub mod engine;
mod error;
pub mod guide;
mod key;
mod process;
mod random;
mod record;
mod session;
mod store;
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
