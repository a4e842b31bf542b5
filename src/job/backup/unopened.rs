//! A backup that cannot be opened here is proven in the pass that takes it, or not at all.

use std::sync::Arc;

use super::take::series;
use super::{BackupError, Locking, RunGlobals, TakeRequest, Taken, take_database};
use crate::domain::backup::{Destination, Level, Manifest, Proof};
use crate::domain::failure::chain;
use crate::domain::id::DatabaseRef;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::job::verify::{Stage, VerifyError, VerifyPlan};
use crate::job::{JobContext, Run};

/// What was to be proven in the pass, and what came of it.
pub type Proven = (VerifyPlan, Result<Proof, VerifyError>);

/// Takes a backup, and proves it at once where that is the only time it can be.
pub(super) async fn take(
    context: &JobContext,
    run: &Run,
    mut request: TakeRequest,
    globals: &mut RunGlobals,
) -> (Result<Taken, BackupError>, Option<Proven>) {
    let keys = &context.keys;
    let can_be_opened = keys.recipients.is_none() || keys.own_identity().is_some();
    if can_be_opened || request.level < Level::Restore {
        let taken = take_database(context, run, &request, Locking::Take, globals).await;
        return (taken, None);
    }
    let last = find_last(context, &request).await;
    let stage = Stage::begin(context, run, &request.target, last.as_ref());
    let stage = match Box::pin(stage).await {
        Ok(stage) => Arc::new(stage),
        Err(error) => {
            tracing::warn!(
                database = %request.database, error = %chain(&error),
                "the sealed backup cannot be restored while it is taken, so it will stay at archive"
            );
            let taken = take_database(context, run, &request, Locking::Take, globals).await;
            let mut proven = None;
            if let Ok(taken) = &taken {
                let plan = plan(&request, taken);
                let settled = Stage::settle(context, &plan, error).await;
                proven = Some((plan, settled));
            }
            return (taken, proven);
        }
    };
    request.stage = Some(Arc::clone(&stage));
    let taken = take_database(context, run, &request, Locking::Take, globals).await;
    let mut proven = None;
    if let Ok(taken) = &taken {
        context.progress.go_on(JobKind::Backup, Step::Restoring);
        let plan = plan(&request, taken);
        let named = taken.manifest.globals.as_ref();
        let roles = named.and_then(|id| globals.find_text(id));
        let proof = stage.prove(context, run, &plan, roles).await;
        proven = Some((plan, proof));
    }
    stage.remove(context).await;
    (taken, proven)
}

fn plan(request: &TakeRequest, taken: &Taken) -> VerifyPlan {
    let service = request.target.service.clone();
    VerifyPlan {
        database: DatabaseRef::new(service, request.database.clone()),
        id: taken.manifest.id.clone(),
        level: request.level,
        server: Some(request.target.clone()),
        from: Some(Destination::Disk),
    }
}

/// The newest backup of the series: it tells how much room a copy takes. Without one nobody knows.
async fn find_last(context: &JobContext, request: &TakeRequest) -> Option<Manifest> {
    let (store, series) = (context.store.clone(), series(context, request));
    let looked = tokio::task::spawn_blocking(move || store.find_newest(&series, |_any| true)).await;
    Some(looked.ok()?.ok()??.manifest)
}
