//! Log lines on one stream: JSON objects for machines, one readable line each for people.
//!
//! Knows `domain` only. Invariants: what libraries say below INFO never comes out, whatever is asked
//! for, because bollard's DEBUG prints the environments it sends; every line carries our own `service`
//! and `project`, and an event's own field of such a name appears as `event.<name>`.

mod line;

use std::io;
use std::sync::OnceLock;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::domain::id::ProjectName;
use line::Lines;

/// Beginnings of the targets that stay at INFO or quieter.
const FLOOR: [&str; 5] = ["bollard", "hyper", "tokio_postgres", "aws", "rustls"];

/// A library that tells of every tick at INFO what nobody has to know.
const CHATTY: &str = "tokio_cron_scheduler";

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Time, level, message, fields.
    Text,
}

impl LogFormat {}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output: `run` and `gate`.
    Output,
    /// Standard error: commands whose standard output is their answer.
    Error,
}

/// What is logged: `info`, or directives such as `info,stackwarden::desk=debug`.
#[derive(Debug)]
pub struct LogFilter(EnvFilter);

/// Why a text is no log filter.
#[derive(Debug, Error)]
#[error(
    "{text:?} is no log level; write error, warn, info, debug or trace, or info,stackwarden=debug"
)]
pub struct LogFilterError {
    text: String,
    #[source]
    source: ParseError,
}

impl LogFilter {
    /// Reads what `STACKWARDEN_LOG` holds; targets that are not named stay at `info`.
    ///
    /// # Errors
    /// When a level or directive is unknown; retrying is useless.
    pub fn parse(text: &str) -> Result<Self, LogFilterError> {
        EnvFilter::builder()
            .with_regex(false)
            .with_default_directive(LevelFilter::INFO.into())
            .parse(text.trim())
            .map(Self)
            .map_err(|source| LogFilterError {
                text: text.to_owned(),
                source,
            })
    }
}

/// How to log.
#[derive(Debug)]
pub struct Logging {
    /// What a line looks like.
    pub format: LogFormat,
    /// Where it goes.
    pub stream: LogStream,
    /// What is logged.
    pub filter: LogFilter,
    /// The Compose project, when it is known at start; else [`name_project`] tells it later.
    pub project: Option<String>,
}

/// Why logging could not begin.
#[derive(Debug, Error)]
#[error("cannot install the log subscriber: something installed one before")]
pub struct LoggingError(#[source] TryInitError);

impl Logging {
    /// Makes this the process's log.
    ///
    /// # Errors
    /// When it already has one.
    pub fn install(self) -> Result<(), LoggingError> {
        match self.stream {
            LogStream::Output => self.subscriber(io::stdout).try_init(),
            LogStream::Error => self.subscriber(io::stderr).try_init(),
        }
        .map_err(LoggingError)
    }

    fn subscriber<W>(self, writer: W) -> impl Subscriber + Send + Sync
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let lines = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Lines::new(self.format, self.project))
            .with_ansi(false)
            .with_writer(writer);
        tracing_subscriber::registry()
            .with(floor())
            .with(self.filter.0)
            .with(lines)
    }
}

/// The project that was found out after the start; the log is the process's, and so is this.
static PROJECT: OnceLock<String> = OnceLock::new();

/// Puts the project into every line from here on; the first one that was told stays.
pub fn name_project(project: &ProjectName) {
    PROJECT.get_or_init(|| project.to_string());
}

fn found_project() -> Option<&'static str> {
    PROJECT.get().map(String::as_str)
}

fn floor() -> Targets {
    let everything = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_target(CHATTY, LevelFilter::WARN);
    FLOOR.into_iter().fold(everything, |targets, name| {
        targets.with_target(name, LevelFilter::INFO)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use serde_json::Value;
    use tracing::{Level, event, info, info_span};

    use super::*;

    struct Tape(Sender<String>);

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).map_err(io::Error::other)?;
            self.0.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record(format: LogFormat, filter: &str, work: impl FnOnce()) -> Vec<String> {
        let (sender, receiver): (Sender<String>, Receiver<String>) = channel();
        let logging = Logging {
            format,
            stream: LogStream::Output,
            filter: LogFilter::parse(filter).unwrap(),
            project: Some("shop".to_owned()),
        };
        let subscriber = logging.subscriber(move || Tape(sender.clone()));
        tracing::subscriber::with_default(subscriber, work);
        receiver.try_iter().collect()
    }

    #[test]
    fn a_json_line_carries_service_project_and_the_fields_of_its_spans() {
        let lines = record(LogFormat::Json, "info", || {
            let _job = info_span!("job", job.id = "j1", attempt = 1).entered();
            info!(
                attempt = 2,
                service = "api",
                size.bytes = 12_u64,
                "dump \"ended\"\nwell"
            );
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
        let value: Value = serde_json::from_str(line).unwrap();
        for (key, wanted) in [
            ("level", Value::from("INFO")),
            ("service", Value::from("stackwarden")),
            ("project", Value::from("shop")),
            ("message", Value::from("dump \"ended\"\nwell")),
            ("job.id", Value::from("j1")),
            ("attempt", Value::from(2)),
            ("event.service", Value::from("api")),
            ("size.bytes", Value::from(12)),
        ] {
            assert_eq!(value[key], wanted, "{key} in {line}");
        }
        let timestamp = value["timestamp"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(timestamp).is_ok());
    }

    #[test]
    fn a_text_line_stays_one_line_whatever_it_says() {
        let lines = record(LogFormat::Text, "info", || {
            info!(error = "bad\nINFO forged", "first\nsecond \u{1b}[31m");
        });
        assert_eq!(lines.concat().matches('\n').count(), 1, "{lines:?}");
        assert!(!lines.concat().contains('\u{1b}'));
        assert!(lines.concat().contains(" INFO first\\nsecond"), "{lines:?}");
    }

    #[test]
    fn no_setting_lowers_the_floor_of_libraries() {
        for filter in [
            "trace",
            "bollard=trace,hyper=trace,tokio_postgres=debug,aws=debug",
        ] {
            let lines = record(LogFormat::Text, filter, || {
                event!(target: "bollard::docker", Level::DEBUG, "SECRET");
                event!(target: "hyper_util::client", Level::TRACE, "SECRET");
                event!(target: "tokio_postgres::connection", Level::DEBUG, "SECRET");
                event!(target: "aws_smithy_runtime", Level::DEBUG, "SECRET");
                event!(target: "bollard::docker", Level::INFO, "said");
            });
            assert_eq!(lines.len(), 1, "{filter}: {lines:?}");
        }
    }

    #[test]
    fn ours_may_be_as_loud_as_asked_for() {
        let speak = || {
            event!(target: "stackwarden::desk", Level::DEBUG, "detail");
            event!(target: "other", Level::DEBUG, "detail");
        };
        assert_eq!(record(LogFormat::Text, "info", speak).len(), 0);
        assert_eq!(record(LogFormat::Text, "stackwarden=debug", speak).len(), 1);
        assert_eq!(record(LogFormat::Text, "debug", speak).len(), 2);
        let wrong = LogFilter::parse("loud=very").unwrap_err();
        assert!(wrong.to_string().contains("write error, warn"));
    }
}
