//! System calls of the sidecar that fail, wait or are its last. strace does it from the host, at the very call, so the
//! program is the one that ships: a disk that refuses, stands still, or goes down with everything.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::{SIDECAR, SOON, Stack, catch};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The disk refuses it.
    Fails,
    /// It does not return until the trap is taken away.
    Waits,
    /// It is not begun: `kill -9` comes first.
    Kills,
}

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::Fails => "error=EIO",
            Self::Waits => "delay_enter=600s",
            Self::Kills => "signal=SIGKILL",
        }
    }
}

/// A trap at some calls of a running sidecar; dropped, it is taken away, and who waited goes on.
#[derive(Debug)]
pub struct Trap {
    strace: Child,
    log: PathBuf,
}

impl Trap {
    /// Lies in wait for `calls` on any of these paths, as the sidecar sees them; without paths, on any.
    #[track_caller]
    pub fn set(stack: &Stack, calls: &str, fate: Fate, paths: &[String]) -> Self {
        let process = stack.inspect(SIDECAR, "{{.State.Pid}}");
        let log = stack.folder().join("calls");
        drop(fs::remove_file(&log));
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-p", &process, "-o"]).arg(&log);
        command.args(["-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:{}", fate.words())]);
        for path in paths {
            command.args(["-P", path]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let strace = command.stderr(Stdio::null()).spawn();
        let trap = Self {
            strace: strace.expect("start strace"),
            log,
        };
        catch("every thread is watched", SOON, || is_watched(&process));
        trap
    }

    /// The calls that it has met so far.
    pub fn met(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until a call stands in it.
    #[track_caller]
    pub fn wait_until_met(&self) {
        catch("the call is reached", SOON, || {
            let met = self.met();
            if met.contains('(') { Ok(()) } else { Err(met) }
        });
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        // Whatever ends strace, the kernel lets go of whom it watched.
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}

fn is_watched(process: &str) -> Result<(), String> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.map_err(|error| error.to_string())?;
    for thread in threads.flatten() {
        // A thread that has just ended is nobody to watch.
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        if status.contains("TracerPid:\t0\n") {
            return Err(status);
        }
    }
    Ok(())
}
