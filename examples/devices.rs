//! The page of a user's devices: list the user's sessions, end one, end all others, and never end
//! another user's session.
//!
//! ```text
//! $ cargo run --example devices
//! ann's devices: Firefox from 192.0.2.7 (this one), Safari from 198.51.100.2, curl from 203.0.113.9
//! bob ends one of ann's: refused
//! ann ends her phone: done
//! the phone's next request: log in again
//! ann ends all others: 1
//! ann's devices: Firefox from 192.0.2.7 (this one)
//! ```

use std::error::Error;

use serde::{Deserialize, Serialize};
use sessile::{Json, Session, SessionStore};

/// The device, as known at the login. A page would also show the times of each session.
#[derive(Serialize, Deserialize)]
struct Device {
    browser: String,
    address: String,
}

type Store = SessionStore<Json<Device>>;

fn log_in(
    store: &Store,
    user: &str,
    browser: &str,
    address: &str,
) -> sessile::Result<Session<Json<Device>>> {
    let device = Device { browser: browser.into(), address: address.into() };
    store.create_for_user(user, Json(device))
}

/// GET /devices: reads this user's sessions and no others.
fn list(store: &Store, mine: &Session<Json<Device>>) -> sessile::Result<()> {
    let Some(user) = mine.user() else { return Ok(()) };
    let mut lines = Vec::new();
    for session in store.sessions_of_with(user)? {
        let here = if session.info().key() == mine.key() { " (this one)" } else { "" };
        lines.push(match session.content() {
            Ok(Json(Device { browser, address })) => format!("{browser} from {address}{here}"),
            // For instance a session of a newer version of the program. The user can end it.
            Err(_) => "an unknown device".into(),
        });
    }
    // The store lists the latest activity first. Here all sessions are equally old.
    lines.sort();
    println!("{user}'s devices: {}", lines.join(", "));
    Ok(())
}

/// POST /devices/end: the store ends the session only if it is this user's, in one step.
fn end(store: &Store, mine: &Session<Json<Device>>, field: &str) -> sessile::Result<bool> {
    let Some(user) = mine.user() else { return Ok(false) };
    store.destroy_of(user, &field.parse()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::in_memory()?;
    let desktop = log_in(&store, "ann", "Firefox", "192.0.2.7")?;
    let phone = log_in(&store, "ann", "Safari", "198.51.100.2")?;
    log_in(&store, "ann", "curl", "203.0.113.9")?;
    let bob = log_in(&store, "bob", "Chrome", "192.0.2.8")?;

    list(&store, &desktop)?;
    // A key is no secret: a key is a digest, and gives nobody a login.
    let field = phone.key().to_string();
    if !end(&store, &bob, &field)? {
        println!("bob ends one of ann's: refused");
    }
    if end(&store, &desktop, &field)? {
        println!("ann ends her phone: done");
    }
    if store.read(phone.id())?.is_none() {
        println!("the phone's next request: log in again");
    }
    println!("ann ends all others: {}", store.destroy_others(&desktop)?);
    list(&store, &desktop)?;
    Ok(())
}
