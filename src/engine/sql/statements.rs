//! The common parts of all dialects' statements: numbers, names, the rows of the counts.
//!
//! Invariant: all hosts on a store use the same values, whatever their version. It knows no
//! dialect.

/// The number of rows over which the number of records is spread where they are changed in place,
/// so that inserts do not wait for one another.
pub(super) const SHARDS: u8 = 64;

/// The row to lock near the limit on the number of sessions.
pub(super) const LIMIT_LOCK: i64 = -1;

/// The bytes of records after which a page ends; the last record may exceed it.
pub(super) const PAGE_BYTES: i64 = 4 * 1024 * 1024;

/// Removes the tables. `{}` is the store's name.
pub(super) const DROPPING: &str = "drop table if exists {}_sessions, {}_users, {}_counts, {}_meta";

/// The statements that have the same effect in every dialect: they take the same values, and return
/// the same columns. Only the answer to a save is for each dialect to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Common {
    Begin,
    Commit,
    Now,
    Load,
    Insert,
    Count,
    LockLimit,
    IsCounted,
    LockFormat,
    CorrectCounts,
    LockUser,
    Exists,
    Stored,
    Others,
    DeleteKeys,
    Replace,
    Rekey,
    Look,
    LookAndLock,
    OfUser,
    Users,
    Page,
    CountLive,
    LoadMeta,
    StoreMeta,
    InitMeta,
}

/// The statements of a dialect, by their numbers: the common ones, and its own.
pub(super) trait Texts: Copy + From<Common> + 'static {
    /// Each text at its number; `{}` is the store's name.
    const ALL: &'static [&'static str];

    fn number(self) -> usize;
}

/// Declares the statements of a dialect, each with its text. `@` marks the common ones: a missing
/// or unknown common statement does not compile.
macro_rules! statements {
    ($($(@ $common:ident)? $($own:ident)? = $text:expr;)*) => {
        /// The statements, by their numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Text { $($($common)? $($own)?),* }

        impl $crate::engine::sql::statements::Texts for Text {
            const ALL: &'static [&'static str] = &[$($text),*];

            fn number(self) -> usize {
                self as usize
            }
        }

        impl From<$crate::engine::sql::statements::Common> for Text {
            fn from(common: $crate::engine::sql::statements::Common) -> Self {
                match common {
                    $($($crate::engine::sql::statements::Common::$common => Self::$common,)?)*
                }
            }
        }
    };
}
pub(super) use statements;
