//! What a request contains under the session cookie's name, and why that may be no id.

use crate::session::id::SessionId;

/// What a request presents under the session cookie's name; see
/// [`SessionCookie::present`](super::SessionCookie::present).
///
/// # Examples
///
/// ```
/// use sessile::web::cookie::{Presented, SessionCookie};
///
/// let cookie = SessionCookie::builder().secure(false).build()?;
/// assert_eq!(cookie.present(["theme=dark"]), Presented::Nothing);
/// assert_eq!(cookie.present(["session=junk"]), Presented::Malformed);
///
/// let two = "session=AAAAAAAAAAAAAAAAAAAAAA; session=AAAAAAAAAAAAAAAAAAAAAQ";
/// assert_eq!(cookie.present([two]), Presented::Several);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presented {
    /// No cookie has the name.
    Nothing,
    /// Cookies have the name, but none holds an id.
    Malformed,
    /// Cookies of the name hold different ids, and nothing tells which id is the right one.
    ///
    /// Either another host of the domain planted one, or the program's path or domain has changed
    /// and browsers still hold the former cookie. In the second case, send
    /// [`clear`](super::SessionCookie::clear) of a `SessionCookie` with the former settings.
    Several,
    /// Exactly one id, whether or not a session has it.
    One(SessionId),
}

impl Presented {
    /// The id, if there is exactly one.
    #[must_use]
    pub fn into_id(self) -> Option<SessionId> {
        match self {
            Self::One(id) => Some(id),
            Self::Nothing | Self::Malformed | Self::Several => None,
        }
    }
}
