//! One log line from one event and the spans around it.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::LogFormat;
use crate::domain::failure;

const SERVICE: &str = "stackwarden";
/// Keys that only we write.
const OURS: [&str; 6] = [
    "timestamp",
    "level",
    "service",
    "version",
    "project",
    "target",
];
const MESSAGE: &str = "message";

/// Formats events as lines.
#[derive(Debug)]
pub(super) struct Lines {
    format: LogFormat,
    project: Option<String>,
}

impl Lines {
    pub(super) fn new(format: LogFormat, project: Option<String>) -> Self {
        Self { format, project }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(text) = span.extensions().get::<FormattedFields<N>>() {
                fields.put_span(text);
            }
        }
        event.record(&mut fields);
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = Line {
            timestamp,
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            project: self.project.as_deref().or_else(|| super::found_project()),
            fields,
        };
        match self.format {
            LogFormat::Json => {
                let text = line.to_json().map_err(|_not_written| fmt::Error)?;
                writeln!(writer, "{text}")
            }
            LogFormat::Text => writeln!(writer, "{line}"),
        }
    }
}

struct Line<'a> {
    timestamp: String,
    level: &'static str,
    target: &'a str,
    project: Option<&'a str>,
    fields: Fields,
}

impl Line<'_> {
    fn to_json(&self) -> Result<String, Box<dyn StdError>> {
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut bytes);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("level", self.level)?;
        map.serialize_entry("service", SERVICE)?;
        map.serialize_entry("version", env!("CARGO_PKG_VERSION"))?;
        if let Some(project) = self.project {
            map.serialize_entry("project", project)?;
        }
        map.serialize_entry("target", self.target)?;
        map.serialize_entry(MESSAGE, &self.fields.message)?;
        for (name, value) in &self.fields.others {
            map.serialize_entry(name, value)?;
        }
        map.end()?;
        Ok(String::from_utf8(bytes)?)
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:>5} ", self.timestamp, self.level)?;
        for letter in self.fields.message.chars() {
            if letter.is_control() {
                write!(formatter, "{}", letter.escape_default())?;
            } else {
                write!(formatter, "{letter}")?;
            }
        }
        for (name, value) in &self.fields.others {
            match value.as_str() {
                Some(text) => write!(formatter, " {name}={text:?}")?,
                None => write!(formatter, " {name}={value}")?,
            }
        }
        Ok(())
    }
}

/// The message and everything else, each name once: the innermost wins.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, Value>,
}

impl Fields {
    fn put_span(&mut self, text: &str) {
        if let Ok(Value::Object(map)) = serde_json::from_str(text) {
            for (name, value) in map {
                self.put(&name, value);
            }
        }
    }

    fn put(&mut self, name: &str, value: Value) {
        let name = if OURS.contains(&name) {
            format!("event.{name}")
        } else {
            name.strip_prefix("r#").unwrap_or(name).to_owned()
        };
        self.others.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == MESSAGE {
            self.message = text;
        } else {
            self.put(field.name(), Value::from(text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            value.clone_into(&mut self.message);
        } else {
            self.put(field.name(), Value::from(value));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.put(field.name(), Value::from(failure::chain(value)));
    }
}
