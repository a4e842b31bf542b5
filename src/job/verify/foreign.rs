//! Judges a dump that somebody else made: restores it into a scratch server and counts what is there.
//!
//! No snapshot is known that it could be compared with, so the level is `restore` at most, and that is said.

mod cluster;
pub(in crate::job) mod count;
mod roles;

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::VerifyError;
use super::restore::into_verify;
use super::scratch::{JOBS, Material, Model, Place, Scratch, StartError, expect_success};
use crate::docker::ExecResult;
use crate::domain::backup::{Level, Sealing};
use crate::domain::comparison::Rows;
use crate::domain::failure::bounded;
use crate::domain::foreign::{
    HEAD, Shape, find_database, find_extensions, find_missing_role, is_complete,
};
use crate::domain::id::DatabaseName;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::roster::ServerTarget;
use crate::domain::unit::ByteCount;
use crate::job::{JobContext, Run};
use crate::postgres::scratch::{
    RestoreEntry, RestoreRequest, Tablespaces, is_failure_of_restore, restore_command,
};
use crate::postgres::{Login, Session, foreign};
use crate::store::layout;

/// A statement of ours in an idle server.
const STATEMENT: Duration = Duration::from_mins(5);
/// Roles that are made up for one dump; a dump that misses more is told as such.
const MADE_UP: usize = 50;
/// The longest answer of a program that is repeated.
const LONGEST: usize = 1_000;
/// Where a packed file is unpacked to.
const UNPACKED: &str = "/stackwarden/foreign";
/// The database of SQL that names none.
const TARGET: &str = "judged";

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What it is.
    pub shape: Option<Shape>,
    /// How far it is good; `None` when it is not.
    pub level: Option<Level>,
    /// One sentence: how far it could be judged and why no further, or what is wrong.
    pub detail: String,
    /// The tables that came back, with their rows.
    pub tables: Vec<(String, Rows)>,
}

impl Judgement {
    fn wrong(shape: Option<Shape>, why: impl Into<String>) -> Self {
        Self {
            shape,
            level: None,
            detail: why.into(),
            tables: Vec::new(),
        }
    }
}

/// Judges a file in a scratch server of this server's image.
pub(super) async fn judge(
    context: &JobContext,
    run: &Run,
    server: &ServerTarget,
    path: &Path,
    asked: Level,
) -> Result<Judgement, VerifyError> {
    if layout::sealing(path) == Sealing::Age {
        let file = path.to_owned();
        return Err(VerifyError::SealedFile { file });
    }
    let shape = find_shape(path).await;
    let shape = shape.map_err(|source| VerifyError::File {
        file: path.to_owned(),
        source,
    })?;
    let shape = match shape {
        None => {
            let why =
                "it is neither an archive of pg_dump nor SQL, nor one of both in gzip or zstd";
            return Ok(Judgement::wrong(None, why));
        }
        Some(Shape::Empty) => return Ok(Judgement::wrong(Some(Shape::Empty), "it is empty")),
        Some(shape) => shape,
    };
    let host_file = context.host_path(path);
    let host_file = host_file.ok_or_else(|| VerifyError::NotMountable {
        file: path.display().to_string(),
    })?;
    let material = Material {
        host_file: Some(host_file),
        image: None,
        // A packed one is larger.
        database: ByteCount(tokio::fs::metadata(path).await.map_or(0, |it| it.len())),
    };
    let (progress, subject) = (&context.progress, path.display().to_string());
    progress.begin(JobKind::Verify, &subject, Step::Starting);
    let scratch =
        match Scratch::start_with(context, run, Model::Live(server), material, Place::Disk).await {
            Ok(scratch) => scratch,
            Err(StartError::Unserved(said) | StartError::Undecodable(said)) => {
                return Err(VerifyError::Scratch {
                    operation: "cannot be made from this image",
                    said,
                });
            }
            Err(StartError::Verify(error)) => return Err(error),
        };
    let judged = Court {
        context,
        server,
        scratch: &scratch,
        asked,
        login: scratch.login.clone(),
    };
    progress.go_on(JobKind::Verify, Step::Restoring);
    // Told to stop, we still take the scratch away.
    let judgement = run.or_stopped(judged.examine(shape)).await;
    scratch.remove(context).await;
    judgement
}

async fn find_shape(path: &Path) -> std::io::Result<Option<Shape>> {
    if tokio::fs::metadata(path).await?.is_dir() {
        return Ok(Some(Shape::Directory));
    }
    let file = tokio::fs::File::open(path).await?;
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head).await?;
    Ok(Shape::find(&head))
}

/// A scratch server in which one file is judged.
struct Court<'a> {
    context: &'a JobContext,
    server: &'a ServerTarget,
    scratch: &'a Scratch,
    asked: Level,
    login: Login,
}

impl Court<'_> {
    async fn examine(&self, shape: Shape) -> Result<Judgement, VerifyError> {
        let (file, inner) = if shape.is_packed() {
            match self.unpack(shape).await? {
                Ok(inner) => (UNPACKED, inner),
                Err(why) => return Ok(Judgement::wrong(Some(shape), why)),
            }
        } else {
            (self.scratch.file, Some(shape))
        };
        match inner {
            Some(found @ (Shape::Custom | Shape::Tar | Shape::Directory)) => {
                self.archive(found, file).await
            }
            Some(found @ (Shape::Plain | Shape::Text)) => self.sql(found, file).await,
            Some(Shape::Cluster) => self.cluster(file).await,
            Some(Shape::OtherTar) => Ok(Judgement::wrong(
                Some(Shape::OtherTar),
                "it is a tar file, but none that pg_dump made; unpack it, and verify the file or the folder in it",
            )),
            Some(Shape::Empty) => Ok(Judgement::wrong(Some(shape), "there is nothing in it")),
            Some(Shape::Gzip | Shape::Zstd) | None => Ok(Judgement::wrong(
                Some(shape),
                "what is packed in it is neither an archive of pg_dump nor SQL",
            )),
        }
    }

    /// What is in a packed file, or why its stream is broken.
    async fn unpack(&self, shape: Shape) -> Result<Result<Option<Shape>, String>, VerifyError> {
        let command = foreign::unpack_command(shape, self.scratch.file, UNPACKED);
        let ran = self.scratch.run(self.context, command, None).await?;
        self.scratch.expect_room(&ran)?;
        // A shell's word for a program that is not there.
        if matches!(ran.code, 126 | 127) {
            expect_success("has no program to unpack it", &ran)?;
        }
        if !ran.end().is_success() {
            return Ok(Err(format!("its {shape} is broken: {}", said(&ran))));
        }
        let head = self.run(foreign::head_command(UNPACKED)).await?;
        expect_success("could not read what was unpacked", &head)?;
        Ok(Ok(Shape::find(head.stdout.as_bytes())))
    }

    async fn archive(&self, shape: Shape, file: &'static str) -> Result<Judgement, VerifyError> {
        let login = &self.login;
        let listing = self.run(foreign::listing_command(login, file)).await?;
        if !listing.end().is_success() {
            let why = format!("pg_restore cannot read it: {}", said(&listing));
            return Ok(Judgement::wrong(Some(shape), why));
        }
        if self.asked <= Level::Archive {
            let decoded = self.run(foreign::decode_command(login, file)).await?;
            return Ok(if decoded.end().is_success() {
                Judgement {
                    shape: Some(shape),
                    level: Some(self.asked),
                    detail: format!("{shape}, decoded to its end; nothing was restored"),
                    tables: Vec::new(),
                }
            } else {
                let why = format!("pg_restore cannot decode it: {}", said(&decoded));
                Judgement::wrong(Some(shape), why)
            });
        }
        let database = DatabaseName::new(find_database(&listing.stdout).unwrap_or("postgres"));
        let entry = RestoreEntry::of(&database, None, &self.scratch.plan.encoding);
        let command = restore_command(&RestoreRequest {
            login,
            file,
            entry: &entry.database,
            jobs: if shape == Shape::Tar { 1 } else { JOBS },
            extensions: &find_extensions(&listing.stdout),
            // Those of the server it came from are not known here.
            tablespaces: Tablespaces::LeftOut,
            application: &self.scratch.application,
        });
        self.apply_roles().await?;
        let mut made_up = Vec::new();
        for prelude in &entry.preludes {
            self.administer(prelude).await?;
        }
        loop {
            let ran = self.run(command.clone()).await?;
            match self.judge_restore(&ran, &mut made_up).await? {
                Verdict::Restored => break,
                Verdict::Again => self.administer(&foreign::drop_database(&database)).await?,
                Verdict::Refused(why) => return Ok(Judgement::wrong(Some(shape), why)),
            }
        }
        self.count(shape, &made_up, None).await
    }

    /// At every level: what SQL holds is known only by running it.
    async fn sql(&self, shape: Shape, file: &'static str) -> Result<Judgement, VerifyError> {
        let tail = self.run(foreign::tail_command(file)).await?;
        expect_success("could not read its end", &tail)?;
        let complete = is_complete(shape, &tail.stdout);
        if shape == Shape::Plain && !complete {
            let why = "it breaks off: pg_dump ends its SQL with a line that is not there";
            return Ok(Judgement::wrong(Some(shape), why));
        }
        let connects = self.run(foreign::connects_command(file)).await?;
        let own = DatabaseName::new(if connects.end().is_success() {
            "template1"
        } else {
            TARGET
        });
        self.apply_roles().await?;
        let login = &self.login;
        let mut made_up = Vec::new();
        loop {
            if own.as_str() == TARGET {
                self.administer(&foreign::create_database(&own)).await?;
            }
            let command = foreign::sql_command(login, file, &own, &self.scratch.application);
            let ran = self.run(command).await?;
            match self.judge_restore(&ran, &mut made_up).await? {
                Verdict::Restored => break,
                Verdict::Again => self.clear().await?,
                Verdict::Refused(why) => return Ok(Judgement::wrong(Some(shape), why)),
            }
        }
        let doubt = "it does not say where it ends, so nobody can tell whether it is whole";
        self.count(shape, &made_up, (!complete).then_some(doubt))
            .await
    }

    /// A role that is missing is made up, since no dump of a database holds roles.
    async fn judge_restore(
        &self,
        ran: &ExecResult,
        made_up: &mut Vec<String>,
    ) -> Result<Verdict, VerifyError> {
        if ran.end().is_success() {
            return Ok(Verdict::Restored);
        }
        let alive = self.scratch.check_alive(self.context).await;
        alive.map_err(into_verify)?;
        self.scratch.expect_room(ran)?;
        if is_failure_of_restore(ran.code, &ran.stderr) {
            expect_success("could not restore it", ran)?;
        }
        if let Some(role) = find_missing_role(&ran.stderr)
            && made_up.len() < MADE_UP
            && !made_up.iter().any(|known| known == role)
        {
            self.administer(&foreign::create_role(role)).await?;
            made_up.push(role.to_owned());
            return Ok(Verdict::Again);
        }
        Ok(Verdict::Refused(format!(
            "it does not restore: {}",
            said(ran)
        )))
    }

    async fn run(&self, command: crate::postgres::CommandSpec) -> Result<ExecResult, VerifyError> {
        self.scratch.run(self.context, command, None).await
    }

    async fn administer(&self, sql: &str) -> Result<(), VerifyError> {
        let mut session = self.session(&DatabaseName::new("template1")).await?;
        let ran = session.run(sql, STATEMENT).await;
        ran.map_err(VerifyError::Session)
    }

    async fn session(&self, database: &DatabaseName) -> Result<Session, VerifyError> {
        self.scratch
            .connect_as(self.context, &self.login, database)
            .await
    }
}

enum Verdict {
    Restored,
    Again,
    Refused(String),
}

fn said(ran: &ExecResult) -> String {
    bounded(ran.stderr.trim(), LONGEST)
}
