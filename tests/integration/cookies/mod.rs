//! `sessile::web::cookie` from the view of a browser and of a sibling host.

mod combinations;
mod lifetimes;
mod reading;
mod refusals;

use sessile::SessionStore;
use sessile::web::cookie::SessionCookie;

/// An id, as text.
const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// Another id.
const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

fn without_tls() -> SessionCookie {
    SessionCookie::builder().secure(false).build().unwrap()
}

fn store() -> SessionStore<u32> {
    SessionStore::in_memory().unwrap()
}
