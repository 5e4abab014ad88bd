//! For programs that speak HTTP: the session cookie, and tokens for the forms before a login.
//!
//! Nothing here knows a framework, a store or an engine: header values come in as bytes and go out
//! as text. [`cookie`] reads, sets and clears the session cookie. [`csrf`] protects a form that is
//! shown before there is a session, without storing anything.
//!
//! # With your framework
//!
//! [`SessionCookie::read`](cookie::SessionCookie::read) takes the values of the `Cookie` headers,
//! from any iterator over bytes or text. [`set`](cookie::SessionCookie::set) returns the value of a
//! `Set-Cookie` header as a `String`.
//!
//! | framework | in | out |
//! |---|---|---|
//! | axum | `cookie.read(headers.get_all("cookie"))` | `AppendHeaders([("set-cookie", cookie.set(&session))])` |
//! | actix-web | `cookie.read(request.headers().get_all("cookie"))` | `.append_header(("set-cookie", cookie.set(&session)))` |
//! | rouille | `cookie.read(request.headers().filter(\|h\| h.0.eq_ignore_ascii_case("cookie")).map(\|h\| h.1))` | `.with_additional_header("set-cookie", cookie.set(&session))` |
//! | tiny_http | `cookie.read(request.headers().iter().filter(\|h\| h.field.equiv("cookie")).map(\|h\| h.value.as_str()))` | `Header::from_bytes("set-cookie", cookie.set(&session))` |
//!
//! Each of these adds a header and keeps the headers of other cookies.
//!
//! tiny_http 0.12, and rouille over it, close a connection without an answer if a header has a byte
//! beyond ASCII. So another host of the domain can keep a browser out by a cookie with such a byte:
//! let a proxy in front remove such cookies.
//!
//! # A login page
//!
//! Everybody sees the page, crawlers included, so it stores nothing. Its form carries a token that
//! is bound to a random id in the visitor's cookie. No session has that id. The login creates a
//! session under a new id. A visitor who is logged in already has a session under the cookie's id,
//! and the login ends that session.
//!
//! ```
//! use sessile::web::cookie::SessionCookie;
//! use sessile::web::csrf::{CsrfKey, StatelessCsrf};
//! use sessile::{Error, SessionId, SessionOptions, SessionStore};
//!
//! struct Site {
//!     store: SessionStore<u32>,
//!     cookie: SessionCookie,
//!     csrf: StatelessCsrf,
//! }
//!
//! enum Answer {
//!     Page { form_token: String, set_cookie: Option<String> },
//!     LoggedIn { set_cookie: String },
//!     /// The form is too old, or another site's. Send the browser to GET /login: the answer to a
//!     /// request of another site must set no cookie, since it was sent without one.
//!     Refused,
//! }
//!
//! impl Site {
//!     /// GET /login
//!     fn login_page(&self, cookies: &[&str]) -> Result<Answer, Error> {
//!         // Keeping the id that the visitor has keeps the form in another tab valid.
//!         let (id, set_cookie) = match self.cookie.read(cookies) {
//!             Some(id) => (id, None),
//!             None => {
//!                 let id = SessionId::generate()?;
//!                 let set_cookie = self.cookie.set_id(&id);
//!                 (id, Some(set_cookie))
//!             }
//!         };
//!         Ok(Answer::Page { form_token: self.csrf.token(&id)?, set_cookie })
//!     }
//!
//!     /// POST /login
//!     fn log_in(&self, cookies: &[&str], form_token: &str, user: &str) -> Result<Answer, Error> {
//!         let before = match self.cookie.read(cookies) {
//!             Some(id) if self.csrf.verify(&id, form_token) => id,
//!             _ => return Ok(Answer::Refused),
//!         };
//!         // Here your program checks the password. The session gets an id of its own: whoever
//!         // knew or planted the id from before the login holds nothing.
//!         let options = SessionOptions::new().user(user).csrf_token();
//!         // An earlier login of this browser ends first, and so counts for no limit.
//!         self.store.destroy(&before)?; // of an id without a session: no commit
//!         let session = self.store.create_with(0, &options)?;
//!         Ok(Answer::LoggedIn { set_cookie: self.cookie.set(&session) })
//!     }
//! }
//!
//! # fn main() -> Result<(), Error> {
//! let site = Site {
//!     store: SessionStore::in_memory()?,
//!     cookie: SessionCookie::default(),
//!     csrf: StatelessCsrf::new(CsrfKey::generate()?),
//! };
//! # let Answer::Page { form_token, set_cookie: Some(set_cookie) } = site.login_page(&[])? else {
//! #     panic!("a first visit");
//! # };
//! # assert!(site.store.is_empty()?, "the page costs no commit");
//! # let before = set_cookie.split(';').next().unwrap_or_default();
//! # assert!(matches!(site.log_in(&[before], "guess", "ann")?, Answer::Refused));
//! # assert!(matches!(site.log_in(&[], &form_token, "ann")?, Answer::Refused));
//! # let Answer::LoggedIn { set_cookie } = site.log_in(&[before], &form_token, "ann")? else {
//! #     panic!("the right form");
//! # };
//! # let after = set_cookie.split(';').next().unwrap_or_default();
//! # let id = site.cookie.read([after]).expect("set above");
//! # assert_eq!(site.store.read(&id)?.and_then(|s| s.user().cloned()), Some("ann".into()));
//! # assert!(site.cookie.read([before]).is_some_and(|id| site.store.read(&id).unwrap().is_none()));
//! # let Answer::Page { form_token, set_cookie: None } = site.login_page(&[after])? else {
//! #     panic!("the cookie is kept");
//! # };
//! # assert!(matches!(site.log_in(&[after], &form_token, "bob")?, Answer::LoggedIn { .. }));
//! # assert!(site.store.read(&id)?.is_none(), "one login at a time");
//! # Ok(())
//! # }
//! ```
//!
//! Forms after the login use the session's own [`CsrfToken`](crate::CsrfToken). The repository's
//! `examples/server` is a complete server of this kind.

pub mod cookie;
pub mod csrf;
