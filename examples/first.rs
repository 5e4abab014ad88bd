//! The shortest whole program: a session that survives the program.
//!
//! ```text
//! $ cargo run --example first
//! in the cart: tea, milk
//! after the logout: no session
//! ```

use std::error::Error;

use serde::{Deserialize, Serialize};
use sessile::{SessionId, SessionStore};

#[derive(Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sessions.redb");

    // The first start. The id goes to the client: into a cookie, or into a keyring.
    let cookie = {
        let store = SessionStore::<Cart>::open(&path)?;
        let mut session = store.create_for_user("ann", Cart { items: vec!["tea".into()] })?;
        session.content_mut().items.push("milk".into());
        store.update(&mut session)?;
        session.id().encode()
    };

    // The next start.
    let store = SessionStore::<Cart>::open(&path)?;
    let id = SessionId::parse(&cookie)?;
    if let Some(session) = store.read_and_extend(&id)? {
        println!("in the cart: {}", session.content().items.join(", "));
    }

    store.destroy(&id)?;
    if store.read(&id)?.is_none() {
        println!("after the logout: no session");
    }
    Ok(())
}
