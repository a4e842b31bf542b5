//! Runs programs of the host, bounded, with everything they said.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No single program of these tests may take longer.
const BOUND: Duration = Duration::from_secs(280);
const PAUSE: Duration = Duration::from_millis(10);

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What was run.
    pub what: String,
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The standard output of a success; anything else fails the test with what was said.
    #[track_caller]
    pub fn ok(self) -> String {
        self.ended_with(0).stdout
    }

    /// Itself, when it ended with this code.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "{} ended with {}:\n{}",
            self.what,
            self.code,
            self.said()
        );
        self
    }

    /// The standard output as JSON, whatever the code.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: no JSON ({error}):\n{}", self.what, self.said()))
    }

    /// Everything it wrote.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A program that runs beside the test.
#[derive(Debug)]
pub struct Background(thread::JoinHandle<Ran>);

impl Background {
    /// Begins `docker` with these arguments.
    pub fn docker(arguments: &[&str]) -> Self {
        let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        Self(thread::spawn(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            docker(&words)
        }))
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end.
    pub fn end(self) -> Ran {
        self.0.join().expect("a program ran")
    }
}

/// Runs `docker` with these arguments.
pub fn docker(arguments: &[&str]) -> Ran {
    run("docker", arguments, None)
}

/// Runs a program to its end, its standard input fed with `input`.
pub fn run(program: &str, arguments: &[&str], input: Option<&str>) -> Ran {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(&mut command, input)
}

/// Runs a prepared command to its end.
pub fn finish(command: &mut Command, input: Option<&str>) -> Ran {
    let what = format!("{command:?}").replace('"', "");
    let stdin = input.map_or_else(Stdio::null, |_| Stdio::piped());
    let child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
    let feeder = input.map(str::to_owned).zip(child.stdin.take());
    let feeder = feeder.map(|(text, mut stdin)| {
        // A program that ends early closes its input; its exit code tells.
        thread::spawn(move || drop(stdin.write_all(text.as_bytes())))
    });
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            break status;
        }
        if begun.elapsed() > BOUND {
            child.kill().expect("kill a child");
            panic!("{what} did not end within {BOUND:?}");
        }
        thread::sleep(PAUSE);
    };
    if let Some(feeder) = feeder {
        feeder.join().expect("feed a child");
    }
    Ran {
        what,
        code: status.code().unwrap_or(-1),
        stdout: stdout.join().expect("read a child"),
        stderr: stderr.join().expect("read a child"),
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).expect("read a child");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
