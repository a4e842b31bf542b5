//! Whether a schedule's time has come, decided from what was done and never from a timer.
//!
//! Ticks may come late, twice or not at all. A slot counts as served by any success at or after it,
//! so a missed one is made good once, however long the downtime was.

use chrono::TimeDelta;

use super::Schedule;
use crate::domain::backup::Reason;
use crate::domain::unit::Timestamp;

/// The pause after the first failure.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// The longest pause between failures.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// A clock that differs by less was not set back.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// The newest success: the snapshot's instant, see [`newest_success`].
    pub last_success: Option<Timestamp>,
    /// When the newest attempt began, failed or not.
    pub last_attempt: Option<Timestamp>,
    /// How many attempts in a row failed, the newest included; 0 when it succeeded or is not known.
    pub failures: u32,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Begin, for this reason: [`Reason::First`] or [`Reason::Schedule`].
    Now(Reason),
    /// Nothing before this instant.
    Later(Timestamp),
}

/// The newest of some instants that a clock set back has not put into the future.
pub fn newest_success(
    instants: impl IntoIterator<Item = Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let instants: Vec<Timestamp> = instants.into_iter().collect();
    let credible = instants.iter().filter(|at| !is_future(**at, now)).max();
    // All of them in the future is still something: it tells "none exists" from "the clock moved".
    credible.or(instants.iter().min()).copied()
}

/// Decides whether a backup is due.
///
/// None exists: at once. A slot passed since the last success: once. A failed attempt is tried
/// again after 10, 20, 40 and then every 60 minutes.
pub fn is_due(schedule: &Schedule, history: &History, now: Timestamp) -> Due {
    let attempt = history.last_attempt.filter(|at| !is_future(*at, now));
    let (since, reason) = match history.last_success {
        None => (None, Reason::First),
        Some(success) if is_future(success, now) => {
            // The clock was set back: only what happened since then can be believed.
            let served = attempt.filter(|_| history.failures == 0);
            (
                served.and_then(|at| schedule.next_after(at)),
                Reason::Schedule,
            )
        }
        Some(success) => match schedule.next_after(success) {
            None => (None, Reason::Schedule),
            slot => (slot, Reason::Schedule),
        },
    };
    if let Some(slot) = since.filter(|slot| *slot > now) {
        return Due::Later(slot);
    }
    match attempt.filter(|at| since.is_none_or(|slot| *at >= slot)) {
        Some(at) if now < at + pause(history.failures) => Due::Later(at + pause(history.failures)),
        _ => Due::Now(reason),
    }
}

fn is_future(at: Timestamp, now: Timestamp) -> bool {
    at.signed_duration_since(now) > CLOCK_TOLERANCE
}

fn pause(failures: u32) -> TimeDelta {
    let doublings = failures.saturating_sub(1).min(8);
    (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Zone;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn nightly() -> Schedule {
        Schedule::parse("0 2 * * *", Zone::UTC).unwrap()
    }

    fn succeeded(text: &str) -> History {
        History {
            last_success: Some(at(text)),
            last_attempt: Some(at(text)),
            failures: 0,
        }
    }

    #[test]
    fn the_first_one_is_due_at_once() {
        let now = at("2026-01-21T12:00:00Z");
        assert_eq!(
            is_due(&nightly(), &History::default(), now),
            Due::Now(Reason::First)
        );
    }

    #[test]
    fn a_doubled_tick_does_nothing() {
        let next = Due::Later(at("2026-01-22T02:00:00Z"));
        for served in ["2026-01-21T02:00:00Z", "2026-01-21T02:00:07Z"] {
            for now in [
                "2026-01-21T02:00:00Z",
                "2026-01-21T02:00:59Z",
                "2026-01-22T01:59:59Z",
            ] {
                assert_eq!(
                    is_due(&nightly(), &succeeded(served), at(now)),
                    next,
                    "{served} {now}"
                );
            }
        }
    }

    #[test]
    fn slots_missed_in_a_week_of_downtime_are_made_good_once() {
        let now = at("2026-01-28T09:00:00Z");
        let due = is_due(&nightly(), &succeeded("2026-01-21T02:00:01Z"), now);
        assert_eq!(due, Due::Now(Reason::Schedule));
        let after = is_due(&nightly(), &succeeded("2026-01-28T09:00:00Z"), now);
        assert_eq!(after, Due::Later(at("2026-01-29T02:00:00Z")));
    }

    #[test]
    fn a_failed_attempt_waits_ten_minutes_then_twice_as_long_up_to_an_hour() {
        let first_failed = at("2026-01-22T02:00:00Z");
        for (failures, minutes) in [
            (0, 10),
            (1, 10),
            (2, 20),
            (3, 40),
            (4, 60),
            (5, 60),
            (u32::MAX, 60),
        ] {
            for last_success in [Some(at("2026-01-21T02:00:01Z")), None] {
                let history = History {
                    last_success,
                    last_attempt: Some(first_failed),
                    failures,
                };
                let retry = first_failed + TimeDelta::minutes(minutes);
                let before = retry - TimeDelta::seconds(1);
                assert_eq!(
                    is_due(&nightly(), &history, before),
                    Due::Later(retry),
                    "{failures}"
                );
                assert!(
                    matches!(is_due(&nightly(), &history, retry), Due::Now(_)),
                    "{failures}"
                );
            }
        }
    }

    #[test]
    fn a_failure_before_the_slot_does_not_delay_the_slot() {
        let history = History {
            last_success: Some(at("2026-01-21T02:00:01Z")),
            last_attempt: Some(at("2026-01-22T01:59:00Z")),
            failures: 4,
        };
        let now = at("2026-01-22T02:00:00Z");
        assert_eq!(
            is_due(&nightly(), &history, now),
            Due::Now(Reason::Schedule)
        );
    }

    #[test]
    fn a_clock_set_back_does_not_stop_backups() {
        let now = at("2026-01-21T12:00:00Z");
        let ahead = at("2031-01-01T02:00:00Z");
        let future = Some(ahead);
        let stranded = History {
            last_success: future,
            last_attempt: future,
            failures: 0,
        };
        assert_eq!(
            is_due(&nightly(), &stranded, now),
            Due::Now(Reason::Schedule)
        );
        // One taken since then is enough until the next slot.
        let taken = History {
            last_attempt: Some(now),
            ..stranded
        };
        let later = now + TimeDelta::minutes(30);
        assert_eq!(
            is_due(&nightly(), &taken, later),
            Due::Later(at("2026-01-22T02:00:00Z"))
        );
        // A failing one is still tried again with pauses.
        let failing = History {
            failures: 1,
            ..taken
        };
        assert_eq!(
            is_due(&nightly(), &failing, now),
            Due::Later(now + TimeDelta::minutes(10))
        );
        // Among several the one in the future is not believed.
        let instants = [ahead, now];
        assert_eq!(newest_success(instants, later), Some(now));
        assert_eq!(newest_success(future, later), future);
        assert_eq!(newest_success(None, later), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Ticks over two months with arbitrary downtime: each slot is served exactly once
        /// at its minute, or made good once when the sidecar is back.
        #[test]
        fn every_slot_is_served_once_or_made_good_once(
            cron in proptest::sample::select(vec![
                "30 2 * * *", "0 2 * * *", "*/30 2 * * *", "15 */6 * * *", "0 3 * * 0", "0 * * * *",
            ]),
            start in proptest::sample::select(vec!["2026-02-20T10:00:00Z", "2026-09-20T10:00:00Z"]),
            outages in proptest::collection::vec((0_i64..90_000, 1_i64..9_000), 0..6),
        ) {
            let schedule = Schedule::parse(cron, Zone::parse("Europe/Paris").unwrap()).unwrap();
            let begin = at(start);
            let mut history = succeeded(start);
            let mut runs = Vec::new();
            for minute in (0..90_000_i64).step_by(5) {
                if outages.iter().any(|(from, length)| (*from..from + length).contains(&minute)) {
                    continue;
                }
                let now = begin + TimeDelta::minutes(minute);
                if is_due(&schedule, &history, now) == Due::Now(Reason::Schedule) {
                    history.last_success = Some(now);
                    history.last_attempt = Some(now);
                    runs.push(now);
                }
            }
            let is_up = |now: Timestamp| {
                let minute = (now - begin).num_minutes();
                minute < 90_000
                    && !outages.iter().any(|(from, length)| (*from..from + length).contains(&minute))
            };
            // The expectation, from the slots alone: the first up minute at or after each slot.
            let mut expected = Vec::new();
            let mut slot = schedule.next_after(begin).unwrap();
            while (slot - begin).num_minutes() < 90_000 {
                let mut served = slot;
                while !is_up(served) && (served - begin).num_minutes() < 90_000 {
                    served += TimeDelta::minutes(5);
                }
                if is_up(served) && expected.last() != Some(&served) {
                    expected.push(served);
                }
                slot = schedule.next_after(slot).unwrap();
            }
            prop_assert_eq!(runs, expected);
        }
    }
}
