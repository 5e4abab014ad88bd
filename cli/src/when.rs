//! Reading and printing times and durations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A number and a unit: `500ms`, `30s`, `15m`, `8h`, `2d`, `1w`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a duration: write, for example, 30s, 15m, 8h or 2d");
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return Err(refused()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(refused)
}

/// A time in RFC 3339, or a duration before now.
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = duration(text) {
        return SystemTime::now()
            .checked_sub(ago)
            .ok_or_else(|| format!("`{text}` is too long ago"));
    }
    let time: Timestamp = text.parse().map_err(|_| {
        format!(
            "`{text}` is not a time: write, for example, 2026-03-01T12:00:00Z, or 2d for 2 days ago"
        )
    })?;
    time.try_into().map_err(|_| format!("`{text}` is beyond the times that the system knows"))
}

/// A time in RFC 3339, with the offset of local time, or in UTC; `None` after the year 9999.
pub(crate) fn shown(time: SystemTime, utc: bool) -> Option<String> {
    let timestamp = Timestamp::try_from(time).ok()?;
    let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
    let zoned = timestamp.to_zoned_datetime(zone);
    Some(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// A duration in milliseconds, printed in its two largest units.
pub(crate) fn length(millis: u64) -> String {
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    match seconds {
        0 => format!("{rest}ms"),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, 'm', seconds % 60, 's'),
        3_600..86_400 => two(seconds / 3_600, 'h', seconds % 3_600 / 60, 'm'),
        _ => two(seconds / 86_400, 'd', seconds % 86_400 / 3_600, 'h'),
    }
}

fn two(great: u64, unit: char, small: u64, smaller: char) -> String {
    match small {
        0 => format!("{great}{unit}"),
        _ => format!("{great}{unit}{small}{smaller}"),
    }
}

pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_are_shown_by_their_two_greatest() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for refused in ["", "15", "m", "-1m", "1.5h", "1y", "99999999999999999999d"] {
            assert!(duration(refused).is_err(), "{refused}");
        }
        assert_eq!(length(90_000), "1m30s");
        assert_eq!(length(7 * 86_400_000), "7d");
        assert_eq!(length(5), "5ms");
    }

    #[test]
    fn times_are_read_and_shown_as_in_rfc_3339() {
        let time = moment("2026-03-01T12:00:00+01:00").unwrap();
        assert_eq!(shown(time, true).unwrap(), "2026-03-01T11:00:00+00:00");
        assert!(moment("yesterday").is_err());
        assert!(moment("2d").unwrap() < SystemTime::now());
    }
}
