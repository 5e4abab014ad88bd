//! The page of a user's devices: list them, end one, end all others, and nobody else's.
//!
//! ```text
//! $ cargo run --example devices
//! ann's devices: 3, one of them this one
//! bob ends one of ann's: refused
//! ann ends her phone: done
//! the phone's next request: log in again
//! ann ends all others: 1
//! ann's devices: 1, one of them this one
//! ```

use std::error::Error;

use sessile::{Session, SessionKey, SessionStore};

type Store = SessionStore<u32>;

/// GET /devices: a line for each session. A page shows the times that a line has, too.
fn list(store: &Store, mine: &Session<u32>) -> sessile::Result<()> {
    let Some(user) = mine.user() else { return Ok(()) };
    let devices = store.sessions_of(user)?;
    let here = devices.iter().filter(|info| info.key() == mine.key()).count();
    let here = if here == 1 { ", one of them this one" } else { "" };
    println!("{user}'s devices: {}{here}", devices.len());
    Ok(())
}

/// POST /devices/end: the key that the form sends has to be one of the user's own.
fn end(store: &Store, mine: &Session<u32>, field: &str) -> sessile::Result<bool> {
    let Some(user) = mine.user() else { return Ok(false) };
    let key: SessionKey = field.parse()?;
    let theirs = store.sessions_of(user)?.iter().any(|info| info.key() == key);
    Ok(theirs && store.destroy_key(&key)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::in_memory()?;
    let desktop = store.create_for_user("ann", 1)?;
    let phone = store.create_for_user("ann", 2)?;
    store.create_for_user("ann", 3)?;
    let bob = store.create_for_user("bob", 4)?;

    list(&store, &desktop)?;
    // A key is no secret: it is a digest, and nobody logs in with it.
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
