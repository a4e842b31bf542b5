//! Making room for others on a server's processors.

use serde::Deserialize;

use super::{QUESTION, request};
use crate::docker::StdinMode;
use crate::domain::roster::ServerTarget;
use crate::job::JobContext;
use crate::postgres::Session;
use crate::postgres::nice::step_back_command;

/// Lowers the priority of the backend behind a session. Where that cannot be (a server that is not in the container, an
/// image without renice), it works on like everybody else.
pub async fn step_back(context: &JobContext, target: &ServerTarget, session: &mut Session) {
    #[derive(Deserialize)]
    struct Backend {
        process: i32,
    }
    let sql = "SELECT pg_catalog.pg_backend_pid() AS process";
    let Ok(Backend { process }) = session.row(sql, QUESTION).await else {
        // Whoever asks the session next is told.
        return;
    };
    let asked = request(step_back_command(process), StdinMode::Absent);
    let (docker, container) = (&context.docker, &target.container);
    match docker.exec_collect(container, asked, None, QUESTION).await {
        Ok(ran) if ran.end().is_success() => {}
        Ok(ran) => {
            tracing::debug!(service = %target.service, code = ran.code, said = ran.stderr.trim(), "digests are taken without a lower priority");
        }
        Err(error) => {
            tracing::debug!(service = %target.service, %error, "digests are taken without a lower priority");
        }
    }
}
