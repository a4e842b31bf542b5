//! `verify FILE`: one of our own backups is proven as such, whatever else is judged as far as it can be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::foreign::{self, Judgement};
use super::{VerifyError, VerifyPlan, bounds};
use crate::domain::backup::{Destination, Level, Manifest, Proof};
use crate::domain::foreign::DIRECTORY_MARK;
use crate::domain::id::{DatabaseRef, ServiceName};
use crate::domain::roster::ServerTarget;
use crate::job::{JobContext, Run};

/// Which file to judge, and where.
#[derive(Debug, Clone)]
pub struct FilePlan {
    /// As somebody named it.
    pub file: PathBuf,
    /// Whose server the scratch is to be like; the only one otherwise.
    pub service: Option<ServiceName>,
    /// How far.
    pub level: Level,
    /// The servers of the stack.
    pub servers: BTreeMap<ServiceName, ServerTarget>,
}

/// What became of a file.
#[derive(Debug)]
pub enum FileVerdict {
    /// It is a backup of ours: its proof is written beside it.
    Own(Box<(VerifyPlan, Proof)>),
    /// It is not.
    Foreign(Judgement),
}

/// Judges a file.
///
/// # Errors
/// When nothing could be found out; a file that is wrong is a verdict.
///
/// # Cancellation
/// As of [`super::run`].
pub async fn run_file(
    context: &JobContext,
    run: &Run,
    plan: &FilePlan,
) -> Result<FileVerdict, VerifyError> {
    let path = find_file(context, &plan.file).await?;
    if let Some(manifest) = find_own(context, &path).await? {
        let Some(database) = manifest.series.content.database() else {
            return Err(VerifyError::Roles { file: path });
        };
        let service = manifest.series.service.clone();
        let own = VerifyPlan {
            server: plan.servers.get(&service).cloned(),
            database: DatabaseRef::new(service, database.clone()),
            id: manifest.id,
            level: plan.level,
            from: Some(Destination::Disk),
        };
        let proof = super::run(context, run, &own).await?;
        return Ok(FileVerdict::Own(Box::new((own, proof))));
    }
    let server = choose(plan)?;
    let _turn = run.or_stopped(context.turns.take()).await?;
    let judging = Box::pin(foreign::judge(context, run, server, &path, plan.level));
    let judgement = bounds::in_time(context, judging).await?;
    Ok(FileVerdict::Foreign(judgement))
}

fn choose(plan: &FilePlan) -> Result<&ServerTarget, VerifyError> {
    if plan.servers.is_empty() {
        return Err(VerifyError::NoServers);
    }
    let mut servers = plan.servers.values();
    let chosen = match &plan.service {
        Some(service) => plan.servers.get(service),
        None => servers.next().filter(|_| plan.servers.len() == 1),
    };
    chosen.ok_or_else(|| VerifyError::NoChoice {
        file: plan.file.clone(),
        known: plan.servers.keys().map(ToString::to_string).collect(),
    })
}

/// The file as this container names it: its own path, one below the backup folder, or the host's for a mount of ours.
pub(in crate::job) async fn find_file(
    context: &JobContext,
    asked: &Path,
) -> Result<PathBuf, VerifyError> {
    let here = context.store.root().join(asked);
    let mapped = context.own.as_ref().and_then(|own| own.own_path(asked));
    let candidates = std::iter::once(here.clone()).chain(mapped);
    for candidate in candidates {
        if let Ok(path) = tokio::fs::canonicalize(&candidate).await
            && let Ok(found) = tokio::fs::metadata(&path).await
            && (found.is_file() || path.join(DIRECTORY_MARK).is_file())
        {
            return Ok(path);
        }
    }
    let source = match tokio::fs::metadata(&here).await {
        Ok(_) => std::io::Error::other(
            "it is neither a file nor a folder in pg_dump's directory format, in which there is a toc.dat",
        ),
        Err(error) => error,
    };
    Err(VerifyError::File {
        file: asked.to_owned(),
        source,
    })
}

/// The backup that a path belongs to: its stored file, or its manifest.
pub(in crate::job) async fn find_own(
    context: &JobContext,
    path: &Path,
) -> Result<Option<Manifest>, VerifyError> {
    let store = context.store.clone();
    let path = path.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        // What was asked for is canonical, so what is compared has to be.
        let is_it = |manifest: &Manifest| {
            let stored = store.path_of(manifest);
            let beside = stored.with_file_name(format!("{}.json", manifest.id));
            [stored, beside]
                .into_iter()
                .any(|it| std::fs::canonicalize(it).is_ok_and(|it| it == path))
        };
        let listing = store.list()?;
        let backups = listing.series.into_values().flatten();
        Ok::<_, VerifyError>(backups.map(|it| it.manifest).find(is_it))
    });
    found.await.map_err(|_lost| VerifyError::Cancelled)?
}
