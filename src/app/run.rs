//! `stackwarden run`: the sidecar.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::{info, warn};

use super::alarms;
use super::ground::{Ground, GroundError, SidecarLock};
use super::history;
use crate::board::{Board, BucketPicture, Picture, Reach};
use crate::config::{ConfigNote, Settings};
use crate::desk::{Books, BucketWatch, Desk, FolderWatch, Lookout, OutsideLookout, Runner};
use crate::docker::DockerError;
use crate::domain::failure::chain;
use crate::domain::id::JobId;
use crate::domain::roster::read_roster;
use crate::domain::unit::hexadecimal;
use crate::http::{Api, Doors, ListenError, Listener, Token, TokenError, listen_tcp, listen_unix};
use crate::job::{Run, job_id, tidy};
use crate::lifecycle::{Ending, Latch, Lifecycle};
use crate::observe::metrics::{Metrics, MetricsError};
use crate::store::StoreError;
use crate::trigger::fleet::FleetTrigger;
use crate::trigger::schedule::ScheduleTrigger;

/// Docker gives ten seconds between SIGTERM and SIGKILL; one is for the hard token, and one for threads that clean up.
const GRACE: Duration = Duration::from_secs(7);

/// How often the journal of the gate is read again.
const HISTORY_PERIOD: Duration = Duration::from_secs(15);

/// The Unix door's name in the state folder.
pub const SOCKET: &str = "control.sock";
/// The token's name in the state folder.
pub const TOKEN: &str = "token";

/// Why the sidecar does not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The ground.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// There is one already.
    #[error(
        "another stackwarden sidecar of this stack is running; stop that one first, or use `docker compose exec stackwarden /stackwarden …`"
    )]
    Twice,
    /// Leftovers cannot be cleaned.
    #[error("the backup folder cannot be tidied")]
    Tidy(#[source] StoreError),
    /// Leftover containers cannot be cleaned.
    #[error("leftover containers cannot be looked for")]
    Containers(#[source] DockerError),
    /// A door.
    #[error("a port cannot be opened")]
    Listen(#[source] ListenError),
    /// The token.
    #[error("the token of the control port cannot be used")]
    Token(#[source] TokenError),
    /// The token's file.
    #[error("the token cannot be kept in the state folder")]
    TokenFile(#[source] std::io::Error),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl RunError {
    /// Whether the user has to change something before trying again.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Ground(error) => error.is_configuration(),
            Self::Token(_) => true,
            _ => false,
        }
    }
}

/// Runs until somebody asks to stop.
///
/// # Errors
/// When it cannot begin; a task that dies later makes the ending a failure instead.
pub async fn run(
    settings: &Settings,
    notes: &[ConfigNote],
    lifecycle: &Lifecycle,
) -> Result<Ending, RunError> {
    let ground = Ground::find(settings).await?;
    let Some(lock) = SidecarLock::take(&ground.state_folder)? else {
        return Err(RunError::Twice);
    };
    tell_engine(&ground).await;
    tidy::files(&ground.context).map_err(RunError::Tidy)?;
    let orphans = tidy::containers(&ground.context)
        .await
        .map_err(RunError::Containers)?;
    tidy_sessions(&ground, &orphans).await;

    let mut picture = first_picture(&ground, notes);
    picture.objectives = Some(settings.objectives());
    let board = Board::new(picture);
    let metrics = Metrics::new(settings.objectives())?;
    let house = House {
        ground,
        board,
        metrics: Arc::new(metrics),
    };
    let (desk, inbox) = Desk::open();
    let doors = house.open_doors(settings, lifecycle, &desk).await?;
    house.begin_tasks(lifecycle, desk, inbox);
    alarms::begin(&house.ground, &house.board, settings, lifecycle);
    for (name, door) in doors {
        lifecycle.supervise(name, door);
    }
    info!(project = %house.ground.context.project, version = env!("CARGO_PKG_VERSION"), "stackwarden runs");
    let ending = lifecycle.run(GRACE).await;
    drop(lock);
    Ok(ending)
}

async fn tell_engine(ground: &Ground) {
    match ground.context.docker.version().await {
        Ok(engine) => info!(engine = %engine.version, api = %engine.api_version, "docker answers"),
        Err(error) => warn!(error = %chain(&error), "docker does not tell its version"),
    }
}

/// Ends dumps that outlived a killed sidecar, before anything new begins.
async fn tidy_sessions(ground: &Ground, orphans: &[std::net::IpAddr]) {
    let context = &ground.context;
    let Ok(fleet) = context.docker.list(&context.project).await else {
        return;
    };
    let run = Run {
        id: job_id("tidy", context.clock.now()),
        stop: tokio_util::sync::CancellationToken::new(),
    };
    // Those outside the stack may be far away: the lookout tidies there once they answer.
    let roster = read_roster(&fleet, &ground.defaults, &[]);
    for server in roster.servers.values() {
        tidy::sessions(context, &run, &server.target).await;
        tidy::copies(context, &run, &server.target).await;
    }
    tidy::clients(context, &run, orphans, roster.all_servers.values()).await;
}

fn first_picture(ground: &Ground, notes: &[ConfigNote]) -> Picture {
    let context = &ground.context;
    let mut picture = Picture::new(context.project.clone(), context.clock.now());
    picture.bucket = context
        .s3
        .as_ref()
        .map(|store| BucketPicture::new(store.place()));
    picture.openers = context.keys.openers();
    picture.problems = notes.iter().map(ToString::to_string).collect();
    match ground.journal.read() {
        Ok(lines) => {
            picture.migrations = history::migrations(&lines);
            picture.gate = history::gate(&lines);
        }
        Err(error) => warn!(error = %chain(&error), "the journal cannot be read"),
    }
    picture
}

/// Everything that is built once.
struct House {
    ground: Ground,
    board: Board,
    metrics: Arc<Metrics>,
}

type Door = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl House {
    async fn open_doors(
        &self,
        settings: &Settings,
        lifecycle: &Lifecycle,
        desk: &Desk,
    ) -> Result<Vec<(&'static str, Door)>, RunError> {
        let token = find_token(settings, &self.ground.state_folder)?;
        let doors = Doors::new(Api {
            board: self.board.clone(),
            desk: desk.clone(),
            clock: Arc::clone(&self.ground.context.clock),
            metrics: Arc::clone(&self.metrics),
            readiness: lifecycle.readiness(),
            folder: settings.backup_dir.display().to_string(),
        });
        let soft = lifecycle.soft();
        let public = listen_tcp("public", settings.listen)
            .await
            .map_err(RunError::Listen)?;
        let control = listen_tcp("control", settings.control)
            .await
            .map_err(RunError::Listen)?;
        tell_address("public port", &public);
        tell_address("control port", &control);
        let mut open: Vec<(&'static str, Door)> = vec![
            (
                "public port",
                Box::pin(public.serve(doors.public(), soft.clone())),
            ),
            (
                "control port",
                Box::pin(control.serve(doors.control(token), soft.clone())),
            ),
        ];
        match listen_unix(self.ground.state_folder.join(SOCKET)).await {
            Ok(socket) => open.push(("socket", Box::pin(socket.serve(doors.trusted(), soft)))),
            Err(error) => {
                warn!(error = %chain(&error), "no socket in the state folder; commands use the control port");
            }
        }
        Ok(open)
    }

    fn begin_lookouts(&self, lifecycle: &Lifecycle) {
        let (context, soft) = (&self.ground.context, lifecycle.soft());
        let look = Run {
            id: JobId::new("lookout"),
            stop: soft.clone(),
        };
        let lookout = Lookout::new(Arc::clone(context), self.board.clone(), look);
        lifecycle.supervise("lookout", lookout.run(soft.clone()));
        if !self.ground.outside.is_empty() {
            let look = Run {
                id: JobId::new("lookout-outside"),
                stop: soft.clone(),
            };
            let lookout = OutsideLookout::new(Arc::clone(context), self.board.clone(), look);
            lifecycle.supervise("lookout outside", lookout.run(soft.clone()));
        }
    }

    fn begin_tasks(&self, lifecycle: &Lifecycle, desk: Desk, inbox: crate::desk::Inbox) {
        let context = &self.ground.context;
        let soft = lifecycle.soft();
        let books = Books {
            board: self.board.clone(),
            journal: self.ground.journal.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        lifecycle.supervise(
            "desk",
            Runner::new(inbox, Arc::clone(context), books).run(soft.clone()),
        );
        let fleet = FleetTrigger {
            docker: context.docker.clone(),
            board: self.board.clone(),
            project: context.project.clone(),
            defaults: self.ground.defaults.clone(),
            outside: self.ground.outside.clone(),
        };
        lifecycle.supervise("fleet", fleet.run(soft.clone()));
        let watch = FolderWatch {
            context: Arc::clone(context),
            board: self.board.clone(),
        };
        lifecycle.supervise("folder", watch.run(soft.clone()));
        let bucket = BucketWatch {
            context: Arc::clone(context),
            board: self.board.clone(),
        };
        lifecycle.supervise("bucket", bucket.run(soft.clone()));
        self.begin_lookouts(lifecycle);
        let schedule = ScheduleTrigger {
            desk,
            board: self.board.clone(),
            clock: Arc::clone(&context.clock),
        };
        let token = soft.clone();
        lifecycle.supervise("schedule", async move {
            if let Err(error) = schedule.run(token).await {
                tracing::error!(error = %chain(&error), "the clock cannot tick");
            }
        });
        let first_look = lifecycle.latch("first look");
        lifecycle.supervise(
            "readiness",
            tell_ready(self.board.clone(), first_look, soft.clone()),
        );
        lifecycle.supervise(
            "history",
            read_history(self.ground.journal.clone(), self.board.clone(), soft),
        );
    }
}

/// Ready means: Docker was listed and the backup folder was read, once.
async fn tell_ready(board: Board, first_look: Latch, soft: tokio_util::sync::CancellationToken) {
    let mut changes = board.subscribe();
    let seen = changes
        .wait_for(|picture| picture.docker == Reach::Reached && picture.folder == Reach::Reached);
    tokio::select! {
        seen = seen => drop(seen),
        () = soft.cancelled() => return,
    }
    first_look.release();
    soft.cancelled().await;
}

/// The gate and commands run by hand write the journal too: what they did is read again now and then.
async fn read_history(
    journal: crate::journal::Journal,
    board: Board,
    soft: tokio_util::sync::CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(HISTORY_PERIOD) => {}
            () = soft.cancelled() => return,
        }
        if let Ok(lines) = journal.read() {
            let (migrations, gate) = (history::migrations(&lines), history::gate(&lines));
            let known = board.read();
            if known.migrations != migrations || known.gate != gate {
                board.update(|picture| {
                    picture.migrations = migrations;
                    picture.gate = gate;
                });
            }
        }
    }
}

fn tell_address(door: &str, listener: &Listener) {
    if let Some(address) = listener.address() {
        info!(%address, "{door} open");
    }
}

/// The token of the settings, or the one kept in the state folder, made at first start.
fn find_token(settings: &Settings, state_folder: &Path) -> Result<Token, RunError> {
    if let Some(token) = &settings.token {
        return Token::parse(token.reveal()).map_err(RunError::Token);
    }
    let path = state_folder.join(TOKEN);
    match std::fs::read_to_string(&path) {
        Ok(kept) => return Token::parse(&kept).map_err(RunError::Token),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(RunError::TokenFile(error)),
    }
    let made = make_token()?;
    let mut options = std::fs::File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| {
        file.write_all(made.as_bytes())?;
        file.sync_all()
    });
    written.map_err(RunError::TokenFile)?;
    info!(path = %path.display(), "a token for the control port was made");
    Token::parse(&made).map_err(RunError::Token)
}

fn make_token() -> Result<String, RunError> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random)
        .map_err(|error| RunError::TokenFile(std::io::Error::other(error.to_string())))?;
    Ok(hexadecimal(&random))
}
