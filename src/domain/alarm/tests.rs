use proptest::prelude::*;

use super::*;
use crate::domain::backup::Content;
use crate::domain::id::{DatabaseName, ProjectName};

fn at(hour: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + hour * 3600, 0).unwrap()
}

fn topic(name: &str) -> Topic {
    Topic::Backup(Series {
        project: ProjectName::new("shop"),
        service: ServiceName::new("postgres"),
        content: Content::Database(DatabaseName::new(name)),
    })
}

fn failing(name: &str, since: i64) -> Observation {
    Observation {
        topic: topic(name),
        condition: Condition::Failing {
            since: at(since),
            cause: "no space left".into(),
            step: "df".into(),
        },
    }
}

fn well(name: &str, since: i64) -> Observation {
    let condition = Condition::Well(at(since));
    Observation {
        topic: topic(name),
        condition,
    }
}

/// Decides and takes the messages as delivered.
fn tell(told: &mut Standing, observed: &[Observation], hour: i64) -> Vec<&'static str> {
    let notices = decide(told, observed, at(hour));
    for notice in &notices {
        let words = notice.topic.to_string();
        note(told, &words, notice.change.as_str(), notice.since, at(hour));
    }
    notices.iter().map(|it| it.change.as_str()).collect()
}

#[test]
fn only_edges_and_a_reminder_a_day_are_told() {
    let mut told = Standing::new();
    let quiet: [&str; 0] = [];
    assert_eq!(tell(&mut told, &[well("app", 0)], 0), quiet);
    assert_eq!(tell(&mut told, &[failing("app", 1)], 1), ["began"]);
    assert_eq!(tell(&mut told, &[failing("app", 2)], 2), quiet);
    assert_eq!(tell(&mut told, &[failing("app", 24)], 24), quiet);
    assert_eq!(tell(&mut told, &[failing("app", 25)], 25), ["lasts"]);
    assert_eq!(tell(&mut told, &[failing("app", 26)], 48), quiet);
    assert_eq!(tell(&mut told, &[failing("app", 26)], 49), ["lasts"]);
    assert_eq!(tell(&mut told, &[well("app", 50)], 50), ["recovered"]);
    assert_eq!(tell(&mut told, &[well("app", 51)], 51), quiet);
}

#[test]
fn after_a_restart_nothing_is_repeated_and_an_older_success_is_no_recovery() {
    let mut told = Standing::new();
    assert_eq!(tell(&mut told, &[failing("app", 5)], 5), ["began"]);
    // Nothing is known yet, then only the last good backup of before.
    assert!(decide(&told, &[], at(6)).is_empty());
    assert!(decide(&told, &[well("app", 4)], at(6)).is_empty());
    // It was tried again and failed again: the same failure.
    assert!(decide(&told, &[failing("app", 6)], at(6)).is_empty());
    let recovered = decide(&told, &[well("app", 7)], at(7));
    assert_eq!(recovered[0].since, at(5));
}

#[test]
fn several_failures_are_told_at_once_and_before_recoveries() {
    let mut told = Standing::new();
    assert_eq!(tell(&mut told, &[failing("app", 1)], 1), ["began"]);
    let observed = [well("app", 2), failing("other", 2), failing("third", 2)];
    assert_eq!(
        tell(&mut told, &observed, 2),
        ["began", "began", "recovered"]
    );
}

proptest! {
    #[test]
    fn whatever_happens_a_topic_is_told_to_fail_at_most_once_a_day_and_recoveries_follow_failures(
        states in proptest::collection::vec(0_u8..3, 1..200)
    ) {
        let mut told = Standing::new();
        let mut stands = false;
        let mut last = None;
        for (hour, state) in states.into_iter().enumerate() {
            let hour = i64::try_from(hour).unwrap();
            let observed: Vec<Observation> = match state {
                0 => vec![well("app", hour)],
                1 => vec![failing("app", hour)],
                _ => Vec::new(),
            };
            for word in tell(&mut told, &observed, hour) {
                match word {
                    "began" => prop_assert!(!stands),
                    "lasts" => prop_assert!(stands && last.is_some_and(|last| hour - last >= 24)),
                    _ => prop_assert!(stands),
                }
                stands = word != "recovered";
                last = Some(hour);
            }
        }
    }
}
