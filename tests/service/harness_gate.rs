//! What tests of the gate and of bad input add to the harness: applications that migrate, images with further
//! revisions, and the times at which things happened.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use serde_json::Value;

use crate::harness::{GATE, Stack, StackBuilder, docker};

/// The demo's api: FastAPI, SQLAlchemy and Alembic at revision `0002_seed`.
pub const API: &str = "recyclic-api:demo";
/// The database's password as it stands in a URL.
pub const PASSWORD_IN_URL: &str = "a%20secret%20of%20the%20test";

/// Executes its argument in one transaction, which stays open while `control/wait` is there.
const APPLY: &str = r#"
import os, sys, time, psycopg2
connection = psycopg2.connect(os.environ["DATABASE_URL"])
with connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[1])
    while os.path.exists("/control/wait"):
        time.sleep(0.1)
print("applied " + sys.argv[1])
"#;
/// Ends with 0 when its argument, a query, is true.
const ASK: &str = r#"
import os, sys, psycopg2
cursor = psycopg2.connect(os.environ["DATABASE_URL"]).cursor()
cursor.execute(sys.argv[1])
sys.exit(0 if cursor.fetchone()[0] else 1)
"#;

/// An instant with its zone.
pub type Instant = DateTime<FixedOffset>;

/// A service of the application.
#[derive(Debug, Clone)]
pub struct App {
    image: String,
    labels: Vec<(String, String)>,
    waits: Vec<(String, String)>,
    lines: String,
}

/// Starts after the gate has opened.
const OPENED: &str = "service_completed_successfully";

impl App {
    /// The demo's api; it waits for the gate and does nothing but run.
    pub fn idle() -> Self {
        Self::of(API).lines(
            "command: [sleep, infinity]\nstop_grace_period: 0s\nvolumes: ['./control:/control:ro']",
        )
    }

    /// A service of this image, waiting for the gate and the database.
    pub fn of(image: &str) -> Self {
        let app = Self {
            image: image.to_owned(),
            labels: Vec::new(),
            waits: Vec::new(),
            lines: String::new(),
        };
        app.waits_for(GATE, OPENED)
            .waits_for("postgres", "service_healthy")
    }

    /// The demo's api as it is meant to run, of an image with some revisions.
    pub fn api(image: &str) -> Self {
        Self::of(image)
            .label("stackwarden.migrate", "alembic upgrade head")
            .label("stackwarden.health", "http://localhost:8000/health")
            .lines("stop_grace_period: 1s")
    }

    /// With a migration that executes SQL through `control/apply.py`.
    pub fn migrating(self, sql: &str) -> Self {
        let command = serde_json::json!(["python", "/control/apply.py", sql]);
        self.label("stackwarden.migrate", &command.to_string())
    }

    /// With a status command that is content when this query is true.
    pub fn done_when(self, query: &str) -> Self {
        let command = serde_json::json!(["python", "/control/ask.py", query]);
        self.label("stackwarden.migrate.status", &command.to_string())
    }

    /// With a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.retain(|(known, _)| known != key);
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With a condition of `depends_on`.
    pub fn waits_for(mut self, service: &str, condition: &str) -> Self {
        self.waits.push((service.to_owned(), condition.to_owned()));
        self
    }

    /// With any other YAML, unindented.
    pub fn lines(mut self, yaml: &str) -> Self {
        self.lines.push_str(yaml);
        self.lines.push('\n');
        self
    }

    /// As the Compose file has it.
    pub fn yaml(&self) -> String {
        let url = format!("postgresql://app:{PASSWORD_IN_URL}@postgres:5432/app");
        let labels: Value = self
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.replace('$', "$$"))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let waits: Value = self
            .waits
            .iter()
            .map(|(service, condition)| {
                (
                    service.clone(),
                    serde_json::json!({ "condition": condition }),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into();
        format!(
            "image: {}\nenvironment: {{ DATABASE_URL: '{url}' }}\nlabels: {labels}\ndepends_on: {waits}\n{}",
            self.image, self.lines
        )
    }
}

/// A stack without sidecar: database, gate and the scripts that [`App::migrating`] needs.
pub fn gated(test: &str) -> StackBuilder {
    with_gate(Stack::builder(test).without_sidecar())
}

/// Adds the gate and the scripts that [`App::migrating`] needs.
pub fn with_gate(stack: StackBuilder) -> StackBuilder {
    make_api();
    stack
        .gate(|gate| gate)
        .file("control/apply.py", APPLY)
        .file("control/ask.py", ASK)
        .needs_image(API)
}

/// Builds the demo's api where the demo has not done so yet.
fn make_api() {
    if docker(&["image", "inspect", "--format", "{{.Id}}", API]).code == 0 {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/api");
    drop(docker(&["build", "-q", "-t", API, &folder.to_string_lossy()]).ok());
}

/// Builds the demo's api with further revisions, such as `0003_*.py`; gives the image's name.
pub fn api_with(tag: &str, revisions: &str) -> String {
    let image = format!("recyclic-api:test-{tag}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/revisions");
    let revision = format!("REVISION={revisions}");
    let base = format!("BASE={API}");
    let folder = folder.to_string_lossy();
    drop(
        docker(&[
            "build",
            "-q",
            "-t",
            &image,
            "--build-arg",
            &base,
            "--build-arg",
            &revision,
            &folder,
        ])
        .ok(),
    );
    image
}

/// While it lives, migrations of [`App::migrating`] stay in mid-transaction.
#[derive(Debug)]
pub struct Waiting {
    file: PathBuf,
}

impl Waiting {
    /// Makes them wait.
    pub fn begin(stack: &Stack) -> Self {
        let file = stack.folder().join("control/wait");
        fs::write(&file, "").expect("write control/wait");
        Self { file }
    }

    /// Lets them go on.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.file));
    }
}

/// A field of `.State` of a service's container that is a time.
#[track_caller]
pub fn time_of(stack: &Stack, service: &str, field: &str) -> Instant {
    parse_time(&stack.inspect(service, &format!("{{{{.State.{field}}}}}")))
}

/// Reads RFC 3339.
#[track_caller]
pub fn parse_time(text: &str) -> Instant {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// The lines of the gate's newest run.
pub fn gate_lines(stack: &Stack) -> Vec<Value> {
    let text = gate_log(stack);
    let lines = text.lines().map(serde_json::from_str);
    lines.filter_map(Result::ok).collect()
}

/// What the gate's newest run wrote, as it stands.
pub fn gate_log(stack: &Stack) -> String {
    let since = stack.inspect(GATE, "{{.State.StartedAt}}");
    docker(&["logs", "--since", &since, &stack.container(GATE)]).said()
}

/// The first line with this message.
#[track_caller]
pub fn line<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["message"] == message);
    found.unwrap_or_else(|| panic!("no line {message:?} in {lines:#?}"))
}

/// When a line was written.
#[track_caller]
pub fn written(line: &Value) -> Instant {
    parse_time(line["timestamp"].as_str().expect("a line has a time"))
}

/// How many lines have this message.
pub fn count(lines: &[Value], message: &str) -> usize {
    lines
        .iter()
        .filter(|line| line["message"] == message)
        .count()
}

/// The state of a service's container, such as `created`.
pub fn state(stack: &Stack, service: &str) -> String {
    stack.inspect(service, "{{.State.Status}}")
}
