//! When something is due: a crontab line in a time zone, and the decision whether its time has come.
//!
//! Knows croner (which searches matching wall-clock times) and chrono-tz; never reads a clock.
//! Invariants: every schedule that parsed has a next slot; croner sees local wall-clock times only,
//! so the change of summer time is decided here (a slot in the gap runs when the gap ends, a slot in
//! the doubled hour runs once, or twice when its hour is `*`), and no input panics.

mod crontab;
pub mod due;

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

use self::crontab::Crontab;
use super::id::ProjectName;
use super::unit::Timestamp;

/// Years outside these are no times of a backup, and their arithmetic could overflow.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=4000;

/// More slots than fit into the longest doubled stretch of any zone (a day of minutes).
const DOUBLED_SLOTS: usize = 1_500;

/// The longest gap of any zone is a skipped day.
const GAP_MINUTES: i64 = 26 * 60;

/// Why a text is no schedule.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "{text:?} has {count} fields; write minute, hour, day of month, month and weekday, such as \"0 2 * * *\""
    )]
    FieldCount {
        /// What was written.
        text: String,
        /// How many fields it has.
        count: usize,
    },
    /// A field says nothing we know.
    #[error(
        "{item:?} is no {field}; write {range}, a range such as {low}-{high}, a list, * or */2, as in \"0 2 * * *\""
    )]
    Field {
        /// The part that is wrong.
        item: String,
        /// Name of the field.
        field: &'static str,
        /// Its range in words.
        range: String,
        /// Its lowest value.
        low: u32,
        /// Its highest value.
        high: u32,
    },
    /// An `@` word we do not know.
    #[error(
        "{0:?} is no schedule; write @hourly, @daily, @weekly, @monthly, @yearly or five fields such as \"0 2 * * *\""
    )]
    Nickname(String),
    /// No day ever matches.
    #[error(
        "{0:?} never happens, no such day exists; write a day that does, such as \"0 0 1 * *\""
    )]
    Never(String),
    /// No such time zone.
    #[error("{name:?} is no time zone; write a name such as Europe/Paris or UTC{}", hint.map(|known| format!(" (did you mean {known}?)")).unwrap_or_default())]
    Zone {
        /// What was written.
        name: String,
        /// A known zone that looks like it.
        hint: Option<&'static str>,
    },
}

/// An IANA time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Universal time, the default.
    pub const UTC: Self = Self(Tz::UTC);

    /// Reads an IANA name such as `Europe/Paris`; a leading colon, as `TZ` may carry, is ignored.
    ///
    /// # Errors
    /// When no such zone is known; retrying is useless.
    pub fn parse(name: &str) -> Result<Self, ScheduleError> {
        let trimmed = name.trim();
        let bare = trimmed.strip_prefix(':').unwrap_or(trimmed);
        bare.parse()
            .map(Self)
            .map_err(|_unknown| ScheduleError::Zone {
                name: name.to_owned(),
                hint: closest_zone(bare),
            })
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

fn closest_zone(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase();
    chrono_tz::TZ_VARIANTS
        .iter()
        .map(|zone| zone.name())
        .map(|known| (strsim::jaro_winkler(&wanted, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.9)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, known)| known)
}

/// What the second pass through a doubled hour does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DoubledHour {
    /// Its slots were served in the first pass.
    Skipped,
    /// The hour is `*`: its slots come again.
    Served,
}

/// A cron schedule in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    zone: Zone,
    cron: Cron,
    doubled: DoubledHour,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl Eq for Schedule {}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.text, self.zone)
    }
}

impl Schedule {
    /// Reads five crontab fields or a nickname such as `@daily`.
    ///
    /// # Errors
    /// When a field is wrong or no day ever matches; retrying is useless.
    pub fn parse(text: &str, zone: Zone) -> Result<Self, ScheduleError> {
        let crontab = Crontab::parse(text)?;
        let never = || ScheduleError::Never(text.trim().to_owned());
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(crontab.days_are_joined())
            .build()
            .parse(&crontab.numbers())
            .map_err(|_empty| never())?;
        let schedule = Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            zone,
            doubled: if crontab.every_hour() {
                DoubledHour::Served
            } else {
                DoubledHour::Skipped
            },
            cron,
        };
        // The calendar repeats, so one look ahead from any day tells.
        match schedule.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(never()),
        }
    }

    /// Every night at 02:00 plus 0 to 29 minutes that depend on the project's name only.
    ///
    /// # Errors
    /// None in practice; the type is [`Schedule::parse`]'s.
    pub fn nightly(project: &ProjectName, zone: Zone) -> Result<Self, ScheduleError> {
        let minute = fnv1a(project.as_str()) % 30;
        Self::parse(&format!("{minute} 2 * * *"), zone)
    }

    /// Every Sunday at 04:00 plus 0 to 29 minutes that depend on the project's name only: one proof runs per host.
    ///
    /// # Errors
    /// None in practice; the type is [`Schedule::parse`]'s.
    pub fn weekly(project: &ProjectName, zone: Zone) -> Result<Self, ScheduleError> {
        let minute = fnv1a(project.as_str()) % 30;
        Self::parse(&format!("{minute} 4 * * 0"), zone)
    }

    /// The first slot after an instant; `None` beyond any calendar.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if !YEARS.contains(&after.year()) {
            return None;
        }
        let here = self.local(after)?;
        let first = self.search(here, after, |local| self.first_pass(local));
        match self.doubled {
            DoubledHour::Skipped => first,
            DoubledHour::Served => {
                // A doubled hour ahead repeats wall-clock times that lie behind us now.
                let tomorrow = after + TimeDelta::days(1);
                let behind = here.min(self.local(tomorrow)? - TimeDelta::days(1));
                let second = self.search(behind, after, |local| self.second_pass(local));
                [first, second].into_iter().flatten().min()
            }
        }
    }

    fn local(&self, at: Timestamp) -> Option<NaiveDateTime> {
        let offset = self.zone.0.offset_from_utc_datetime(&at.naive_utc()).fix();
        at.naive_utc().checked_add_offset(offset)
    }

    /// The first slot whose instant lies after `after`; `instant` never goes back as local time goes on.
    fn search(
        &self,
        from: NaiveDateTime,
        after: Timestamp,
        instant: impl Fn(NaiveDateTime) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        let mut local = from;
        for _slot in 0..DOUBLED_SLOTS {
            // Taken as if it were UTC: croner's own ideas about summer time never come into play.
            let next = self
                .cron
                .find_next_occurrence(&local.and_utc(), false)
                .ok()?;
            local = next.naive_utc();
            if let Some(found) = instant(local).filter(|found| *found > after) {
                return Some(found);
            }
        }
        None
    }

    fn first_pass(&self, local: NaiveDateTime) -> Option<Timestamp> {
        (0..=GAP_MINUTES).find_map(|minutes| {
            let later = local.checked_add_signed(TimeDelta::minutes(minutes))?;
            let there = self.zone.0.from_local_datetime(&later).earliest()?;
            Some(there.to_utc())
        })
    }

    fn second_pass(&self, local: NaiveDateTime) -> Option<Timestamp> {
        let there = self.zone.0.from_local_datetime(&local).latest()?;
        Some(there.to_utc())
    }
}

/// FNV-1a: the same on every machine and in every version, which std's hashers do not promise.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
