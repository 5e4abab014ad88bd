//! Spans, with the feature `tracing`. Without the feature, `span!` does nothing.
//!
//! A span has a name and no field, so it holds nothing of a session.

/// Takes the place of a span without the feature `tracing`.
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
