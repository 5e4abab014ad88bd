#![doc = include_str!("../README.md")]
//!
//! # What each call does
//!
//! | tower-sessions | here |
//! |---|---|
//! | `create` | one durable commit, insert-only, under an id from the operating system's generator; the record's own id is replaced |
//! | `save` | one durable commit; `Ok` and no change if the session has ended |
//! | `load` | a read; [Threads](#threads) says where it runs |
//! | `delete` | one durable commit; no request in flight brings the session back under its id. `cycle_id` stores the data that its request had loaded as a new session: call it only right after the user has proved their identity |
//! | `delete_expired` | a sweep by index; the store also sweeps by itself, once a minute |
//!
//! `cycle_id` deletes the old id, whether or not it has a session, and creates a new session. No
//! store can tell these two calls from a login. So a session that ended during the request comes
//! back, under the new id. An error for a missing id would make a second logout fail.
//!
//! A session that cannot be read, because its record is damaged or another program wrote it, is the
//! error `Decode`, and not an absent session. The program decides: it ends the session by
//! [`SessionStore::destroy`](sessile::SessionStore::destroy), or goes back to the release that wrote
//! it.
//!
//! Of two concurrent saves the last wins, whichever values they changed: tower-sessions' `Session`
//! saves all values, and cannot report a conflict. With `with_always_save` each request saves: one
//! that only reads undoes what another has saved meanwhile. If no update may be lost, use `sessile`
//! itself.
//!
//! # Without a cache
//!
//! Use the store alone, not with a `CachingSessionStore`: a logout is not final there. A cache in
//! front of the store does not learn of sessions that [`sessions`](SessileStore::sessions) ends.
//! It takes in again what a request in flight saves after a logout. As the cache of another store,
//! this one gives a session another id than the store behind it has. That store then neither loads
//! the session nor deletes it. A read of a file takes about a microsecond without a cache.
//!
//! # Threads
//!
//! Writes run on a thread of tokio's blocking pool, so they need a tokio runtime. A write that has
//! begun completes even if the request is dropped.
//!
//! A read of a store in a file or in memory runs in place. From memory it takes about a
//! microsecond. A read waits for the disk if the record is in no cache. After an I/O error a read
//! waits until the file is opened and verified again. A read on a server is a round trip. It runs
//! on a blocking thread if the store is from [`connect`](SessileStore::connect) to a server, or
//! from [`on_server`](SessileStore::on_server).
//!
//! # Sessions by user
//!
//! With [`with_user`](SessileStore::with_user), [`sessions`](SessileStore::sessions) lists and ends
//! a user's sessions. A handler finds its own session among them by the id, which both crates write
//! alike:
//!
//! ```
//! use sessile::{SessionId, SessionKey};
//! use sessile_tower_sessions::SessileStore;
//! use tower_sessions::Session;
//!
//! /// The session of a request; none before its first save.
//! fn own_id(session: &Session) -> Option<SessionId> {
//!     SessionId::parse(&session.id()?.to_string()).ok()
//! }
//!
//! /// GET /devices: the keys of the user's sessions; the request's own is marked.
//! fn devices(
//!     store: &SessileStore,
//!     user: &str,
//!     session: &Session,
//! ) -> sessile::Result<Vec<(SessionKey, bool)>> {
//!     let own = own_id(session).map(|id| id.key());
//!     let listed = store.sessions().sessions_of(user)?.into_iter();
//!     Ok(listed.map(|info| (info.key(), Some(info.key()) == own)).collect())
//! }
//!
//! /// POST /devices/end-others. This waits for the disk: call it in `spawn_blocking`.
//! fn end_others(store: &SessileStore, session: &Session) -> sessile::Result<u64> {
//!     let Some(id) = own_id(session) else { return Ok(0) };
//!     match store.sessions().read(&id)? {
//!         Some(own) => store.sessions().destroy_others(&own),
//!         None => Ok(0),
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let user = |data: &sessile_tower_sessions::Data| data.get("user")?.as_str().map(Into::into);
//! # let store = SessileStore::in_memory()?.with_user(user);
//! # let mut logins = Vec::new();
//! # for _ in 0..2 {
//! #     let session = Session::new(None, std::sync::Arc::new(store.clone()), None);
//! #     session.insert("user", "ann").await?;
//! #     assert_eq!(end_others(&store, &session)?, 0);
//! #     session.save().await?;
//! #     logins.push(session);
//! # }
//! # let mut marked: Vec<bool> = Vec::new();
//! # marked.extend(devices(&store, "ann", &logins[0])?.iter().map(|(_, own)| *own));
//! # marked.sort();
//! # assert_eq!(marked, [false, true]);
//! # assert_eq!(end_others(&store, &logins[0])?, 1);
//! # assert_eq!(devices(&store, "ann", &logins[0])?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Expiry
//!
//! A session expires at its record's `expiry_date`, to the nanosecond, by this machine's clock. The
//! store's own [`Timeouts`](sessile::Timeouts) do not end it earlier. A store with another clock,
//! such as a server's, counts the lifetime from each save. The two clocks are never compared. A
//! `save` moves the expiry date in either direction. A date in the past ends the session. Without
//! `with_always_save`, a request that changes no value saves nothing: it extends no session, also
//! under `OnInactivity`, and is no activity. So `last_active` is the last save, and a limit of
//! sessions per user ends the session that was saved the longest ago, perhaps one in use.
//!
//! # Features
//!
//! | feature | default | implements the traits of |
//! |---|---|---|
//! | `v0-15` | yes | tower-sessions 0.15 |
//! | `v0-14` | no | tower-sessions 0.14, for axum-login 0.18 |
//!
//! Both features may be enabled; the store then implements both versions.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod content;
mod store;
mod traits;

pub use content::{Content, Data};
pub use store::SessileStore;
