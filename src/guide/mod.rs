//! The guide: one page for each question, with programs that compile.
//!
//! | page | answers |
//! |---|---|
//! | [`login`] | the steps of a login, and the attack that each step stops |
//! | [`content`] | which type to choose for the content, what is checked, how it changes |
//! | [`timeouts`] | when a session ends; "remember me" |
//! | [`users`] | a page that lists a user's devices; ending sessions |
//! | [`errors`] | what to do about each error |
//! | [`async_`] | which calls may run on a runtime's thread |
//! | [`desktop`] | where the file and the id go; a second start; showing errors in a window |
//! | [`engines`] | a file, memory, or a server: what each promises |
//! | [`operating`] | what to monitor, what may be done with the file |
//! | [`versions`] | what a new version may change: the API, the compiler, the file |
//! | [`faq`] | why there is no X |

#[doc = include_str!("login.md")]
pub mod login {}

#[doc = include_str!("content.md")]
pub mod content {}

#[doc = include_str!("timeouts.md")]
pub mod timeouts {}

#[doc = include_str!("users.md")]
pub mod users {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("async.md")]
pub mod async_ {}

#[doc = include_str!("desktop.md")]
pub mod desktop {}

#[doc = include_str!("engines.md")]
pub mod engines {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("versions.md")]
pub mod versions {}

#[doc = include_str!("faq.md")]
pub mod faq {}
