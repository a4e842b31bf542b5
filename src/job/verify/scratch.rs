//! The throw-away server: one per host, without network, removed whatever happens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::{VerifyError, is_outer};
use crate::docker::{
    DockerError, ExecRequest, ExecResult, ReadOnlyBind, ScratchData, ScratchRequest, StdinMode,
};
use crate::domain::backup::Manifest;
use crate::domain::failure::{bounded, chain};
use crate::domain::id::{ContainerId, DatabaseName, ImageId};
use crate::domain::roster::ServerTarget;
use crate::domain::unit::ByteCount;
use crate::job::server;
use crate::job::{JobContext, MAKER_LABEL, OWNED_LABEL, Run, SCRATCH_NAME, tidy};
use crate::postgres::catalog::{self, ServerFacts};
use crate::postgres::scratch::{ScratchMemory, ScratchPlan};
use crate::postgres::{ApplicationName, CommandSpec, Login, Session, psql_command};

/// Where the server's folder is in its container.
const FOLDER: &str = "/stackwarden";
/// Where the stored file is mounted.
const ARCHIVE: &str = "/stackwarden-backup";
/// Where an outer stream is unpacked to.
const UNPACKED: &str = "/stackwarden/archive.dump";

/// How long another stack's proof is waited for.
const HOST_PATIENCE: Duration = Duration::from_hours(2);
/// How often it is looked for.
const HOST_PAUSE: Duration = Duration::from_millis(500);
/// How long initdb and the start may take.
const START_PATIENCE: Duration = Duration::from_mins(3);
/// How often the server is asked whether it is ready.
const READY_PAUSE: Duration = Duration::from_millis(150);
/// The longest a single program may run in the scratch.
const PROGRAM: Duration = Duration::from_hours(12);
/// Code of the start script for an image that it cannot serve.
const UNSERVED: i64 = 64;
/// Jobs of a restore: more than two gained nothing on two cores and cost memory each.
pub(super) const JOBS: u32 = 2;
/// A restored database with its indexes is at most about so many times its compressed dump, as a guess that
/// only decides between memory and disk.
const GROWTH: u64 = 12;
/// What an empty server needs besides.
const BASE: u64 = 192 * 1024 * 1024;

/// Why no scratch server stands.
pub(super) enum StartError {
    /// The image cannot be served; the level steps down.
    Unserved(String),
    /// Anything else.
    Verify(VerifyError),
}

impl<E: Into<VerifyError>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Verify(error.into())
    }
}

/// Where a scratch server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In memory: fast, and bounded by the memory cap.
    Memory,
    /// In a volume.
    Disk,
}

/// A running scratch server.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) container: ContainerId,
    pub(super) place: Place,
    pub(super) plan: ScratchPlan,
    pub(super) login: Login,
    pub(super) application: ApplicationName,
    /// The archive as pg_restore reads it in the container.
    pub(super) file: &'static str,
}

impl Scratch {
    /// Starts a server like the live one, with the stored file mounted read-only.
    pub(super) async fn start(
        context: &JobContext,
        run: &Run,
        server: &ServerTarget,
        manifest: &Manifest,
        place: Place,
    ) -> Result<Self, StartError> {
        let path = context.store.path_of(manifest);
        let not_mountable = || VerifyError::NotMountable {
            file: manifest.file.clone(),
        };
        let host_file = context.host_path(&path).ok_or_else(not_mountable)?;
        let facts = live_facts(context, run, server).await?;
        let memory = context.limits.proof_memory;
        let shares = ScratchMemory::within(memory.0 / (1024 * 1024), JOBS);
        let plan = ScratchPlan::build(&facts, FOLDER, None, shares);
        let mut request = request(context, server, manifest, &plan, host_file).await?;
        request.data = data(place, context.limits.proof_memory);
        let container = take_place(context, request).await?;
        let scratch = Self {
            container,
            place,
            login: plan.login(),
            application: ApplicationName::build(&context.project, run.id.as_str()),
            file: if is_outer(manifest.packing) {
                UNPACKED
            } else {
                ARCHIVE
            },
            plan,
        };
        match scratch.begin(context, manifest).await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                scratch.remove(context).await;
                Err(error)
            }
        }
    }

    async fn begin(&self, context: &JobContext, manifest: &Manifest) -> Result<(), StartError> {
        context
            .docker
            .start(&self.container)
            .await
            .map_err(VerifyError::Docker)?;
        self.wait_until_ready(context).await?;
        if is_outer(manifest.packing) {
            let unpacked = self
                .run(
                    context,
                    ScratchPlan::unpack_command(ARCHIVE, UNPACKED),
                    None,
                )
                .await?;
            self.expect_room(&unpacked)?;
            expect_success("could not unpack the archive", &unpacked)?;
        }
        Ok(())
    }

    async fn wait_until_ready(&self, context: &JobContext) -> Result<(), StartError> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            self.check_alive(context).await?;
            let ready = self
                .run(context, self.plan.ready_command(&self.application), None)
                .await;
            if ready.is_ok_and(|it| it.end().is_success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let said = self.last_words(context).await;
                return Err(VerifyError::Scratch {
                    operation: "did not start",
                    said,
                }
                .into());
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }

    /// A scratch that ended by itself cannot prove anything.
    pub(super) async fn check_alive(&self, context: &JobContext) -> Result<(), StartError> {
        match context
            .docker
            .wait_exit(&self.container, Duration::ZERO)
            .await
        {
            Ok(exit) if exit.code == UNSERVED => {
                Err(StartError::Unserved(self.last_words(context).await))
            }
            Ok(exit) if exit.out_of_memory => {
                let said =
                    "the kernel killed it for lack of memory; raise STACKWARDEN_PROOF_MEMORY"
                        .to_owned();
                Err(VerifyError::Scratch {
                    operation: "ended",
                    said,
                }
                .into())
            }
            Ok(_) => {
                let said = self.last_words(context).await;
                Err(VerifyError::Scratch {
                    operation: "ended",
                    said,
                }
                .into())
            }
            Err(DockerError::StillRunning { .. }) => Ok(()),
            Err(error) => Err(VerifyError::Docker(error).into()),
        }
    }

    /// A full place says nothing about the backup; another place may have room.
    pub(super) fn expect_room(&self, ran: &ExecResult) -> Result<(), VerifyError> {
        if ran.end().is_success() || !ran.stderr.contains("No space left on device") {
            return Ok(());
        }
        Err(VerifyError::Full {
            place: self.place,
            said: bounded(ran.stderr.trim(), 1_000),
        })
    }

    async fn last_words(&self, context: &JobContext) -> String {
        match context.docker.logs_tail(&self.container, 10).await {
            Ok(said) => bounded(said.trim(), 1_000),
            Err(error) => chain(&error),
        }
    }

    /// Runs a program to its end.
    pub(super) async fn run(
        &self,
        context: &JobContext,
        spec: CommandSpec,
        input: Option<String>,
    ) -> Result<ExecResult, VerifyError> {
        let asked: ExecRequest = server::request(spec, StdinMode::Absent);
        let input = input.map(String::into_bytes);
        let ran = context
            .docker
            .exec_collect(&self.container, asked, input, PROGRAM)
            .await;
        ran.map_err(VerifyError::Docker)
    }

    /// Opens a session with a database of the scratch.
    pub(super) async fn connect(
        &self,
        context: &JobContext,
        database: &DatabaseName,
    ) -> Result<Session, VerifyError> {
        let spec = psql_command(&self.login, database, &self.application);
        let asked = server::request(spec, StdinMode::Attached);
        let exec = context.docker.exec(&self.container, asked).await;
        let mut exec = exec.map_err(VerifyError::Docker)?;
        let Some(stdin) = exec.stdin.take() else {
            return Err(VerifyError::Cancelled);
        };
        let (reader, _stderr) = exec.output.into_reader();
        Session::over_psql(reader, stdin).map_err(VerifyError::Session)
    }

    /// Removes it, with its volume.
    pub(super) async fn remove(&self, context: &JobContext) {
        if let Err(error) = context.docker.remove(&self.container).await {
            tracing::warn!(error = %chain(&error), "the scratch server could not be removed; the next proof tries again");
        }
    }
}

/// Turns an exit code into an error with what was said.
pub(super) fn expect_success(operation: &'static str, ran: &ExecResult) -> Result<(), VerifyError> {
    if ran.end().is_success() {
        return Ok(());
    }
    Err(VerifyError::Scratch {
        operation,
        said: bounded(ran.stderr.trim(), 1_000),
    })
}

async fn live_facts(
    context: &JobContext,
    run: &Run,
    server: &ServerTarget,
) -> Result<ServerFacts, VerifyError> {
    let mut connected = server::connect_maintenance(context, run, server).await?;
    let facts = catalog::server_facts(&mut connected.session).await;
    Ok(facts.map_err(|source| connected.error(source))?)
}

async fn request(
    context: &JobContext,
    server: &ServerTarget,
    manifest: &Manifest,
    plan: &ScratchPlan,
    host_file: PathBuf,
) -> Result<ScratchRequest, VerifyError> {
    let live = context.docker.server_container(&server.container).await;
    let live = live.map_err(VerifyError::Docker)?;
    let start = plan.start_command();
    let mut command = start.argv.into_iter();
    let maker = context
        .own
        .as_ref()
        .map(|own| own.id.to_string())
        .unwrap_or_default();
    Ok(ScratchRequest {
        name: SCRATCH_NAME.to_owned(),
        image_id: image_of(context, server, manifest).await,
        labels: BTreeMap::from([
            (OWNED_LABEL.to_owned(), context.project.to_string()),
            (MAKER_LABEL.to_owned(), maker),
        ]),
        user: Some("0".to_owned()),
        entrypoint: command.next().into_iter().collect(),
        command: command.collect(),
        env: start.env,
        binds: vec![ReadOnlyBind {
            host: host_file,
            target: PathBuf::from(ARCHIVE),
        }],
        data: data(Place::Disk, context.limits.proof_memory),
        shm_size: live.shm_size,
        memory: Some(context.limits.proof_memory),
        cpu_shares: Some(128),
        blkio_weight: Some(50),
    })
}

/// The image that was dumped from, while the host still has it; else the live server's.
async fn image_of(context: &JobContext, server: &ServerTarget, manifest: &Manifest) -> ImageId {
    let dumped = ImageId::new(manifest.origin.image_id.clone());
    match context.docker.image_content(&dumped).await {
        Ok(_) => dumped,
        Err(_gone) => server.image_id.clone(),
    }
}

/// Memory for what probably fits well below the cap, which it counts against; disk for the rest. A guess: what compresses
/// well or has very many tables needs more, and is then restored again on disk.
pub(super) fn guess_place(manifest: &Manifest, cap: ByteCount) -> Place {
    let expected = BASE + manifest.stored_size.0.saturating_mul(GROWTH);
    let available = memory_available().unwrap_or(0);
    if expected <= cap.0 / 2 && expected <= available / 4 {
        Place::Memory
    } else {
        Place::Disk
    }
}

fn data(place: Place, cap: ByteCount) -> ScratchData {
    let target = PathBuf::from(FOLDER);
    match place {
        Place::Memory => ScratchData::Tmpfs {
            target,
            size: ByteCount(cap.0 / 2),
        },
        Place::Disk => ScratchData::Volume { target },
    }
}

/// `MemAvailable` of the host: containers see the host's `/proc/meminfo`.
fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Creates the container under the host's one name, waiting for the proof of another stack.
async fn take_place(
    context: &JobContext,
    request: ScratchRequest,
) -> Result<ContainerId, VerifyError> {
    let begun = Instant::now();
    loop {
        match context.docker.create_scratch(request.clone()).await {
            Ok(container) => return Ok(container),
            Err(DockerError::NameTaken { .. }) => {}
            Err(error) => return Err(VerifyError::Docker(error)),
        }
        remove_orphan(context).await?;
        let waited = begun.elapsed();
        if waited > HOST_PATIENCE {
            return Err(VerifyError::HostBusy { waited });
        }
        tokio::time::sleep(HOST_PAUSE).await;
    }
}

/// Removes the scratch of a maker that is gone, or of ourselves before: only one of us proves at a time.
async fn remove_orphan(context: &JobContext) -> Result<(), VerifyError> {
    tidy::scratch(context).await.map_err(VerifyError::Docker)
}
