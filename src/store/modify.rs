//! Read, change, update, and again if somebody else was faster.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::session::id::SessionId;
use crate::store::SessionStore;

/// How often a change is tried. Each failed try means that another thread's update succeeded. So
/// only thousands of updates of one session, all faster than this caller, reach it.
pub(super) const MAX_ATTEMPTS: u32 = 10_000;

/// What the closure of [`SessionStore::modify`] or [`SessionStore::modify_key`] may return, and
/// what the call makes of it. `S` is the session that the closure gets: [`Session`], or
/// [`SessionByKey`](crate::SessionByKey).
///
/// | the closure returns | the call returns | if the session is gone |
/// |---|---|---|
/// | `()` | `Result<Option<S>>`: the session as it was saved | `Ok(None)` |
/// | `Option<T>` | `Result<Option<T>>` | `Ok(None)` |
/// | a number, a text, a `Vec`, a tuple, ... | `Result<Option<T>>` | `Ok(None)` |
/// | [`Returned(value)`](Returned), for any type | `Result<Option<T>>` | `Ok(None)` |
/// | `Result` of one of these, with an error `E: From<Error>` | the same, with `E` for the error | `Ok(None)` |
///
/// An `Err` keeps the session as it was, and is returned as it is.
#[diagnostic::on_unimplemented(
    message = "the closure of `modify` or `modify_key` may not return `{Self}`",
    note = "wrap a value of another type: `Returned(value)`; an error type has to be `From<sessile::Error>`"
)]
pub trait ModifyOutcome<S> {
    /// What the call returns inside `Ok`.
    type Output;
    /// The error of the call.
    type Error: From<Error>;
    /// Whether the session is to be saved with what the closure made of it.
    #[doc(hidden)]
    fn into_value(self) -> Result<Self::Value, Self::Error>;
    #[doc(hidden)]
    type Value;
    #[doc(hidden)]
    fn saved(value: Self::Value, session: S) -> Self::Output;
    /// What is returned for a session that is not there.
    #[doc(hidden)]
    fn gone() -> Self::Output;
}

/// A value of any type, returned out of the closure of [`SessionStore::modify`].
///
/// # Examples
///
/// ```
/// use sessile::{Returned, SessionStore};
///
/// struct Price { cents: u64 }
///
/// let store = SessionStore::<u64>::in_memory()?;
/// let id = store.create(250)?.id().clone();
/// let price = store.modify(&id, |session| Returned(Price { cents: *session.content() }))?;
/// assert_eq!(price.map(|price| price.cents), Some(250));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned<T>(pub T);

/// What [`ModifyOutcome`] is for alone and for inside a `Result`.
pub trait ModifyValue<S> {
    /// What the call returns inside `Ok`.
    type Output;
    #[doc(hidden)]
    fn saved(self, session: S) -> Self::Output;
    #[doc(hidden)]
    fn gone() -> Self::Output;
}

impl<S> ModifyValue<S> for () {
    type Output = Option<S>;

    fn saved(self, session: S) -> Self::Output {
        Some(session)
    }

    fn gone() -> Self::Output {
        None
    }
}

impl<S, T> ModifyValue<S> for Option<T> {
    type Output = Self;

    fn saved(self, _: S) -> Self::Output {
        self
    }

    fn gone() -> Self::Output {
        None
    }
}

impl<S, T> ModifyValue<S> for Returned<T> {
    type Output = Option<T>;

    fn saved(self, _: S) -> Self::Output {
        Some(self.0)
    }

    fn gone() -> Self::Output {
        None
    }
}

impl<S, V: ModifyValue<S>, E: From<Error>> ModifyOutcome<S> for Result<V, E> {
    type Output = V::Output;
    type Error = E;
    type Value = V;

    fn into_value(self) -> Result<V, E> {
        self
    }

    fn saved(value: V, session: S) -> Self::Output {
        value.saved(session)
    }

    fn gone() -> Self::Output {
        V::gone()
    }
}

/// Alone, a value is what it is inside a `Result` whose error is the crate's.
macro_rules! outcomes {
    ($([$($parameter:ident),*] $value:ty;)*) => {$(
        impl<S, $($parameter),*> ModifyOutcome<S> for $value {
            type Output = <$value as ModifyValue<S>>::Output;
            type Error = Error;
            type Value = $value;

            fn into_value(self) -> Result<Self> {
                Ok(self)
            }

            fn saved(value: Self, session: S) -> Self::Output {
                <$value as ModifyValue<S>>::saved(value, session)
            }

            fn gone() -> Self::Output {
                <$value as ModifyValue<S>>::gone()
            }
        }
    )*};
}

/// Values that are returned as they are, if there was a session to get them from.
macro_rules! values {
    ($([$($parameter:ident),*] $value:ty;)*) => {
        $(
            impl<S, $($parameter),*> ModifyValue<S> for $value {
                type Output = Option<$value>;

                fn saved(self, _: S) -> Self::Output {
                    Some(self)
                }

                fn gone() -> Self::Output {
                    None
                }
            }
        )*
        outcomes! { $([$($parameter),*] $value;)* }
    };
}

outcomes! {
    [] ();
    [T] Option<T>;
    [T] Returned<T>;
}

values! {
    [] bool; [] char; [] String; [] &'static str;
    [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize;
    [] f32; [] f64;
    [] std::time::Duration; [] std::time::SystemTime;
    [T] Vec<T>; [T] Box<T>; [T] std::sync::Arc<T>;
    [A, B] (A, B); [A, B, D] (A, B, D); [A, B, D, E] (A, B, D, E);
    [K, V, H] std::collections::HashMap<K, V, H>; [K, V] std::collections::BTreeMap<K, V>;
    [K, H] std::collections::HashSet<K, H>; [K] std::collections::BTreeSet<K>;
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Reads a session, lets the closure change it, and saves it; again from the start if somebody
    /// else saved it meanwhile. What the closure returns is returned, once the session is saved:
    /// nothing gives the session itself, a value the value, and a `Result` may have an error of
    /// your own; see [`ModifyOutcome`]. `None` if there is no such session, or none any more.
    ///
    /// This is the way to change a session that several requests may change at once: no change is
    /// lost. A returned session has been saved and its life extended. One durable commit a try.
    ///
    /// # Concurrency
    ///
    /// The closure runs in the calling thread with no lock held, once for every try; it should do
    /// nothing but change the session. If it panics, nothing is written.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`update`](Self::update), except `Gone` and `Conflict`:
    /// [`Error::Conflict`] only after 10,000 tries. An error that the closure returns is returned
    /// as it is, and nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u64>::in_memory()?;
    /// let id = store.create(0)?.id().clone();
    ///
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| store.modify(&id, |session| *session.content_mut() += 1));
    ///     }
    /// });
    /// assert_eq!(*store.read(&id)?.expect("not destroyed").content(), 4);
    ///
    /// // A value, and an error of one's own:
    /// let before = store.modify(&id, |session| {
    ///     let before = *session.content();
    ///     *session.content_mut() = before.checked_sub(1).ok_or("nothing is left")?;
    ///     Ok::<_, Box<dyn std::error::Error>>(before)
    /// });
    /// assert_eq!(before.expect("there was one left"), Some(4));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn modify<R: ModifyOutcome<Session<C>>>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut Session<C>) -> R,
    ) -> Result<R::Output, R::Error> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(mut session) = self.read(id)? else { return Ok(R::gone()) };
            let value = change(&mut session).into_value()?;
            match self.update(&mut session) {
                Ok(()) => return Ok(R::saved(value, session)),
                Err(Error::Conflict { .. }) => {}
                Err(Error::Gone { .. }) => return Ok(R::gone()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict { key: id.key() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_never_fits_ends_as_a_conflict_after_so_many_attempts() {
        let store = SessionStore::<u32>::builder().manual_maintenance().in_memory().unwrap();
        let id = store.create(0).unwrap().id().clone();
        let mut attempts = 0;
        let refused = store.modify(&id, |session| {
            attempts += 1;
            // Somebody else is faster, every time.
            let mut other = store.read(&id).unwrap().unwrap();
            *other.content_mut() += 1;
            store.update(&mut other).unwrap();
            *session.content_mut() = 0;
        });
        assert!(matches!(refused, Err(Error::Conflict { key }) if key == id.key()));
        assert_eq!(attempts, MAX_ATTEMPTS);
        assert_eq!(store.read(&id).unwrap().unwrap().into_content(), MAX_ATTEMPTS);
    }
}
