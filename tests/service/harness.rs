//! What every end-to-end test stands on: a Compose stack of its own, driven through the `docker` program.
//!
//! A test describes its stack with [`Stack::builder`], brings it up, and asks it as an owner would: `exec`, files in the
//! backup folder, HTTP. Everything is removed when the [`Stack`] is dropped, also after a panic or a kill:
//! see [`guardian`]. Tests may run at once; each has its own project, folder and ports.

mod artefact;
mod builder;
mod clients;
mod fresh;
mod guardian;
mod http;
mod program;
mod session;
mod stack;
mod watch;

pub use artefact::{Artefact, names};
pub use builder::{DATABASE, GATE, SIDECAR, Service, StackBuilder, image_tag};
pub use clients::with_clients;
pub use fresh::FreshServer;
pub use http::HttpAnswer;
pub use program::{Background, Ran, docker, finish, run};
pub use session::HeldSession;
pub use stack::Stack;
pub use watch::Watch;

use std::time::{Duration, Instant};

/// How long a first backup and its proof may take, with another stack's proof before it.
pub const PROOF: Duration = Duration::from_mins(3);
/// How long anything quick may take on a busy machine.
pub const SOON: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(500);
const BLINK: Duration = Duration::from_millis(3);

/// Asks again and again until there is an answer; fails with the last status when the bound has passed.
#[track_caller]
pub fn wait_until<T>(what: &str, bound: Duration, ask: impl FnMut() -> Result<T, String>) -> T {
    poll(what, bound, PAUSE, ask)
}

/// The same for a moment that passes quickly: asks every few milliseconds, so ask for something cheap.
#[track_caller]
pub fn catch<T>(what: &str, bound: Duration, ask: impl FnMut() -> Result<T, String>) -> T {
    poll(what, bound, BLINK, ask)
}

#[track_caller]
fn poll<T>(
    what: &str,
    bound: Duration,
    pause: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        let status = match ask() {
            Ok(answer) => return answer,
            Err(status) => status,
        };
        assert!(
            begun.elapsed() < bound,
            "{what}: not within {bound:?}; last seen: {status}"
        );
        std::thread::sleep(pause);
    }
}

/// Six random hexadecimal digits.
fn random_suffix() -> String {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("read random bytes");
    uuid.chars().take(6).collect()
}
