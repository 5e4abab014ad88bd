//! Spans, with the feature `tracing`; without it nothing at all.
//!
//! A span has a name and no field: nothing of a session stands in it.

/// Stands for a span where there are none.
#[cfg(not(feature = "tracing"))]
pub(crate) struct NoSpan;

/// Enters a span until the value is dropped.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($level:ident, $name:literal) => {
        tracing::span!(target: "sessile", tracing::Level::$level, $name).entered()
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($level:ident, $name:literal) => {
        $crate::trace::NoSpan
    };
}

pub(crate) use span;
