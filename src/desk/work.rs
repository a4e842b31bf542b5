//! What a job does once it has begun: planned from the board's picture, then run.

use std::collections::BTreeMap;

use super::ledger::Ended;
use crate::board::Picture;
use crate::domain::backup::{Level, Reason};
use crate::domain::id::ServiceName;
use crate::domain::job::{BackupScope, JobRequest};
use crate::domain::roster::ServerTarget;
use crate::job::accept::{self, AcceptPlan};
use crate::job::backup::BackupPlan;
use crate::job::backup::volume::{self, VolumePlan};
use crate::job::copy::{self, CopyPlan};
use crate::job::fsck::{self, RereadPlan};
use crate::job::restore::{self, RestorePlan};
use crate::job::verify::{self, FilePlan, VerifyPlan};
use crate::job::{JobContext, Run, backup};

/// A planned job.
#[derive(Debug)]
pub(super) enum Work {
    Backup(BackupPlan, Reason),
    Volume(VolumePlan),
    Verify(Box<VerifyPlan>),
    Accept(AcceptPlan),
    File(FilePlan),
    Fsck,
    Reread(RereadPlan),
    Restore(RestorePlan),
    Copy(CopyPlan),
}

impl Work {
    /// Plans what is asked for.
    ///
    /// # Errors
    /// Why nothing can be done, in a sentence.
    pub(super) fn plan(picture: &Picture, request: &JobRequest) -> Result<Self, String> {
        Ok(match request.clone() {
            JobRequest::Backup { scope, reason } => {
                Self::Backup(plan_backup(picture, &scope)?, reason)
            }
            JobRequest::BackupVolume { volume, image } => Self::Volume(VolumePlan {
                volume,
                image,
                level: highest_level(picture),
            }),
            JobRequest::Verify {
                database,
                id,
                level,
                from,
            } => Self::Verify(Box::new(VerifyPlan {
                server: targets(picture).remove(&database.service),
                database,
                id,
                level,
                from,
            })),
            JobRequest::Accept { database, id } => Self::Accept(AcceptPlan { database, id }),
            JobRequest::Fsck => Self::Fsck,
            JobRequest::Reread { series, id, from } => {
                Self::Reread(RereadPlan { series, id, from })
            }
            JobRequest::Copy { series, id, task } => Self::Copy(CopyPlan { series, id, task }),
            JobRequest::VerifyFile {
                file,
                service,
                level,
            } => Self::File(FilePlan {
                file,
                service,
                level,
                servers: targets(picture),
            }),
            JobRequest::Restore(order) => Self::Restore(RestorePlan {
                order,
                servers: levels(picture),
            }),
        })
    }

    /// Runs it to its end.
    ///
    /// # Cancellation
    /// As each job says of itself.
    pub(super) async fn run(self, context: &JobContext, run: &Run) -> Ended {
        match self {
            Self::Backup(plan, reason) => {
                Ended::Backup(backup::run(context, run, &plan, reason).await)
            }
            Self::Volume(plan) => {
                let outcome = Box::pin(volume::run(context, run, &plan)).await;
                Ended::Volume(Box::new((plan, outcome)))
            }
            Self::Verify(plan) => {
                let outcome = Box::pin(verify::run(context, run, &plan)).await;
                Ended::Verify(Box::new((*plan, outcome)))
            }
            Self::Accept(plan) => {
                let outcome = accept::run(context, &plan).await;
                Ended::Accept(Box::new((plan, outcome)))
            }
            Self::Fsck => Ended::Fsck(Box::pin(fsck::run(context, run)).await),
            Self::Reread(plan) => {
                let outcome = Box::pin(fsck::reread(context, run, &plan)).await;
                Ended::Reread(Box::new((plan, outcome)))
            }
            Self::File(plan) => {
                let outcome = Box::pin(verify::run_file(context, run, &plan)).await;
                Ended::File(Box::new((plan, outcome)))
            }
            Self::Restore(plan) => {
                let outcome = Box::pin(restore::run(context, run, &plan)).await;
                Ended::Restore(Box::new((plan, outcome)))
            }
            Self::Copy(plan) => {
                let outcome = Box::pin(copy::run(context, run, &plan)).await;
                Ended::Copy(Box::new((plan, outcome)))
            }
        }
    }
}

fn targets(picture: &Picture) -> BTreeMap<ServiceName, ServerTarget> {
    let servers = picture.servers.iter();
    servers
        .map(|(name, it)| (name.clone(), it.target.clone()))
        .collect()
}

/// With the level at which each server's backups are proven.
fn levels(picture: &Picture) -> BTreeMap<ServiceName, (ServerTarget, Level)> {
    let servers = picture.servers.iter();
    servers
        .map(|(name, it)| (name.clone(), (it.target.clone(), it.policy.verify)))
        .collect()
}

/// No label speaks of a volume: as far as the stack's own backups are proven, and to the end where there are none.
fn highest_level(picture: &Picture) -> Level {
    let levels = picture.servers.values().map(|it| it.policy.verify);
    levels.max().unwrap_or(Level::Content)
}

/// Chooses the servers of a scope from what the board shows.
fn plan_backup(picture: &Picture, scope: &BackupScope) -> Result<BackupPlan, String> {
    let enabled = picture
        .servers
        .values()
        .filter(|server| server.policy.enabled);
    let servers: Vec<_> = enabled
        .filter(|server| match scope {
            BackupScope::Stack => true,
            BackupScope::Databases(wanted) => wanted.iter().any(|it| it.service == server.service),
        })
        .map(|server| {
            let known = server
                .databases
                .iter()
                .map(|it| it.database.clone())
                .collect();
            backup::ServerPlan::new(server.target.clone(), &server.policy, known, scope)
        })
        .collect();
    if servers.is_empty() {
        let why = "no Postgres service of this project is known; if its image is a fork of postgres, \
                   label the service stackwarden.backup: \"true\"";
        return Err(why.to_owned());
    }
    Ok(BackupPlan { servers })
}
