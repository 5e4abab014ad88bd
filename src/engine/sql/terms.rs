//! The rules of sessions as SQL has to restate them, once for all dialects.
//!
//! Invariant: `live!` and `deadline!` are
//! [`OwnTimeouts::deadline`](crate::time::timeouts::OwnTimeouts::deadline); the tests that need a
//! server compare the two. Numbers are cut off by
//! [`columns`](crate::engine::network::stored::columns), so that no sum of two is past what a
//! server can hold.

/// Whether a record is live at `$now`, under timeouts of its own or `$i` and `$a`.
macro_rules! live {
    ($now:literal, $i:literal, $a:literal) => {
        concat!(
            "last_active > ",
            $now,
            " - coalesce(inactivity, ",
            $i,
            ") and created_at > ",
            $now,
            " - coalesce(absolute, ",
            $a,
            ")"
        )
    };
}
pub(super) use live;

/// When a record ends, under timeouts of its own or `$i` and `$a`.
macro_rules! deadline {
    ($i:literal, $a:literal) => {
        concat!(
            "least(last_active + coalesce(inactivity, ",
            $i,
            "), created_at + coalesce(absolute, ",
            $a,
            "))"
        )
    };
}
pub(super) use deadline;

/// Whether a touch at `$2` moves a record's activity by as much as `$3`, or a tenth of its
/// inactivity timeout, `$4` by default. `$divide` is the dialect's division of whole numbers.
macro_rules! due {
    ($divide:literal) => {
        concat!(
            "last_active < $2 and last_active <= $2 - least($3, coalesce(inactivity, $4) ",
            $divide,
            " 10)"
        )
    };
}
pub(super) use due;
