//! Converts timeouts to and from serde: seconds in human-readable formats, milliseconds in others.
//!
//! Invariant: what is written is read back as the same timeouts.

use std::fmt;
use std::time::Duration;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DEFAULT_ABSOLUTE_S, DEFAULT_INACTIVITY_S, Timeouts, millis};
use crate::error::timeouts::InvalidTimeouts;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seconds {
    #[serde(default = "default_inactivity")]
    pub(super) inactivity: Span,
    #[serde(default = "default_absolute")]
    pub(super) absolute: Span,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Timeouts")]
struct Millis {
    inactivity_ms: u64,
    absolute_ms: u64,
}

/// A number of seconds, which may be negative by mistake.
#[derive(Clone, Copy)]
pub(super) enum Span {
    Positive(Duration),
    Negative(i64),
}

fn default_inactivity() -> Span {
    DEFAULT_INACTIVITY_S.into()
}

fn default_absolute() -> Span {
    DEFAULT_ABSOLUTE_S.into()
}

impl From<i64> for Span {
    fn from(seconds: i64) -> Self {
        u64::try_from(seconds)
            .map_or(Self::Negative(seconds), |seconds| Self::Positive(Duration::from_secs(seconds)))
    }
}

impl Span {
    fn positive(self) -> Result<Duration, i64> {
        match self {
            Self::Positive(duration) => Ok(duration),
            Self::Negative(seconds) => Err(seconds),
        }
    }
}

impl TryFrom<Seconds> for Timeouts {
    type Error = InvalidTimeouts;

    fn try_from(Seconds { inactivity, absolute }: Seconds) -> Result<Self, InvalidTimeouts> {
        let inactivity = inactivity
            .positive()
            .map_err(|seconds| InvalidTimeouts::NegativeInactivity { seconds })?;
        let absolute =
            absolute.positive().map_err(|seconds| InvalidTimeouts::NegativeAbsolute { seconds })?;
        Self::checked(millis(inactivity)?, millis(absolute)?)
    }
}

fn in_seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

/// The milliseconds of a number of seconds, if it is one that [`in_seconds`] gives.
fn in_millis(seconds: f64) -> Option<u64> {
    let millis = (seconds * 1_000.0).round() as u64;
    (in_seconds(millis) == seconds).then_some(millis)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Span;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("seconds, with up to three decimals")
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Span, E> {
                Ok(seconds.into())
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Span, E> {
                Ok(Span::Positive(Duration::from_secs(seconds)))
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Span, E> {
                match in_millis(seconds) {
                    Some(millis) => Ok(Span::Positive(Duration::from_millis(millis))),
                    None if seconds < 0.0 => Ok(Span::Negative(seconds.floor() as i64)),
                    None => Err(E::invalid_value(Unexpected::Float(seconds), &self)),
                }
            }
        }

        // Where a format does not tell what it has, as in a variable of the environment, this says
        // it.
        deserializer.deserialize_f64(Number)
    }
}

/// Serializes seconds, as in configuration files: whole ones as whole numbers. In a format that is
/// not for people, such as typed content, it serializes milliseconds.
impl Serialize for Timeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { inactivity_ms, absolute_ms } = *self;
        if !serializer.is_human_readable() {
            return Millis { inactivity_ms, absolute_ms }.serialize(serializer);
        }
        let mut pair = serializer.serialize_struct("Timeouts", 2)?;
        for (name, millis) in [("inactivity", inactivity_ms), ("absolute", absolute_ms)] {
            let seconds = in_seconds(millis);
            match millis % 1_000 {
                0 => pair.serialize_field(name, &(millis / 1_000))?,
                _ if in_millis(seconds) == Some(millis) => pair.serialize_field(name, &seconds)?,
                _ => {
                    let text = format!("no number of seconds is exactly {millis} milliseconds");
                    return Err(S::Error::custom(text));
                }
            }
        }
        pair.end()
    }
}

/// Deserializes what it serializes, with the checks of [`Timeouts::new`].
impl<'de> Deserialize<'de> for Timeouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let timeouts = match deserializer.is_human_readable() {
            true => Seconds::deserialize(deserializer)?.try_into(),
            false => {
                let Millis { inactivity_ms, absolute_ms } = Millis::deserialize(deserializer)?;
                Self::checked(inactivity_ms, absolute_ms)
            }
        };
        timeouts.map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_seconds_is_read_as_the_milliseconds_that_it_was_written_for() {
        for millis in [1, 999, 1_001, 604_800_123, (1 << 50) + 1] {
            assert_eq!(in_millis(in_seconds(millis)), Some(millis));
        }
        for wrong in [0.0004, 1.00005, -1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(in_millis(wrong), None, "{wrong}");
        }
        let almost_endless = u64::MAX - 1_000;
        let long = Timeouts { inactivity_ms: almost_endless, absolute_ms: almost_endless };
        assert!(serde_json::to_string(&long).is_err(), "it would be read as others");
    }
}
