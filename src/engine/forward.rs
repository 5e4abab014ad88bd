//! Forwards calls: the macro for wrappers, and the implementation of `Engine` for pointers.

use std::sync::Arc;

use crate::engine::contract::Engine;

/// Writes the calls of an [`Engine`] that a wrapper forwards to the engine in one of its fields.
///
/// It stands inside an `impl Engine for ..` and takes the name of the field, then, in this order,
/// two optional parts:
///
/// - `each method`: a method of the wrapper, called as `self.method("load")?` before each call that
///   can fail, with the call's name. So a wrapper can count calls, or let them fail.
/// - `but load, close`: the calls that the wrapper writes itself.
///
/// # Examples
///
/// An engine that counts every call of another:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use sessile::engine::{Engine, MemoryEngine, Moment};
/// use sessile::{Result, SessionId};
///
/// #[derive(Debug, Default)]
/// struct Counting<E> {
///     inner: E,
///     calls: AtomicU64,
/// }
///
/// impl<E> Counting<E> {
///     fn count(&self, _call: &'static str) -> Result<()> {
///         self.calls.fetch_add(1, Ordering::Relaxed);
///         Ok(())
///     }
/// }
///
/// impl<E: Engine> Engine for Counting<E> {
///     sessile::forward_engine!(inner, each count);
/// }
///
/// let engine = Counting::<MemoryEngine>::default();
/// engine.load(&SessionId::generate()?.key(), Moment::BEGINNING)?;
/// assert_eq!(engine.calls.into_inner(), 1);
/// # Ok::<(), sessile::Error>(())
/// ```
#[macro_export]
macro_rules! forward_engine {
    ($field:tt $(, but $($own:ident),+)? $(,)?) => {
        $crate::forward_engine!(@calls (.$field) () [$($($own)+)?]);
    };
    ($field:tt, each $hook:ident $(, but $($own:ident),+)? $(,)?) => {
        $crate::forward_engine!(@calls (.$field) ($hook) [$($($own)+)?]);
    };

    // Every call of the contract: first the calls that can fail, then the others.
    (@calls $to:tt $hook:tt $own:tt) => {
        $crate::forward_engine! { @fallible $to $hook $own
            insert(key: &$crate::SessionKey, record: $crate::engine::Record,
                moment: $crate::engine::Moment, limits: $crate::engine::Limits)
                -> $crate::engine::Insert;
            load(key: &$crate::SessionKey, moment: $crate::engine::Moment)
                -> ::std::option::Option<$crate::engine::Record>;
            extend(key: &$crate::SessionKey, moment: $crate::engine::Moment,
                resolution: ::std::time::Duration)
                -> ::std::option::Option<$crate::engine::Record>;
            replace(key: &$crate::SessionKey, expected_revision: u64,
                record: $crate::engine::Record, moment: $crate::engine::Moment,
                limits: $crate::engine::Limits) -> $crate::engine::Replace;
            rekey(old: &$crate::SessionKey, new: &$crate::SessionKey, expected_revision: u64,
                record: $crate::engine::Record, moment: $crate::engine::Moment,
                limits: $crate::engine::Limits) -> $crate::engine::Rekey;
            remove(key: &$crate::SessionKey,
                owner: ::std::option::Option<&$crate::engine::UserKey>,
                moment: $crate::engine::Moment)
                -> ::std::option::Option<$crate::engine::Ended>;
            remove_user(user: &$crate::engine::UserKey, moment: $crate::engine::Moment)
                -> ::std::vec::Vec<$crate::engine::Ended>;
            remove_others(keep: &$crate::SessionKey, moment: $crate::engine::Moment)
                -> ::std::option::Option<::std::vec::Vec<$crate::engine::Ended>>;
            rename_user(old: &$crate::engine::UserKey, new: &$crate::engine::UserKey,
                moment: $crate::engine::Moment) -> u64;
            scan_user(user: &$crate::engine::UserKey, visit: &mut $crate::engine::Visit<'_>)
                -> ();
            scan(after: ::std::option::Option<&$crate::SessionKey>,
                visit: &mut $crate::engine::Visit<'_>) -> ();
            scan_users(after: ::std::option::Option<&$crate::engine::UserKey>,
                moment: $crate::engine::Moment, visit: &mut $crate::engine::VisitUser<'_>) -> ();
            remove_expired(moment: $crate::engine::Moment, limit: usize)
                -> $crate::engine::Sweep;
            reindex(timeouts: &$crate::Timeouts, goes_on: &dyn ::std::ops::Fn() -> bool) -> bool;
            count(moment: $crate::engine::Moment) -> u64;
            check(timeouts: &$crate::Timeouts, inspect: &mut $crate::engine::Inspect<'_>)
                -> $crate::engine::Checked;
            clear() -> ();
            load_meta(name: &str) -> ::std::option::Option<::std::vec::Vec<u8>>;
            store_meta(name: &str, value: &[u8]) -> ();
            init_meta(name: &str, value: &[u8]) -> ::std::vec::Vec<u8>;
            server_time() -> ::std::option::Option<$crate::engine::Timestamp>;
            attach(timeouts: $crate::Timeouts) -> $crate::engine::Attachment;
            flush() -> ();
            run_background_work() -> ();
            close() -> ();
            stats() -> $crate::engine::EngineStats;
        }
        $crate::forward_engine! { @infallible $to $own
            listing() -> $crate::engine::Listing;
            flush_interval() -> ::std::option::Option<::std::time::Duration>;
            late_by() -> ::std::time::Duration;
            set_waker(waker: $crate::engine::Waker) -> ();
        }
    };

    (@fallible $to:tt $hook:tt $own:tt
        $($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $($crate::forward_engine! { @unless $call $own {
            fn $call(&self, $($argument: $type),*) -> $crate::Result<$answer> {
                $crate::forward_engine!(@hook $hook self $call);
                $crate::engine::Engine::$call($crate::forward_engine!(@to $to self), $($argument),*)
            }
        } })*
    };
    (@infallible $to:tt $own:tt
        $($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $($crate::forward_engine! { @unless $call $own {
            fn $call(&self, $($argument: $type),*) -> $answer {
                $crate::engine::Engine::$call($crate::forward_engine!(@to $to self), $($argument),*)
            }
        } })*
    };

    (@to (. $field:tt) $this:tt) => { &$this.$field };
    (@to (*) $this:tt) => { &**$this };
    (@hook () $this:tt $call:ident) => {};
    (@hook ($hook:ident) $this:tt $call:ident) => {
        Self::$hook($this, ::std::stringify!($call))?
    };

    // The forwarded call, unless the wrapper writes its own.
    (@unless $call:ident [] { $($forwarded:tt)* }) => { $($forwarded)* };
    (@unless insert [insert $($more:ident)*] $forwarded:tt) => {};
    (@unless load [load $($more:ident)*] $forwarded:tt) => {};
    (@unless extend [extend $($more:ident)*] $forwarded:tt) => {};
    (@unless replace [replace $($more:ident)*] $forwarded:tt) => {};
    (@unless rekey [rekey $($more:ident)*] $forwarded:tt) => {};
    (@unless remove [remove $($more:ident)*] $forwarded:tt) => {};
    (@unless remove_user [remove_user $($more:ident)*] $forwarded:tt) => {};
    (@unless remove_others [remove_others $($more:ident)*] $forwarded:tt) => {};
    (@unless rename_user [rename_user $($more:ident)*] $forwarded:tt) => {};
    (@unless scan_user [scan_user $($more:ident)*] $forwarded:tt) => {};
    (@unless scan [scan $($more:ident)*] $forwarded:tt) => {};
    (@unless scan_users [scan_users $($more:ident)*] $forwarded:tt) => {};
    (@unless listing [listing $($more:ident)*] $forwarded:tt) => {};
    (@unless remove_expired [remove_expired $($more:ident)*] $forwarded:tt) => {};
    (@unless reindex [reindex $($more:ident)*] $forwarded:tt) => {};
    (@unless count [count $($more:ident)*] $forwarded:tt) => {};
    (@unless check [check $($more:ident)*] $forwarded:tt) => {};
    (@unless clear [clear $($more:ident)*] $forwarded:tt) => {};
    (@unless load_meta [load_meta $($more:ident)*] $forwarded:tt) => {};
    (@unless store_meta [store_meta $($more:ident)*] $forwarded:tt) => {};
    (@unless init_meta [init_meta $($more:ident)*] $forwarded:tt) => {};
    (@unless server_time [server_time $($more:ident)*] $forwarded:tt) => {};
    (@unless attach [attach $($more:ident)*] $forwarded:tt) => {};
    (@unless flush [flush $($more:ident)*] $forwarded:tt) => {};
    (@unless flush_interval [flush_interval $($more:ident)*] $forwarded:tt) => {};
    (@unless late_by [late_by $($more:ident)*] $forwarded:tt) => {};
    (@unless set_waker [set_waker $($more:ident)*] $forwarded:tt) => {};
    (@unless run_background_work [run_background_work $($more:ident)*] $forwarded:tt) => {};
    (@unless close [close $($more:ident)*] $forwarded:tt) => {};
    (@unless stats [stats $($more:ident)*] $forwarded:tt) => {};
    (@unless $call:ident [$other:ident $($more:ident)*] $forwarded:tt) => {
        $crate::forward_engine! { @unless $call [$($more)*] $forwarded }
    };
}

impl<E: Engine + ?Sized> Engine for Arc<E> {
    crate::forward_engine!(@calls (*) () []);
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    crate::forward_engine!(@calls (*) () []);
}
