//! Looks at a stack from outside while it works: what `ps` and `docker inspect` show to whoever is on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde_json::Value;

use super::program::docker;
use super::stack::Stack;

/// Between two looks at the processes of the host: a dump runs for longer.
const PAUSE: Duration = Duration::from_millis(20);

/// What was seen from outside while the stack worked.
#[derive(Debug, Default)]
pub struct Seen {
    /// Command lines of processes, each once.
    pub arguments: BTreeSet<String>,
    /// `docker inspect` of the containers that stackwarden made, by name.
    pub helpers: BTreeMap<String, Value>,
}

/// Looks at the host's processes and at containers of ours, again and again until it is ended.
#[derive(Debug)]
pub struct Watch {
    stops: [Sender<()>; 2],
    processes: JoinHandle<BTreeSet<String>>,
    helpers: JoinHandle<BTreeMap<String, Value>>,
}

impl Watch {
    /// Begins to look.
    pub fn begin(stack: &Stack) -> Self {
        let filter = format!("label=stackwarden.owned-by-project={}", stack.project());
        let (stop_processes, first) = channel();
        let (stop_helpers, second) = channel();
        let processes = spawn(move || {
            let mut seen = BTreeSet::new();
            while goes_on(&first) {
                seen.extend(command_lines());
            }
            seen
        });
        let helpers = spawn(move || {
            let mut seen = BTreeMap::new();
            while goes_on(&second) {
                seen.extend(inspected(&filter));
            }
            seen
        });
        Self {
            stops: [stop_processes, stop_helpers],
            processes,
            helpers,
        }
    }

    /// Ends, and tells what was seen.
    pub fn end(self) -> Seen {
        drop(self.stops);
        Seen {
            arguments: self.processes.join().expect("the processes were watched"),
            helpers: self.helpers.join().expect("the helpers were watched"),
        }
    }
}

/// Waits for the end, but not longer than one pause.
fn goes_on(end: &Receiver<()>) -> bool {
    end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout)
}

/// What the engine says of the containers that stackwarden made.
fn inspected(filter: &str) -> Vec<(String, Value)> {
    let listed = docker(&["ps", "-a", "--filter", filter, "--format", "{{.Names}}"]);
    let names = listed.stdout.lines();
    let found = names.map(|name| (name.to_owned(), docker(&["inspect", name])));
    // One that is gone by now was seen before, or is seen no more.
    let found = found.filter(|(_, ran)| ran.code == 0);
    found.map(|(name, ran)| (name, ran.json())).collect()
}

/// What `ps` on the host shows of the programs that we have run, wherever they run.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| !line.trim().is_empty())
        .collect()
}
