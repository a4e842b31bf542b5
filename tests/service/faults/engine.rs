//! A line to the engine that breaks at the removal of a container: a socket of the test's own before the real one.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::sync::watch;

use crate::harness::{PROOF, Service, catch};

/// Where the sidecar finds it.
const FOLDER: &str = "/engine";
/// The engine's own trouble, in its own form.
const REFUSAL: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
Content-Length: 29\r\nConnection: close\r\n\r\n{\"message\":\"injected fault\"}\n";

/// What happens to a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is done.
    Sound,
    /// The engine refuses it.
    Refused,
    /// It reaches the engine when the test lets it go.
    Held,
    /// The engine does it and does not answer.
    Unanswered,
}

/// The line; it ends with the process.
#[derive(Debug)]
pub struct Line {
    plan: watch::Sender<Plan>,
    met: Arc<AtomicUsize>,
}

/// What is planned, and what becomes of those that were held under another plan.
#[derive(Debug, Clone, Copy)]
struct Plan {
    removal: Removal,
    passes_on: bool,
}

#[derive(Debug, Clone)]
struct Planned {
    plan: watch::Receiver<Plan>,
    met: Arc<AtomicUsize>,
}

impl Line {
    /// A line at `engine/docker.sock` of a stack's folder, sound at first.
    pub fn start(folder: &Path) -> Self {
        let socket = folder.join("engine/docker.sock");
        // A path of a stack is longer than a socket's may be: it is bound by a short one.
        let short = std::env::temp_dir().join(format!("engine-{}", std::process::id()));
        drop(fs::remove_file(&short));
        std::os::unix::fs::symlink(folder.join("engine"), &short).expect("make a link");
        let listener = UnixListener::bind(short.join("docker.sock"));
        fs::remove_file(&short).expect("remove a link");
        let listener = listener.unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        let (plan, planned) = watch::channel(Plan {
            removal: Removal::Sound,
            passes_on: true,
        });
        let met = Arc::new(AtomicUsize::new(0));
        let planned = Planned {
            plan: planned,
            met: Arc::clone(&met),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let planned = planned.clone();
                thread::spawn(move || carry(client, planned));
            }
        });
        Self { plan, met }
    }

    /// What the sidecar's service has to be told.
    pub fn instead_of_the_socket(service: Service) -> Service {
        service
            .without_volume("docker.sock")
            .volume(&format!("./engine:{FOLDER}"))
            .environment("DOCKER_HOST", &format!("unix://{FOLDER}/docker.sock"))
    }

    /// From now on; what was held goes on.
    pub fn plan(&self, removal: Removal) {
        self.change(Plan {
            removal,
            passes_on: true,
        });
    }

    /// What was held is never passed on; from now on all is sound.
    pub fn forget(&self) {
        self.change(Plan {
            removal: Removal::Sound,
            passes_on: false,
        });
    }

    fn change(&self, plan: Plan) {
        self.met.store(0, Ordering::SeqCst);
        self.plan.send_replace(plan);
    }

    /// Waits until a removal was asked for since.
    #[track_caller]
    pub fn wait_until_met(&self) {
        catch("a removal is asked for", PROOF, || {
            match self.met.load(Ordering::SeqCst) {
                0 => Err("none".to_owned()),
                _ => Ok(()),
            }
        });
    }
}

fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let path = host
        .strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock");
    PathBuf::from(path)
}

impl Planned {
    /// What happens to a request that begins with these bytes; `None` when it is never passed on.
    fn find(&mut self, request: &[u8]) -> Option<Removal> {
        let line = request.split(|byte| *byte == b'\r').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        if !(line.starts_with("DELETE ") && line.contains("/containers/")) {
            return Some(Removal::Sound);
        }
        let removal = self.plan.borrow_and_update().removal;
        self.met.fetch_add(1, Ordering::SeqCst);
        if removal != Removal::Held {
            return Some(removal);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a line of the test");
        runtime.block_on(self.plan.changed()).ok()?;
        let passes_on = self.plan.borrow().passes_on;
        passes_on.then_some(Removal::Sound)
    }
}

/// One connection. The product makes one for each request, whose head comes in one piece.
fn carry(mut client: UnixStream, mut planned: Planned) {
    let mut request = vec![0; 64 * 1024];
    let Ok(read @ 1..) = client.read(&mut request) else {
        return;
    };
    request.truncate(read);
    let Some(removal) = planned.find(&request) else {
        return;
    };
    if removal == Removal::Refused {
        drop(client.write_all(REFUSAL));
        return;
    }
    let mut server = UnixStream::connect(engine()).expect("the engine's socket");
    server.write_all(&request).expect("write to the engine");
    let (from, to) = (client.try_clone(), server.try_clone());
    let (mut from, mut to) = (from.expect("a socket"), to.expect("a socket"));
    thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(std::net::Shutdown::Write));
    });
    if removal == Removal::Unanswered {
        let mut unheard = Vec::new();
        drop(server.read_to_end(&mut unheard));
        return;
    }
    drop(std::io::copy(&mut server, &mut client));
    drop(client.shutdown(std::net::Shutdown::Write));
}
