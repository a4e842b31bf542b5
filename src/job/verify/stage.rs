//! Proves a backup that cannot be opened here: from the stream of the very pass that takes it.
//!
//! A stream comes by once, so the scratch server stands before the dump begins and the stream is written into it, never
//! onto the backup disk. That the stored bytes are those that were sealed, their hash tells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::findings::Findings;
use super::restore::into_verify;
use super::scratch::{Material, Model, Place, Scratch, StartError};
use super::turn::Turn;
use super::{VerifyError, VerifyPlan, bounds, proof_of, prove};
use crate::domain::backup::{Level, Manifest, Packing, Proof};
use crate::domain::comparison::{Compared, ObjectComparison, ObjectKind};
use crate::domain::failure::chain;
use crate::domain::room::database_size;
use crate::domain::roster::ServerTarget;
use crate::domain::unit::ByteCount;
use crate::job::server::Flow;
use crate::job::{JobContext, Run, tidy};

/// So long a backup waits for its turn, and then for its scratch server: as long as for another writer.
const PATIENCE: Duration = Duration::from_mins(15);

/// A scratch server that waits for the stream of a dump.
#[derive(Debug)]
pub struct Stage {
    scratch: Scratch,
    is_filled: AtomicBool,
    _turn: Turn,
}

impl Stage {
    /// Starts one like the live server; `last` tells how much room a copy will take.
    ///
    /// # Errors
    /// When there is no room, no turn, or no scratch server. The backup can be taken all the same.
    ///
    /// # Cancellation
    /// Dropped, see [`super`].
    pub(in crate::job) async fn begin(
        context: &JobContext,
        run: &Run,
        server: &ServerTarget,
        last: Option<&Manifest>,
    ) -> Result<Self, VerifyError> {
        let busy = |_elapsed| VerifyError::HostBusy { waited: PATIENCE };
        let turn = timeout(PATIENCE, run.or_stopped(context.turns.take())).await;
        let turn = turn.map_err(busy)??;
        let place = Place::Disk;
        if let Some(shortage) = last.and_then(|last| bounds::find_lack(context, last, place)) {
            return Err(VerifyError::NoRoom { shortage });
        }
        let material = Material {
            host_file: None,
            image: None,
            database: last.map_or(ByteCount(0), database_size),
        };
        let model = Model::Live(server);
        let start = Box::pin(Scratch::start_with(context, run, model, material, place));
        match timeout(PATIENCE, start).await {
            Ok(started) => Ok(Self {
                scratch: started.map_err(unserved)?.expecting_a_stream(),
                is_filled: AtomicBool::new(false),
                _turn: turn,
            }),
            Err(elapsed) => {
                if let Err(error) = tidy::scratch(context).await {
                    tracing::warn!(error = %chain(&error), "the scratch server could not be removed; the next proof tries again");
                }
                Err(busy(elapsed))
            }
        }
    }

    /// Writes a stream into the scratch, in place of any before it. [`Stage::keep`] says that it was all.
    ///
    /// # Errors
    /// When the scratch fails or is full; the dump is none the worse.
    pub(in crate::job) async fn fill(
        &self,
        context: &JobContext,
        packing: Packing,
        stream: &mut (impl Flow + Send),
    ) -> Result<(), VerifyError> {
        self.is_filled.store(false, Ordering::Release);
        let spooled = self.scratch.spool(context, packing, stream).await;
        spooled.map_err(into_verify)
    }

    /// All of the stream is there.
    pub(in crate::job) fn keep(&self) {
        self.is_filled.store(true, Ordering::Release);
    }

    /// Restores what came by and compares it; writes the proof beside the backup.
    ///
    /// # Errors
    /// As of [`super::run`], and when not all of the stream came by.
    pub(in crate::job) async fn prove(
        &self,
        context: &JobContext,
        run: &Run,
        plan: &VerifyPlan,
        roles: Option<String>,
    ) -> Result<Proof, VerifyError> {
        if !self.is_filled.load(Ordering::Acquire) {
            return Err(VerifyError::Incomplete);
        }
        let held = super::find_backup(context, plan).await?;
        let backup = &held.backup;
        let begun = Instant::now();
        let proving = Box::pin(prove(context, plan, backup, &self.scratch, roles));
        let findings = bounds::in_time(context, run.or_stopped(proving)).await;
        let mut findings = findings?;
        findings.compared.push(ObjectComparison {
            kind: ObjectKind::File,
            name: backup.manifest.file.clone(),
            compared: Compared::Nothing,
            why: Some(
                "it is sealed and was not opened: what was restored is the stream of the pass that sealed and stored it; what the disk gave back was compared by its hash"
                    .to_owned(),
            ),
        });
        let proof = proof_of(context, plan, held.destination(), begun, findings);
        held.add_proof(context, &proof).await?;
        Ok(proof)
    }

    /// Writes down why a backup cannot be proven in its pass, where that is settled; any other error is given back.
    ///
    /// # Errors
    /// The error itself, or that the proof cannot be written.
    pub(in crate::job) async fn settle(
        context: &JobContext,
        plan: &VerifyPlan,
        error: VerifyError,
    ) -> Result<Proof, VerifyError> {
        let held = super::find_backup(context, plan).await?;
        let findings = match error {
            VerifyError::NoRoom { shortage } => Findings::without_room(shortage),
            VerifyError::Unserved { .. } => {
                let level = Level::Archive.min(held.backup.manifest.level);
                Findings::stepped_down(level, error.to_string())
            }
            error => return Err(error),
        };
        let destination = held.destination();
        let proof = proof_of(context, plan, destination, Instant::now(), findings);
        held.add_proof(context, &proof).await?;
        Ok(proof)
    }

    /// Takes the scratch server away.
    pub(in crate::job) async fn remove(&self, context: &JobContext) {
        self.scratch.remove(context).await;
    }
}

fn unserved(error: StartError) -> VerifyError {
    match error {
        StartError::Unserved(said) => VerifyError::Unserved { said },
        error => into_verify(error),
    }
}
