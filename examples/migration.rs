//! A release that changes the type of its sessions' content without logging anybody out.
//!
//! ```text
//! $ cargo run --example migration
//! release 1 stored 3 items
//! release 2 reads: 3 items, paid in EUR
//! release 1 again: refused, and the session is untouched
//! release 2 still reads: 3 items, paid in EUR
//! ```

use std::error::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sessile::{SessionId, SessionStore};

mod release_1 {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Cart {
        pub(crate) items: u32,
    }

    pub(crate) fn open(path: &Path) -> sessile::Result<SessionStore<Cart>> {
        SessionStore::builder().open(path)
    }
}

mod release_2 {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Cart {
        pub(crate) items: u32,
        pub(crate) currency: String,
    }

    /// The content of release 1 has version 0, because release 1 sets no version.
    pub(crate) fn open(path: &Path) -> sessile::Result<SessionStore<Cart>> {
        SessionStore::builder()
            .content_version(1, |old| {
                let before: release_1::Cart = old.decode()?;
                Ok(Cart { items: before.items, currency: "EUR".into() })
            })
            .open(path)
    }
}

fn show(path: &Path, id: &SessionId, how: &str) -> sessile::Result<()> {
    let store = release_2::open(path)?;
    if let Some(mut session) = store.read(id)? {
        let cart = session.content();
        println!("release 2 {how}: {} items, paid in {}", cart.items, cart.currency);
        // The stored session keeps its old form until it is saved.
        store.update(&mut session)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sessions.redb");

    let id = {
        let store = release_1::open(&path)?;
        let session = store.create(release_1::Cart { items: 3 })?;
        println!("release 1 stored {} items", session.content().items);
        session.id().clone()
    };
    show(&path, &id, "reads")?;

    // After a rollback, release 1 meets content of release 2: an error, never a wrong value.
    if let Err(sessile::Error::ContentMismatch { .. }) = release_1::open(&path)?.read(&id) {
        println!("release 1 again: refused, and the session is untouched");
    }
    show(&path, &id, "still reads")?;
    Ok(())
}
