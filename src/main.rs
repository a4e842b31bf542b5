//! stackwarden's binary: a runtime, and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two workers whatever the host has: a sidecar on a large machine needs no more, and each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(stackwarden::cli::run()),
        Err(_no_threads) => ExitCode::FAILURE,
    }
}
