//! The program without its window: its data, its work and its screens.
//!
//! | module | holds |
//! |---|---|
//! | [`state`] | the screens, and the events that lead from one to the next; never blocks |
//! | [`worker`] | the calls that may block: opening, logging in, saving, rescuing |
//! | [`kept`] | where the session id is kept: in a file of mode 0600, or in the system's keyring |
//! | [`rescue`] | a damaged file: its intact sessions go into a new file, which replaces it |
//! | [`words`] | errors in plain words, and the possible actions for each |
//! | [`content`] | the content of a session, in release 2 and in release 1 |
//! | [`accounts`] | a stub with two users |
//!
//! Invariant: the library does not use the window, and no text contains a session id.

pub mod accounts;
pub mod content;
pub mod kept;
pub mod rescue;
pub mod state;
pub mod words;
pub mod worker;
