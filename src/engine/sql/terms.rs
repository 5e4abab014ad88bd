//! The rules of sessions in SQL, once for all dialects.
//!
//! Invariant: `live!` and `deadline!` compute the same as
//! [`OwnTimeouts::deadline`](crate::time::timeouts::OwnTimeouts::deadline); the tests that need a
//! server compare the two. [`columns`](crate::engine::network::stored::columns) caps the numbers,
//! so that no sum of two overflows on a server.

/// Whether a record is live at `$now`, with its own timeouts or `$i` and `$a`.
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

/// The deadline of a record, with its own timeouts or `$i` and `$a`.
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

/// Whether a touch at `$2` moves a record's activity by at least `$3`, or a tenth of its inactivity
/// timeout, `$4` by default. `$divide` is the dialect's integer division.
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

/// The revision after a record's own. A column holds it in two's complement; the greatest stays.
macro_rules! next_revision {
    () => {
        "case revision when -1 then -1 \
         when 9223372036854775807 then -9223372036854775807 - 1 else revision + 1 end"
    };
}
pub(super) use next_revision;
