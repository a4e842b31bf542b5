use proptest::prelude::*;

use super::*;

fn paris() -> Zone {
    Zone::parse("Europe/Paris").unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn slots(cron: &str, zone: Zone, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(cron, zone).unwrap();
    let mut after = at(from);
    let mut found = Vec::new();
    for _ in 0..count {
        after = schedule.next_after(after).unwrap();
        found.push(after.format("%m-%dT%H:%M").to_string());
    }
    found
}

#[test]
fn a_night_in_paris_keeps_its_wall_clock_across_both_changes() {
    assert_eq!(
        slots("0 4 * * *", paris(), "2026-03-28T00:00:00Z", 3),
        ["03-28T03:00", "03-29T02:00", "03-30T02:00"]
    );
    assert_eq!(
        slots("0 4 * * *", paris(), "2026-10-24T00:00:00Z", 3),
        ["10-24T02:00", "10-25T03:00", "10-26T03:00"]
    );
}

#[test]
fn a_slot_in_the_gap_runs_when_the_gap_ends_and_once() {
    for cron in ["30 2 * * *", "*/10 2 * * *", "0,30 2 * * *"] {
        let found = slots(cron, paris(), "2026-03-28T23:59:00Z", 2);
        assert_eq!(found[0], "03-29T01:00", "{cron}");
        assert!(found[1].starts_with("03-30T00:"), "{cron}: {found:?}");
    }
}

#[test]
fn a_fixed_slot_in_the_doubled_hour_runs_once_and_an_hourly_one_twice() {
    assert_eq!(
        slots("30 2 * * *", paris(), "2026-10-24T23:00:00Z", 2),
        ["10-25T00:30", "10-26T01:30"]
    );
    assert_eq!(
        slots("*/30 * * * *", paris(), "2026-10-24T23:45:00Z", 6),
        [
            "10-25T00:00",
            "10-25T00:30",
            "10-25T01:00",
            "10-25T01:30",
            "10-25T02:00",
            "10-25T02:30"
        ]
    );
    assert_eq!(
        slots("45 * * * *", paris(), "2026-10-25T00:46:00Z", 2),
        ["10-25T01:45", "10-25T02:45"]
    );
}

#[test]
fn days_are_joined_as_crontab_joins_them() {
    let utc = Zone::UTC;
    // Monday OR the first.
    assert_eq!(
        slots("0 0 1 * 1", utc, "2026-06-27T00:00:00Z", 3),
        ["06-29T00:00", "07-01T00:00", "07-06T00:00"]
    );
    // A field that begins with a star restricts the other: odd days that are Mondays.
    assert_eq!(
        slots("0 0 */2 * MON", utc, "2026-06-27T00:00:00Z", 2),
        ["06-29T00:00", "07-13T00:00"]
    );
    assert_eq!(
        slots("0 0 * * fri-sun", utc, "2026-06-27T00:00:00Z", 2),
        ["06-28T00:00", "07-03T00:00"]
    );
    assert_eq!(
        slots("@monthly", utc, "2026-06-27T00:00:00Z", 1),
        ["07-01T00:00"]
    );
    assert_eq!(
        slots("0 0 29 2 *", utc, "2026-06-27T00:00:00Z", 1),
        ["02-29T00:00"]
    );
}

#[test]
fn what_never_happens_or_means_nothing_is_refused_with_an_example() {
    for text in [
        "",
        "0 2 * *",
        "0 2 * * * *",
        "60 2 * * *",
        "0 24 * * *",
        "0 2 0 * *",
        "0 2 * 13 *",
        "0 2 * * 8",
        "0 0 31 2 *",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "@reboot",
        "@",
        ", 2 * * *",
        "1,,2 2 * * *",
        "*/0 2 * * *",
        "*/61 * * * *",
        "5-1 2 * * *",
        "5/15 * * * *",
        "0 0 L * *",
        "0 0 * * 5#2",
        "0 2 * * monday",
        "0 2 * FEBR *",
        "+1 2 * * *",
        "0 2 ? * ?",
        "é 2 * * *",
        "every night",
        "-1 2 * * *",
        "0 0 * * MON-",
    ] {
        let error = Schedule::parse(text, Zone::UTC).unwrap_err();
        assert!(
            error.to_string().contains("such as") || error.to_string().contains("as in"),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn a_wrong_zone_is_refused_with_a_hint() {
    let error = Zone::parse("Europe/Pariss").unwrap_err();
    assert!(
        error.to_string().contains("did you mean Europe/Paris?"),
        "{error}"
    );
    assert!(Zone::parse("CET-1CEST,M3.5.0").is_err());
    assert_eq!(Zone::parse(":Europe/Paris"), Ok(paris()));
}

#[test]
fn the_nightly_minute_depends_on_the_project_alone() {
    let minute = |name: &str| {
        let schedule = Schedule::nightly(&ProjectName::new(name), paris()).unwrap();
        schedule.to_string()
    };
    assert_eq!(minute("recyclic-prod"), minute("recyclic-prod"));
    assert_ne!(minute("recyclic-prod"), minute("recyclic-staging"));
    assert!(minute("stack").contains(" 2 * * * "));
    let shown = Schedule::nightly(&ProjectName::new("stack"), paris())
        .unwrap()
        .to_string();
    assert!(shown.ends_with(" 2 * * * Europe/Paris"), "{shown}");
}

#[test]
fn a_skipped_day_is_no_trap() {
    // Samoa left out 30 December 2011.
    let apia = Zone::parse("Pacific/Apia").unwrap();
    assert_eq!(
        slots("0 12 30 12 *", apia, "2011-12-29T00:00:00Z", 2),
        ["12-30T10:00", "12-29T22:00"]
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,24}") {
        let fields = text.split_whitespace().count();
        let shaped = fields == 5 || text.trim().starts_with('@');
        prop_assert!(Schedule::parse(&text, Zone::UTC).is_err() || shaped);
    }

    #[test]
    fn no_likely_text_panics(text in "[0-9*/,@A-Z# L-]{1,8}( [0-9*/,LW#?-]{1,4}){4}") {
        if let Ok(schedule) = Schedule::parse(&text, paris()) {
            prop_assert!(schedule.next_after(at("2026-03-28T23:59:59Z")).is_some());
        }
    }

    #[test]
    fn the_next_slot_lies_ahead_in_every_zone(
        zone in proptest::sample::select(&chrono_tz::TZ_VARIANTS[..]),
        cron in proptest::sample::select(vec![
            "30 2 * * *", "*/7 * * * *", "0 0 * * *", "*/30 0-3 * * 0", "15 1 1 */3 *", "@hourly",
        ]),
        seconds in -1_500_000_000_i64..4_000_000_000,
    ) {
        let after = DateTime::from_timestamp(seconds, 0).unwrap();
        let schedule = Schedule::parse(cron, Zone(zone)).unwrap();
        let next = schedule.next_after(after).unwrap();
        prop_assert!(next > after);
        // Nothing between is skipped over: asking from just before it finds it again.
        prop_assert_eq!(schedule.next_after(next - TimeDelta::seconds(1)), Some(next));
    }
}

#[test]
fn the_edges_of_time_have_no_next_slot() {
    let schedule = Schedule::parse("30 2 * * *", paris()).unwrap();
    assert_eq!(schedule.next_after(Timestamp::MAX_UTC), None);
    assert_eq!(schedule.next_after(Timestamp::MIN_UTC), None);
}
