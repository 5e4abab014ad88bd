//! Changes a session: read, change, update, and again if another caller saved it in between.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::session::id::SessionId;
use crate::store::SessionStore;

/// The most attempts of one change. A failed attempt means that another caller's update succeeded.
/// So only thousands of faster updates of the same session reach the limit.
pub(super) const MAX_ATTEMPTS: u32 = 10_000;

/// A value that the closure of [`SessionStore::modify`] or [`SessionStore::modify_key`] may return.
/// It decides what the call returns. `S` is the session that the closure gets: [`Session`], or
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
/// An `Err` leaves the session unchanged, and the call returns that error.
#[diagnostic::on_unimplemented(
    message = "the closure of `modify` or `modify_key` may not return `{Self}`",
    note = "wrap a value of another type: `Returned(value)`; an error type has to be `From<sessile::Error>`"
)]
pub trait ModifyOutcome<S> {
    /// The value of the call inside `Ok`.
    type Output;
    /// The error of the call.
    type Error: From<Error>;
    /// Whether to save the session, and the value of the closure.
    #[doc(hidden)]
    fn into_value(self) -> Result<Self::Value, Self::Error>;
    #[doc(hidden)]
    type Value;
    #[doc(hidden)]
    fn saved(value: Self::Value, session: S) -> Self::Output;
    /// The value of the call if there is no such session.
    #[doc(hidden)]
    fn gone() -> Self::Output;
}

/// Lets the closure of [`SessionStore::modify`] return a value of any type.
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

/// A value that [`ModifyOutcome`] accepts alone and inside a `Result`.
pub trait ModifyValue<S> {
    /// The value of the call inside `Ok`.
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

/// A value alone means the same as in a `Result` with the crate's error.
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

/// Values that the call returns in a `Some`, or `None` if there is no session.
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
    /// Reads a session, lets the closure change it, and saves it. Starts again if another caller
    /// saved it in between. The call returns the closure's value once the session is saved, and the
    /// saved session if the closure returns `()`. A closure may return a `Result` with your own
    /// error; see [`ModifyOutcome`]. `None` if there is no such session, or it ended meanwhile.
    ///
    /// Use it if several requests may change one session at once: no change is lost. Saving also
    /// extends the session's life. One durable commit a try.
    ///
    /// # Concurrency
    ///
    /// The closure runs in the calling thread with no lock held, once a try. It should only change
    /// the session. If it panics, nothing is written.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read) and [`update`](Self::update), without [`Error::Gone`].
    /// [`Error::Conflict`] only after 10,000 tries. An error of the closure is returned unchanged,
    /// and nothing is written.
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
    /// assert!(store.read(&id)?.is_some_and(|session| *session.content() == 4));
    ///
    /// // A value, and your own error type:
    /// let before = store.modify(&id, |session| {
    ///     let before = *session.content();
    ///     *session.content_mut() = before.checked_sub(1).ok_or("nothing is left")?;
    ///     Ok::<_, Box<dyn std::error::Error>>(before)
    /// })?;
    /// assert_eq!(before, Some(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
            // Another caller saves first, at every try.
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
