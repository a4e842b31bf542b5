//! The text of a message: HTML mode, escaped, at most 3 500 characters, cut between its parts only.

use crate::domain::alarm::{Change, Notice, one_sentence};
use crate::domain::unit::Timestamp;

/// Telegram takes 4 096; entities and surrogates count in ways of their own.
const LONGEST: usize = 3_500;
/// Room for the line that says what was left out.
const RESERVE: usize = 120;

/// What stands above every message.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// The Compose project.
    pub project: &'a str,
    /// When it is told.
    pub at: Timestamp,
}

/// A message about what failed and what is well again.
pub fn alarm(heading: Heading<'_>, notices: &[Notice]) -> String {
    let fails = notices
        .iter()
        .any(|notice| notice.change != Change::Recovered);
    let mut text = begin(heading, if fails { "🔴" } else { "✅" });
    let mut left_out = 0;
    for notice in notices {
        let part = part(notice);
        let would_be = text.chars().count() + part.chars().count() + 2;
        if left_out > 0 || would_be > LONGEST - RESERVE {
            left_out += 1;
        } else {
            text.push_str("\n\n");
            text.push_str(&part);
        }
    }
    if left_out > 0 {
        text.push_str("\n\nand ");
        text.push_str(&left_out.to_string());
        text.push_str(" more: see <code>stackwarden status</code>");
    }
    text
}

/// The message of `notify test`.
pub fn test(heading: Heading<'_>) -> String {
    let text = begin(heading, "🔔");
    format!("{text}\n\nA test of stackwarden's alarms. Nothing is wrong.")
}

fn begin(heading: Heading<'_>, sign: &str) -> String {
    let project = escape(heading.project);
    format!("{sign} <b>{project}</b> · {}", time(heading.at))
}

fn part(notice: &Notice) -> String {
    let topic = capital(&escape(&notice.topic.to_string()));
    let since = time(notice.since);
    match &notice.change {
        Change::Began { cause, step } => format!(
            "<b>{topic}</b> fails since {since}\n{}\n<code>{}</code>",
            escape(&one_sentence(cause)),
            escape(step)
        ),
        Change::Lasts { cause, step } => format!(
            "<b>{topic}</b> still fails, since {since}\n{}\n<code>{}</code>",
            escape(&one_sentence(cause)),
            escape(step)
        ),
        Change::Recovered => format!("<b>{topic}</b> is well again; it had failed since {since}"),
    }
}

fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alarm::Topic;
    use crate::domain::id::ServiceName;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_timestamp(1_768_960_800 + minute * 60, 0).unwrap()
    }

    fn began(name: &str, cause: &str) -> Notice {
        Notice {
            topic: Topic::Migration(ServiceName::new(name)),
            since: at(0),
            change: Change::Began {
                cause: cause.into(),
                step: "docker compose -p shop logs --tail 50".into(),
            },
        }
    }

    const HEADING: Heading<'static> = Heading {
        project: "shop",
        at: Timestamp::UNIX_EPOCH,
    };

    #[test]
    fn a_message_says_time_project_what_since_when_why_and_what_to_do() {
        let heading = Heading {
            project: "shop & co",
            at: at(3),
        };
        let recovered = Notice {
            topic: Topic::Folder,
            since: at(1),
            change: Change::Recovered,
        };
        let notices = [began("api", "code 1: <class 'KeyError'>"), recovered];
        insta::assert_snapshot!(alarm(heading, &notices), @r"
        🔴 <b>shop &amp; co</b> · 2026-01-21 02:03 UTC

        <b>Migration of api</b> fails since 2026-01-21 02:00 UTC
        code 1: &lt;class 'KeyError'&gt;
        <code>docker compose -p shop logs --tail 50</code>

        <b>Backup folder</b> is well again; it had failed since 2026-01-21 02:01 UTC
        ");
        assert!(test(heading).starts_with("🔔 <b>shop &amp; co</b>"));
    }

    #[test]
    fn a_long_message_is_cut_between_its_parts_and_says_so() {
        let cause = "<&>".repeat(3_000);
        let notices: Vec<Notice> = (0..40)
            .map(|number| began(&format!("api-{number}"), &cause))
            .collect();
        let text = alarm(HEADING, &notices);
        assert!(text.chars().count() <= LONGEST, "{}", text.chars().count());
        assert!(
            text.ends_with("more: see <code>stackwarden status</code>"),
            "{text}"
        );
        let count = |mark: &str| text.matches(mark).count();
        assert!(count("<b>") > 1 && count("<b>") == count("</b>"));
        assert_eq!(count("<code>"), count("</code>"));
        assert_eq!(
            text.replace("&lt;", "")
                .replace("&gt;", "")
                .replace("&amp;", "")
                .matches('&')
                .count(),
            0
        );
    }
}
