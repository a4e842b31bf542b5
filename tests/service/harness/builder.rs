//! What a test's stack consists of, and its Compose file.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::stack::Stack;

/// The image under test, unless `STACKWARDEN_TEST_IMAGE` names another.
const IMAGE: &str = "stackwarden:0.1.0";
/// The server's image, unless `STACKWARDEN_TEST_POSTGRES` names another.
const POSTGRES: &str = "postgres:17";
/// The one-shot that runs before the application.
pub const GATE: &str = "stackwarden-gate";
/// The sidecar.
pub const SIDECAR: &str = "stackwarden";
/// The database server.
pub const DATABASE: &str = "postgres";

/// One service of a Compose file.
#[derive(Debug, Clone, Default)]
pub struct Service {
    image: String,
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    volumes: Vec<String>,
    ports: Vec<String>,
    lines: String,
}

impl Service {
    /// Another image.
    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// A variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A label; the value is quoted for YAML.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A volume in Compose's short form.
    pub fn volume(mut self, volume: &str) -> Self {
        self.volumes.push(volume.to_owned());
        self
    }

    /// Takes away the volumes that contain this text.
    pub fn without_volume(mut self, part: &str) -> Self {
        self.volumes.retain(|volume| !volume.contains(part));
        self
    }

    /// A published port in Compose's short form, such as `127.0.0.1::9181`.
    pub fn port(mut self, port: &str) -> Self {
        self.ports.push(port.to_owned());
        self
    }

    /// Any other YAML of a service, such as `command: gate`, unindented.
    pub fn lines(mut self, yaml: &str) -> Self {
        self.lines.push_str(yaml.trim_matches('\n'));
        self.lines.push('\n');
        self
    }

    fn yaml(&self) -> String {
        let mut yaml = format!("image: {}\n", quoted(&self.image));
        for (key, map) in [("environment", &self.environment), ("labels", &self.labels)] {
            let entries: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name}: {}", quoted(value)))
                .collect();
            yaml.push_str(&block(key, &entries));
        }
        for (key, list) in [("volumes", &self.volumes), ("ports", &self.ports)] {
            let entries: Vec<String> = list.iter().map(|it| format!("- {}", quoted(it))).collect();
            yaml.push_str(&block(key, &entries));
        }
        yaml + &self.lines
    }
}

fn block(key: &str, entries: &[String]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    format!("{key}:\n{}", indented(&entries.join("\n"), "  "))
}

/// A double-quoted YAML scalar that Compose does not interpolate.
fn quoted(text: &str) -> String {
    serde_json::to_string(&text.replace('$', "$$")).expect("text is JSON")
}

fn indented(text: &str, by: &str) -> String {
    text.lines().fold(String::new(), |mut indented, line| {
        writeln!(indented, "{by}{line}").expect("write to a string");
        indented
    })
}

pub(super) fn image() -> String {
    std::env::var("STACKWARDEN_TEST_IMAGE").unwrap_or_else(|_| IMAGE.to_owned())
}

/// The tag of the image under test, as the demo's files want it.
pub fn image_tag() -> String {
    let image = image();
    let tag = image.strip_prefix("stackwarden:");
    tag.unwrap_or_else(|| panic!("{image} is not called stackwarden:TAG"))
        .to_owned()
}

/// Describes a stack. Without further words: Postgres with user and database `app`, and the sidecar.
#[derive(Debug, Clone)]
pub struct StackBuilder {
    pub(super) test: String,
    pub(super) images: Vec<String>,
    pub(super) user: String,
    services: BTreeMap<String, String>,
    postgres: Service,
    sidecar: Option<Service>,
    gate: Option<Service>,
    top: String,
    pub(super) files: BTreeMap<String, String>,
}

impl StackBuilder {
    pub(super) fn new(test: &str) -> Self {
        let image = image();
        let postgres =
            std::env::var("STACKWARDEN_TEST_POSTGRES").unwrap_or_else(|_| POSTGRES.to_owned());
        Self {
            test: test.to_owned(),
            images: vec![image.clone()],
            user: "app".to_owned(),
            services: BTreeMap::new(),
            postgres: database(&postgres),
            sidecar: Some(
                ours(&image)
                    .environment("TZ", "UTC")
                    .lines("restart: unless-stopped"),
            ),
            gate: None,
            top: String::new(),
            files: BTreeMap::new(),
        }
    }

    /// Changes the database server.
    pub fn postgres(mut self, change: impl FnOnce(Service) -> Service) -> Self {
        self.postgres = change(self.postgres);
        self
    }

    /// Changes the sidecar.
    pub fn sidecar(mut self, change: impl FnOnce(Service) -> Service) -> Self {
        self.sidecar = self.sidecar.map(change);
        self
    }

    /// Without the sidecar.
    pub fn without_sidecar(mut self) -> Self {
        self.sidecar = None;
        self
    }

    /// Publishes the sidecar's two ports on addresses of the host that nobody else has.
    pub fn with_ports(self) -> Self {
        self.sidecar(|it| it.port("127.0.0.1::9180").port("127.0.0.1::9181"))
    }

    /// Adds the gate, waiting for a healthy database, or changes it.
    pub fn gate(mut self, change: impl FnOnce(Service) -> Service) -> Self {
        let gate = self.gate.take().unwrap_or_else(|| {
            ours(&self.images[0])
                .lines("command: gate\nrestart: \"no\"")
                .lines("depends_on: { postgres: { condition: service_healthy } }")
        });
        self.gate = Some(change(gate));
        self
    }

    /// A service of the application, or a replacement for it, as unindented YAML.
    pub fn service(mut self, name: &str, yaml: &str) -> Self {
        self.services.insert(name.to_owned(), yaml.to_owned());
        self
    }

    /// YAML beside `services:`, such as secrets or volumes.
    pub fn top_level(mut self, yaml: &str) -> Self {
        self.top.push_str(yaml.trim_matches('\n'));
        self.top.push('\n');
        self
    }

    /// A file in the stack's folder, readable in the Compose file as `./path`.
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// An image that has to exist, said clearly when it does not.
    pub fn needs_image(mut self, image: &str) -> Self {
        self.images.push(image.to_owned());
        self
    }

    /// Writes the stack's folder; nothing is started.
    pub fn write(self) -> Stack {
        Stack::write(self)
    }

    /// Writes and starts it.
    #[track_caller]
    pub fn up(self) -> Stack {
        let stack = self.write();
        stack.up();
        stack
    }

    /// The images that have to exist before anything starts.
    pub(super) fn needed_images(&self) -> Vec<String> {
        let server = self.postgres.image.clone();
        self.images.iter().cloned().chain([server]).collect()
    }

    /// The Compose file.
    pub(super) fn compose_file(&self) -> String {
        let named = [
            (DATABASE, Some(&self.postgres)),
            (SIDECAR, self.sidecar.as_ref()),
            (GATE, self.gate.as_ref()),
        ];
        let mut services: BTreeMap<&str, String> = named
            .into_iter()
            .filter_map(|(name, service)| Some((name, service?.yaml())))
            .collect();
        for (name, yaml) in &self.services {
            services.insert(name, yaml.trim_matches('\n').to_owned());
        }
        let mut text = "services:\n".to_owned();
        for (name, yaml) in services {
            write!(text, "  {name}:\n{}", indented(&yaml, "    ")).expect("write to a string");
        }
        text + &self.top
    }
}

fn database(image: &str) -> Service {
    Service::default()
        .image(image)
        .environment("POSTGRES_USER", "app")
        .environment("POSTGRES_PASSWORD", "a secret of the test")
        .environment("POSTGRES_DB", "app")
        .lines(
            "healthcheck:\n  test: [CMD, pg_isready, -U, app, -h, 127.0.0.1]\n  interval: 1s\n  retries: 120",
        )
}

fn ours(image: &str) -> Service {
    // The engine that the `docker` program talks to is the one whose socket the containers get.
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = match socket.strip_prefix("unix://") {
        Some(path) => path.to_owned(),
        None => "/var/run/docker.sock".to_owned(),
    };
    Service::default()
        .image(image)
        .volume(&format!("{socket}:/var/run/docker.sock"))
        .volume("./backups:/backups")
}
