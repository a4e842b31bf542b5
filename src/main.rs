//! stackwarden's binary: a runtime, and the command line.

use std::process::ExitCode;
use std::time::Duration;

/// Docker kills ten seconds after it asked, and the tasks have had eight of them at most.
const LAST_MOMENT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Two workers whatever the host has: a sidecar on a large machine needs no more, and each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(stackwarden::cli::run());
            // Threads that clean up get their moment; one that a dead disk holds must not hold the process.
            runtime.shutdown_timeout(LAST_MOMENT);
            code
        }
        Err(_no_threads) => ExitCode::FAILURE,
    }
}
