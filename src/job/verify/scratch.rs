//! The throw-away server: one per host, without network, removed whatever happens.

mod container;
mod ending;
mod model;
mod place;
mod spool;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::{VerifyError, is_outer};
use crate::docker::{ExecRequest, ExecResult, StdinMode};
use crate::domain::backup::{Manifest, Sealing};
use crate::domain::failure::{bounded, chain};
use crate::domain::id::{ContainerId, DatabaseName, ImageId};
use crate::domain::raw_text;
use crate::domain::room::{database_size, write_ahead_log};
use crate::domain::unit::ByteCount;
use crate::job::server;
use crate::job::{JobContext, Run};
use crate::postgres::scratch::{ScratchMemory, ScratchPlan, Unpacking, judge_unpacking};
use crate::postgres::{ApplicationName, CommandSpec, Login, Session, psql_command};
pub(super) use ending::{StartError, expect_success};
pub(super) use model::Model;
use model::{Gap, UNNAMED};
pub use place::Place;

/// Where the server's folder is in its container.
const FOLDER: &str = "/stackwarden";
/// Where the stored file is mounted.
const ARCHIVE: &str = "/stackwarden-backup";
/// Where an outer stream is unpacked to.
const UNPACKED: &str = "/stackwarden/archive.dump";

/// How long initdb and the start may take.
const START_PATIENCE: Duration = Duration::from_mins(3);
/// How often the server is asked whether it is ready.
const READY_PAUSE: Duration = Duration::from_millis(150);
/// The longest a single program may run in the scratch.
const PROGRAM: Duration = Duration::from_hours(12);
/// Jobs of a restore: more than two gained nothing on two cores and cost memory each.
pub(super) const JOBS: u32 = 2;

/// The file a scratch server is to see, and the image it was made with.
#[derive(Debug)]
pub(super) struct Material {
    /// `None` where nothing of the host is to be seen, since what is stored is sealed.
    pub(super) host_file: Option<PathBuf>,
    pub(super) image: Option<ImageId>,
    /// How large its database is, as far as is known.
    pub(super) database: ByteCount,
}

/// A backup of ours, and the file with its bytes.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) path: &'a Path,
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
    /// Starts a server like the live one, with the stored file mounted read-only; a sealed one is opened into it.
    pub(super) async fn start(
        context: &JobContext,
        run: &Run,
        model: Model<'_>,
        stored: &Stored<'_>,
        place: Place,
    ) -> Result<Self, StartError> {
        let Stored { manifest, path } = stored;
        let not_mountable = || VerifyError::NotMountable {
            file: manifest.file.clone(),
        };
        let host_file = match manifest.sealing() {
            Sealing::Plain => Some(context.host_path(path).ok_or_else(not_mountable)?),
            Sealing::Age => None,
        };
        let material = Material {
            host_file,
            image: Some(ImageId::new(manifest.origin.image_id.clone())),
            database: database_size(manifest),
        };
        let mut scratch = Self::start_with(context, run, model, material, place).await?;
        if manifest.sealing() == Sealing::Plain && !is_outer(manifest.packing) {
            return Ok(scratch);
        }
        scratch.file = UNPACKED;
        let filled = async {
            match manifest.sealing() {
                Sealing::Plain => scratch.unpack(context).await,
                Sealing::Age => scratch.unseal(context, manifest, path).await,
            }
        };
        match run.or_stopped(filled).await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                scratch.remove(context).await;
                Err(error)
            }
        }
    }

    /// The same with any file of the host.
    pub(super) async fn start_with(
        context: &JobContext,
        run: &Run,
        model: Model<'_>,
        material: Material,
        place: Place,
    ) -> Result<Self, StartError> {
        if run.or_stopped(model.find_gap(context)).await? == Some(Gap::Unnamed) {
            return Err(StartError::Unserved(UNNAMED.to_owned()));
        }
        let facts = run.or_stopped(model.facts(context, run)).await?;
        let memory = context.limits.proof_memory;
        let log = write_ahead_log(material.database, place.memory(memory));
        let shares = ScratchMemory::within(memory.0 / (1024 * 1024), JOBS, log);
        let plan = ScratchPlan::build(&facts, FOLDER, None, shares);
        let request = container::request(context, model, &plan, material, place).await?;
        let container = container::create(context, run, request).await?;
        let scratch = Self {
            container,
            place,
            login: plan.login(),
            application: ApplicationName::build(&context.project, run.id.as_str()),
            file: ARCHIVE,
            plan,
        };
        match run.or_stopped(scratch.begin(context)).await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                scratch.remove(context).await;
                Err(error)
            }
        }
    }

    async fn begin(&self, context: &JobContext) -> Result<(), StartError> {
        context
            .docker
            .start(&self.container)
            .await
            .map_err(VerifyError::Docker)?;
        self.wait_until_ready(context).await
    }

    /// The bytes are those that were written: where they do not unpack, they never did.
    async fn unpack(&self, context: &JobContext) -> Result<(), StartError> {
        let command = ScratchPlan::unpack_command(ARCHIVE, UNPACKED);
        let unpacked = self.run(context, command, None).await?;
        self.expect_room(&unpacked)?;
        judge_ending(unpacked.code, &unpacked.stderr)
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

    /// Runs a program to its end; the input is text of [`raw_text`].
    pub(super) async fn run(
        &self,
        context: &JobContext,
        spec: CommandSpec,
        input: Option<String>,
    ) -> Result<ExecResult, VerifyError> {
        let asked: ExecRequest = server::request(spec, StdinMode::Absent);
        let input = input.map(|text| raw_text::bytes(&text));
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
        self.connect_as(context, &self.login, database).await
    }

    /// The same by another role.
    pub(super) async fn connect_as(
        &self,
        context: &JobContext,
        login: &Login,
        database: &DatabaseName,
    ) -> Result<Session, VerifyError> {
        let spec = psql_command(login, database, &self.application);
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

/// What the end of a program that unpacks says of what it unpacked.
fn judge_ending(code: i64, stderr: &str) -> Result<(), StartError> {
    let said = bounded(stderr.trim(), 1_000);
    match judge_unpacking(code, stderr) {
        Unpacking::Done => Ok(()),
        Unpacking::Broken => Err(StartError::Undecodable(said)),
        Unpacking::WithoutProgram => Err(StartError::Unserved(said)),
        Unpacking::Failed => Err(VerifyError::Scratch {
            operation: "could not unpack the archive",
            said,
        }
        .into()),
    }
}
