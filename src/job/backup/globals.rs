//! The roles of a server: pg_dump carries none of them.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::compose::restore_line;
use super::take::new_id;
use super::{BackupError, Stages, Taken};
use crate::docker::StdinMode;
use crate::domain::backup::{Content, Counted, Level, Manifest, Origin, Packing, Reason, Series};
use crate::domain::roster::ServerTarget;
use crate::job::server;
use crate::job::{JobContext, Run};
use crate::postgres::{ApplicationName, catalog, dump};
use crate::store::StoreError;
use crate::store::layout;
use crate::store::read_back::ReadBack;

/// Roles are few; a server that needs longer is waiting for something.
const DEADLINE: Duration = Duration::from_secs(300);

/// Takes and publishes the roles, their settings and tablespaces of a server.
///
/// # Errors
/// When pg_dumpall fails or its text holds no role, or the folder refuses.
pub async fn take(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    reason: Reason,
) -> Result<Taken, BackupError> {
    tokio::select! {
        taken = take_now(context, run, target, reason) => taken,
        () = run.stop.cancelled() => Err(BackupError::Cancelled),
    }
}

async fn take_now(
    context: &JobContext,
    run: &Run,
    target: &ServerTarget,
    reason: Reason,
) -> Result<Taken, BackupError> {
    let begun = Instant::now();
    let began_at = context.clock.now();
    let mut connected = server::connect_maintenance(context, run, target).await?;
    let facts = catalog::server_facts(&mut connected.session).await;
    let facts = facts.map_err(|source| connected.error(source))?;
    let login = server::login(context, target).await?;
    let application = ApplicationName::build(&context.project, run.id.as_str());
    let asked = server::request(
        dump::globals_command(&login, &application),
        StdinMode::Absent,
    );
    let ran = context
        .docker
        .exec_collect(&target.container, asked, None, DEADLINE)
        .await;
    let ran = ran.map_err(|source| server::docker_error(target, source))?;
    if !ran.end().is_success() || !ran.stdout.contains("ROLE") {
        let source = crate::postgres::classify_stderr("pg_dumpall", &ran.stderr);
        return Err(BackupError::Program {
            program: "pg_dumpall",
            code: ran.code,
            source,
        });
    }
    let dumped = begun.elapsed();
    let series = Series {
        project: context.project.clone(),
        service: target.service.clone(),
        content: Content::Globals,
    };
    let id = new_id(began_at)?;
    let mut staged = context.store.begin(&series, &id, Packing::PlainSql)?;
    staged.write(Bytes::from(ran.stdout)).await?;
    let stored = staged.finish().await?;
    if ReadBack::open(&stored.path)?.finish().await? != stored.sha256 {
        let path = stored.path.clone();
        drop(stored.discard());
        return Err(StoreError::Altered { path }.into());
    }
    let file = layout::stored_name(&id, Packing::PlainSql);
    let manifest = Manifest {
        id,
        series,
        reason,
        snapshot_at: began_at,
        published_at: context.clock.now(),
        snapshot_lsn: None,
        took: begun.elapsed(),
        restore_line: restore_line(&file, Packing::PlainSql),
        file,
        stored_size: stored.size,
        stored_sha256: stored.sha256.clone(),
        packing: Packing::PlainSql,
        tool_version: facts.version.clone(),
        writer_version: env!("CARGO_PKG_VERSION").to_owned(),
        origin: Origin {
            system_identifier: facts.system_identifier,
            database_oid: 0,
            server_version_number: facts.version_number,
            server_version: facts.version,
            image_id: target.image_id.to_string(),
            image: target.image.clone(),
        },
        facts: None,
        revision: None,
        schema_fingerprint: None,
        counted: Counted::Absent("roles are compared line by line".to_owned()),
        globals: None,
        level: Level::Archive,
    };
    let archived = begun.elapsed();
    context.store.publish(stored, &manifest)?;
    let stages = Stages {
        dump: dumped,
        archive: archived - dumped,
        publish: begun.elapsed() - archived,
    };
    Ok(Taken { manifest, stages })
}
