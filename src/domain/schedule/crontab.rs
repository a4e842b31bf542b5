//! The grammar of a crontab line: five fields of numbers, names, ranges, steps and lists.
//!
//! Knows no time. It is stricter than croner (no seconds, `L`, `W`, `#`, `?`, empty list items or
//! bare starts with a step), because what it lets through must mean what crontab means by it.

use super::ScheduleError;

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
    },
    Field {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
    },
    Field {
        name: "day of month",
        low: 1,
        high: 31,
        names: &[],
    },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "weekday",
        low: 0,
        high: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Five fields in numbers.
#[derive(Debug)]
pub(super) struct Crontab {
    fields: [String; 5],
}

impl Crontab {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let trimmed = text.trim();
        let line = if trimmed.starts_with('@') {
            expand_nickname(trimmed)?
        } else {
            trimmed
        };
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(ScheduleError::FieldCount {
                text: text.to_owned(),
                count: parts.len(),
            });
        };
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        Ok(Self {
            fields: [
                minutes.read(minute)?,
                hours.read(hour)?,
                days.read(day)?,
                months.read(month)?,
                weekdays.read(weekday)?,
            ],
        })
    }

    /// The line in numbers alone.
    pub(super) fn numbers(&self) -> String {
        self.fields.join(" ")
    }

    /// Whether both day fields must match: crontab ORs them unless one *begins* with a star.
    pub(super) fn days_are_joined(&self) -> bool {
        let [_, _, day, _, weekday] = &self.fields;
        day.starts_with('*') || weekday.starts_with('*')
    }

    pub(super) fn every_hour(&self) -> bool {
        let [_, hour, ..] = &self.fields;
        hour == "*"
    }
}

fn expand_nickname(word: &str) -> Result<&'static str, ScheduleError> {
    NICKNAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, line)| *line)
        .ok_or_else(|| ScheduleError::Nickname(word.to_owned()))
}

impl Field {
    fn read(&self, text: &str) -> Result<String, ScheduleError> {
        let items: Result<Vec<String>, ScheduleError> =
            text.split(',').map(|item| self.read_item(item)).collect();
        Ok(items?.join(","))
    }

    fn read_item(&self, item: &str) -> Result<String, ScheduleError> {
        self.find_item(item).ok_or_else(|| ScheduleError::Field {
            item: item.to_owned(),
            field: self.name,
            range: match self.names {
                [first, .., last] => {
                    format!(
                        "a number from {} to {} or {first} to {last}",
                        self.low, self.high
                    )
                }
                _ => format!("a number from {} to {}", self.low, self.high),
            },
            low: self.low,
            high: self.high,
        })
    }

    fn find_item(&self, item: &str) -> Option<String> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(self.find_step(step)?)),
            None => (item, None),
        };
        let range = match base.split_once('-') {
            _ if base == "*" => base.to_owned(),
            Some((from, to)) => self.find_range(from, to)?,
            // crontab gives a step after a single number no meaning.
            None if step.is_some() => return None,
            None => self.find_value(base)?.to_string(),
        };
        Some(match step {
            Some(step) => format!("{range}/{step}"),
            None => range,
        })
    }

    fn find_range(&self, from: &str, to: &str) -> Option<String> {
        let first = self.find_value(from)?;
        let last = match self.find_value(to)? {
            // Sunday ends a week as well as it begins one.
            0 if self.high == 7 && first > 0 => 7,
            last => last,
        };
        (first <= last).then(|| format!("{first}-{last}"))
    }

    fn find_step(&self, text: &str) -> Option<u32> {
        find_number(text).filter(|step| (1..=self.high).contains(step))
    }

    fn find_value(&self, text: &str) -> Option<u32> {
        let named = self
            .names
            .iter()
            .zip(self.low..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, value)| value);
        named
            .or_else(|| find_number(text))
            .filter(|value| (self.low..=self.high).contains(value))
    }
}

fn find_number(text: &str) -> Option<u32> {
    // `parse` alone would accept a leading plus.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
