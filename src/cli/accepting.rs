//! `backups --accept`: somebody says that a suspect backup is as it should be.

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::ExitStatus;
use super::arguments::Form;
use super::asking::{Refusal, Sidecar, fail, parse_databases, tell_done, tell_job, usage};
use super::printer::Printer;
use crate::app::once;
use crate::config::Settings;
use crate::domain::id::BackupId;

/// `backups --accept`, as asked for.
pub(super) struct Acceptance {
    pub(super) backup: String,
    pub(super) database: Option<String>,
}

/// `stackwarden backups --accept`.
pub(super) async fn accept(
    settings: &Settings,
    asked: Acceptance,
    form: Form,
    stop: CancellationToken,
    printer: &mut Printer,
) -> ExitStatus {
    let only = match asked.database.as_slice() {
        [] => Ok(BTreeSet::new()),
        named => parse_databases(named),
    };
    let (id, only) = match (BackupId::parse(&asked.backup), only) {
        (Ok(id), Ok(only)) => (id, only.into_iter().next()),
        (Err(error), _) => return usage(&error.to_string(), printer),
        (_, Err(why)) => return usage(&why, printer),
    };
    match Sidecar::find(settings).await {
        Ok(sidecar) => {
            let query = only
                .map(|database| format!("?database={}", percent_encoded(&database.to_string())))
                .unwrap_or_default();
            let path = format!("/v1/backups/{id}/accept{query}");
            let followed = sidecar.order(&path, Bytes::new()).await;
            tell_job(followed, form, printer)
        }
        Err(Refusal::Said(why)) => fail(&why, printer),
        Err(Refusal::Absent) => {
            let done = once::accept(settings, id, only, stop).await;
            tell_done(done, form, printer)
        }
    }
}

/// A text as a value in a query.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
