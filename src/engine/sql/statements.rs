//! What the statements of all dialects have in common: numbers, names, the rows of the counts.
//!
//! Invariant: all hosts on a store agree on these, whatever their version. It knows no dialect.

/// Over how many rows the number of records is spread, so that those who insert do not wait for one
/// another.
pub(super) const SHARDS: u8 = 64;

/// The row that is locked by whoever comes near to the most sessions there may be.
pub(super) const LIMIT_LOCK: i64 = -1;

/// How near that is: more than there are inserts under way at once.
pub(super) const NEAR: u64 = 1_000;

/// How many bytes of records a page holds before it ends: one more record may come on top.
pub(super) const PAGE_BYTES: i64 = 4 * 1024 * 1024;

/// What takes the tables away. `{}` is the store's name.
pub(super) const DROPPING: &str = "drop table if exists {}_sessions, {}_users, {}_counts, {}_meta";

/// The statements that do the same in every dialect: they take the same values, and answer with the
/// same columns. Only what a save answers is for the dialect to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Common {
    Begin,
    Commit,
    Now,
    Load,
    Insert,
    Count,
    LockLimit,
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
    Entries,
    CountLive,
    LoadMeta,
    StoreMeta,
    InitMeta,
}

/// The statements of a dialect, by their numbers: those that all have, and its own.
pub(super) trait Texts: Copy + From<Common> + 'static {
    /// Each text at its number; `{}` is the store's name.
    const ALL: &'static [&'static str];

    fn number(self) -> usize;
}

/// The statements of a dialect, each with its text. `@` marks those that every dialect has: one
/// that is missing, or that others have not, does not compile.
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
