//! The program without its window: what it keeps, what it does, and what it shows when.
//!
//! | module | holds |
//! |---|---|
//! | [`state`] | the screens, and which event leads from one to the next; calls nothing that waits |
//! | [`worker`] | the calls that may wait: opening, logging in, saving, rescuing |
//! | [`kept`] | where the session id is kept: in a file of mode 0600, or in the system's keyring |
//! | [`rescue`] | a damaged file: what is whole goes into a new one, in the old one's place |
//! | [`words`] | errors in plain words, and what can be done about each |
//! | [`content`] | what a session holds, in release 2 and in release 1 |
//! | [`accounts`] | who may log in; a stub of two |
//!
//! Invariant: nothing here knows the window, and no text has a session id.

pub mod accounts;
pub mod content;
pub mod kept;
pub mod rescue;
pub mod state;
pub mod words;
pub mod worker;
