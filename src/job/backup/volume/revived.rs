//! The throw-away server on a copy of a volume: one container, removed with its copy whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::{VolumeError, VolumePlan};
use crate::docker::{
    DockerError, ExecResult, ReadOnlyVolume, ScratchData, ScratchRequest, StdinMode,
};
use crate::domain::database::image::Flavour;
use crate::domain::database::login::{PasswordSource, ServerLogin, TextSource};
use crate::domain::database::{BackupSwitch, Evidence, Server};
use crate::domain::failure::{bounded, chain};
use crate::domain::id::{ContainerId, ImageId};
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::roster::ServerTarget;
use crate::domain::volume::{DataFolder, Survey};
use crate::job::{JobContext, MAKER_LABEL, OWNED_LABEL, Run, server, tidy};
use crate::postgres::revival;
use crate::postgres::{ApplicationName, CommandSpec};

/// How long the look may take: it counts what the data takes.
const LOOK: Duration = Duration::from_mins(10);
/// How long a recovered server may take to start.
const START_PATIENCE: Duration = Duration::from_mins(3);
/// How often it is asked.
const READY_PAUSE: Duration = Duration::from_millis(150);
/// Lines of a log that are told.
const TOLD_LINES: usize = 10;
/// The longest answer of a program that is repeated.
const LONGEST: usize = 1_500;

/// A running server on a copy.
pub(super) struct Revived {
    pub(super) target: ServerTarget,
}

impl Revived {
    /// Starts one. The volume is looked at before anything is made, and again when it was copied.
    pub(super) async fn start(
        context: &JobContext,
        run: &Run,
        plan: &VolumePlan,
    ) -> Result<Self, VolumeError> {
        expect_idle(context, plan).await?;
        let found = context.docker.find_image(plan.image.as_str()).await?;
        let image_id = found.ok_or_else(|| VolumeError::NoImage {
            image: plan.image.clone(),
        })?;
        let container = create(context, plan, &image_id).await?;
        let making = Making {
            context,
            run,
            plan,
            container: &container,
        };
        let made = run.or_stopped(making.make()).await;
        let revived = |user| Self {
            target: target(plan, container.clone(), image_id, user),
        };
        match made {
            Ok(user) => Ok(revived(user)),
            Err(error) => {
                remove(context, &container).await;
                Err(error)
            }
        }
    }

    /// Removes it with its copy.
    pub(super) async fn remove(&self, context: &JobContext) {
        remove(context, &self.target.container).await;
    }
}

async fn remove(context: &JobContext, container: &ContainerId) {
    if let Err(error) = context.docker.remove(container).await {
        tracing::warn!(error = %chain(&error), "the throw-away server of a volume could not be removed; the next start tries again");
    }
}

/// A volume that is there, and that nobody writes to.
async fn expect_idle(context: &JobContext, plan: &VolumePlan) -> Result<(), VolumeError> {
    let volume = plan.volume.clone();
    if !context.docker.has_volume(&volume).await? {
        return Err(VolumeError::NoVolume { volume });
    }
    let containers = context.docker.find_writers(&volume).await?;
    if containers.is_empty() {
        return Ok(());
    }
    Err(VolumeError::InUse { volume, containers })
}

async fn create(
    context: &JobContext,
    plan: &VolumePlan,
    image_id: &ImageId,
) -> Result<ContainerId, VolumeError> {
    let own = context.own.as_ref();
    let maker = own.map(|own| own.id.to_string()).unwrap_or_default();
    let mut command = revival::serve_command().argv.into_iter();
    let request = ScratchRequest {
        name: tidy::revived_name(&context.project),
        image_id: image_id.clone(),
        labels: BTreeMap::from([
            (OWNED_LABEL.to_owned(), context.project.to_string()),
            (MAKER_LABEL.to_owned(), maker),
        ]),
        user: Some("0".to_owned()),
        entrypoint: command.next().into_iter().collect(),
        command: command.collect(),
        env: revival::environment(),
        binds: Vec::new(),
        volumes: vec![ReadOnlyVolume {
            name: plan.volume.clone(),
            target: PathBuf::from(revival::SOURCE),
        }],
        data: ScratchData::Volume {
            target: PathBuf::from(revival::FOLDER),
        },
        shm_size: None,
        memory: Some(context.limits.proof_memory),
        cpu_shares: Some(128),
        blkio_weight: Some(50),
    };
    match context.docker.create_scratch(request.clone()).await {
        Err(DockerError::NameTaken { .. }) => {
            // What could not be removed before: one job of ours makes such a server at a time.
            tidy::revived(context).await?;
            Ok(context.docker.create_scratch(request).await?)
        }
        created => Ok(created?),
    }
}

fn target(
    plan: &VolumePlan,
    container: ContainerId,
    image_id: ImageId,
    user: String,
) -> ServerTarget {
    let service = plan.volume.service();
    ServerTarget {
        service: service.clone(),
        container: container.clone(),
        image: plan.image.to_string(),
        image_id,
        server: Server {
            service,
            container,
            hosts: BTreeSet::new(),
            evidence: Evidence::Label,
            flavour: Flavour::Official,
            switch: BackupSwitch::On,
            login: ServerLogin {
                user: TextSource::Value(user),
                password: PasswordSource::None,
                default_database: TextSource::Value("postgres".to_owned()),
            },
            outside: None,
        },
    }
}

/// A server that is being made.
struct Making<'a> {
    context: &'a JobContext,
    run: &'a Run,
    plan: &'a VolumePlan,
    container: &'a ContainerId,
}

impl Making<'_> {
    /// Gives the role that initdb made there.
    async fn make(&self) -> Result<String, VolumeError> {
        let Self { context, plan, .. } = self;
        context.docker.start(self.container).await?;
        let data = self.look().await?;
        let copied = self
            .exec(revival::copy_command(&data), context.limits.deadline)
            .await?;
        self.expect("copied", &copied)?;
        // Whoever began to write meanwhile has torn the copy.
        expect_idle(context, plan).await?;
        context.progress.go_on(JobKind::Backup, Step::Starting);
        let asked = self
            .exec(revival::ask_command(), context.limits.deadline)
            .await?;
        let role = revival::parse_role(&asked.stdout).filter(|_| asked.end().is_success());
        let Some(role) = role else {
            return Err(self.not_started(&asked.stderr));
        };
        let begun = self.exec(revival::begin_command(), LOOK).await?;
        self.expect("begun", &begun)?;
        self.wait_until_ready().await?;
        Ok(role)
    }

    async fn look(&self) -> Result<DataFolder, VolumeError> {
        let looked = self.exec(revival::look_command(), LOOK).await?;
        self.expect("looked at", &looked)?;
        let survey = Survey::parse(&looked.stdout);
        let reserve = self.context.limits.proof_reserve;
        let data = survey.choose(&self.plan.volume, &self.plan.image, reserve)?;
        Ok(data.clone())
    }

    async fn wait_until_ready(&self) -> Result<(), VolumeError> {
        let (context, container) = (self.context, self.container);
        let application = ApplicationName::build(&context.project, self.run.id.as_str());
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let has_ended = context.docker.find_exit(container).await?.is_some();
            let ready = revival::ready_command(&application);
            if !has_ended && self.exec(ready, LOOK).await?.end().is_success() {
                return Ok(());
            }
            if has_ended || Instant::now() > deadline {
                let said = context.docker.logs_tail(container, TOLD_LINES).await?;
                return Err(self.not_started(&said));
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }

    async fn exec(&self, spec: CommandSpec, limit: Duration) -> Result<ExecResult, VolumeError> {
        let asked = server::request(spec, StdinMode::Absent);
        let docker = &self.context.docker;
        let ran = docker.exec_collect(self.container, asked, None, limit);
        Ok(ran.await?)
    }

    fn expect(&self, operation: &'static str, ran: &ExecResult) -> Result<(), VolumeError> {
        if ran.end().is_success() {
            return Ok(());
        }
        Err(VolumeError::Program {
            volume: self.plan.volume.clone(),
            operation,
            said: bounded(ran.stderr.trim(), LONGEST),
        })
    }

    fn not_started(&self, log: &str) -> VolumeError {
        let lines: Vec<&str> = log.trim().lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(TOLD_LINES));
        let said: Vec<&str> = last.map(|line| line.trim()).collect();
        VolumeError::NotStarted {
            volume: self.plan.volume.clone(),
            image: self.plan.image.clone(),
            said: bounded(&said.join(" "), LONGEST),
        }
    }
}
