//! `stackwarden healthcheck`: what Docker's HEALTHCHECK runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::ExitStatus;
use super::printer::Printer;
use crate::client::{self, HttpTarget, Limits};
use crate::config;
use crate::domain::failure::chain;
use crate::domain::unit::ByteCount;

const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(4),
    body: ByteCount(64 * 1024),
};

/// Healthy when `/livez` answers; a gate or another command is always healthy, or Docker would call a long
/// migration unhealthy.
pub(super) async fn healthcheck(printer: &mut Printer) -> ExitStatus {
    if !is_sidecar(&std::fs::read("/proc/1/cmdline").unwrap_or_default()) {
        return ExitStatus::Done;
    }
    let Ok((settings, _notes)) = config::env::load() else {
        printer.problem("the settings are wrong, see `stackwarden config`");
        return ExitStatus::Failed;
    };
    let address = match settings.listen.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let target = HttpTarget {
        address: SocketAddr::new(address, settings.listen.port()),
        host: "localhost".to_owned(),
        path: "/livez".to_owned(),
    };
    match client::http_get(target, LIMITS).await {
        Ok(answer) if answer.status == 200 => ExitStatus::Done,
        Ok(answer) => {
            printer.problem(&format!("/livez answers {}", answer.status));
            ExitStatus::Failed
        }
        Err(error) => {
            printer.problem(&chain(&error));
            ExitStatus::Failed
        }
    }
}

/// Whether the container's first process is `stackwarden run`.
fn is_sidecar(command_line: &[u8]) -> bool {
    command_line
        .split(|byte| *byte == 0)
        .skip(1)
        .find(|word| !word.starts_with(b"-"))
        == Some(b"run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sidecar_is_asked() {
        assert!(is_sidecar(b"/stackwarden\0run\0"));
        assert!(!is_sidecar(b"/stackwarden\0gate\0"));
        assert!(!is_sidecar(b"/stackwarden\0backup\0run\0"));
        assert!(!is_sidecar(b""));
    }
}
