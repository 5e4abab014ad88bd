//! The content of a session, and how release 2 reads the content that release 1 has stored.
//!
//! Invariant: release 1's type never changes, so an update logs nobody out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sessile::{Builder, SessionStore, StoredContent, Timeouts};

/// The content's name in the file, so that another program's file is not opened by mistake.
pub const NAME: &str = "sessile's example desktop";
/// The version of [`Desk`].
pub const VERSION: u32 = 2;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Both timeouts of a login that is kept.
pub const KEPT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Both timeouts of a login that is not kept. They end it if the program is killed.
pub const NOT_KEPT: Duration = Duration::from_secs(DAY.as_secs() / 2);

/// The content of a session, from release 2 on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desk {
    /// The computer of the login, as the list of computers shows it.
    pub computer: String,
    /// The user's notes, in order.
    pub notes: Vec<String>,
}

/// The content that release 1 has stored.
pub mod release_1 {
    use serde::{Deserialize, Serialize};

    /// The version of [`Desk`].
    pub const VERSION: u32 = 1;

    /// The content, with all notes in one text.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Desk {
        /// The computer of the login.
        pub computer: String,
        /// The notes, each on a line.
        pub note: String,
    }
}

/// Release 1's text becomes a list of its lines.
///
/// # Errors
///
/// If the stored content is not release 1's.
pub fn migrate(old: StoredContent<'_>) -> sessile::Result<Desk> {
    let release_1::Desk { computer, note } = old.decode()?;
    let lines = note.lines().filter(|line| !line.trim().is_empty());
    Ok(Desk { computer, notes: lines.map(str::to_owned).collect() })
}

/// The settings with which the program opens every file.
///
/// # Errors
///
/// None, as long as [`KEPT`] is a time that a store can hold.
pub fn settings() -> sessile::Result<Builder<Desk>> {
    Ok(SessionStore::builder()
        .timeouts(Timeouts::new(KEPT, KEPT)?)
        .content_name(NAME)
        .content_version(VERSION, migrate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_2_shows_the_lines_of_release_1_and_stores_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let before = SessionStore::builder()
            .content_name(NAME)
            .content_version(release_1::VERSION, |old| old.decode::<release_1::Desk>())
            .open(&path)
            .unwrap();
        let old = release_1::Desk { computer: "attic".into(), note: "milk\n\ntea\n".into() };
        let id = before.create_for_user("ann", old).unwrap().id().clone();
        before.close().unwrap();

        let store = settings().unwrap().open(&path).unwrap();
        let session = store.read(&id).unwrap().unwrap();
        assert_eq!(session.content().notes, ["milk", "tea"]);
        store.modify(&id, |session| session.content_mut().notes.push("bread".into())).unwrap();
        assert_eq!(store.read(&id).unwrap().unwrap().content().notes, ["milk", "tea", "bread"]);
    }
}
