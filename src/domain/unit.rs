//! Quantities that never travel without their unit.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

/// An instant in UTC; always an argument on this floor, never read from a clock.
pub type Timestamp = DateTime<Utc>;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown to people with one decimal"
    )]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return write!(formatter, "{} B", self.0);
        }
        let mut value = self.0 as f64;
        let mut shown = "B";
        for unit in UNITS {
            if value < 999.95 {
                break;
            }
            value /= 1000.0;
            shown = unit;
        }
        write!(formatter, "{value:.1} {shown}")
    }
}

/// Why a text is no duration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a duration; write a number and s, m, h, d or w, such as 15m")]
pub struct DurationError(pub String);

/// Reads `90s`, `15m`, `36h`, `7d`, `2w`.
///
/// # Errors
/// When the number or the unit is missing or unknown; retrying is useless.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.to_owned());
    let trimmed = text.trim();
    let unit = trimmed.chars().last().ok_or_else(wrong)?;
    let seconds_each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = trimmed.strip_suffix(unit).ok_or_else(wrong)?;
    let count: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    count
        .checked_mul(seconds_each)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// An age as people say it: `3d`, `5h`, `12m`, `40s`; what is left over is cut.
pub fn format_age(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = units.into_iter().find(|(_, each)| seconds >= *each);
    unit.map_or_else(
        || format!("{seconds}s"),
        |(unit, each)| format!("{}{unit}", seconds / each),
    )
}

/// Lowercase hexadecimal digits of some bytes.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _written: fmt::Result = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let seconds = [
            ("1s", 1),
            ("15m", 900),
            ("36h", 129_600),
            ("8d", 691_200),
            ("2w", 1_209_600),
        ];
        for (text, expected) in seconds {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(expected)));
        }
        for text in [
            "",
            "15",
            "m",
            "15 minutes",
            "-1h",
            "99999999999999999999w",
            "1é",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_decimal() {
        assert_eq!(ByteCount(999).to_string(), "999 B");
        assert_eq!(ByteCount(1_500_000).to_string(), "1.5 MB");
        assert_eq!(ByteCount(999_999).to_string(), "1.0 MB");
    }
}
