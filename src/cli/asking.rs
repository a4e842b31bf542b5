//! Commands that change something: they ask the running sidecar, or do it in place where none runs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::ExitStatus;
use super::arguments::Form;
use super::printer::{Printer, ProgressLine};
use crate::app::once;
use crate::app::run::{SOCKET, TOKEN};
use crate::client::{self, Endpoint, HttpAnswer, HttpRequest, Limits, Method};
use crate::config::Settings;
use crate::domain::failure::chain;
use crate::domain::id::{DatabaseName, DatabaseRef, ServiceName};
use crate::domain::job::{JobPart, JobReport, Outcome};
use crate::domain::unit::ByteCount;
use crate::domain::volume::{ImageName, VolumeName};
use crate::http::wire::{AcceptedWire, BackupOrderWire, JobWire, PartWire, ProblemWire};

const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(30),
    body: ByteCount(64 * 1024 * 1024),
};
/// How often a running job is asked how it is.
const PAUSE: Duration = Duration::from_millis(300);

/// `backup`, as asked for.
pub(super) struct Order {
    pub(super) databases: Vec<String>,
    /// A volume and the image of its server, instead.
    pub(super) volume: Option<(String, String)>,
    pub(super) form: Form,
}

/// The running sidecar, as far as it answers.
pub(super) struct Sidecar {
    endpoint: Endpoint,
    token: Option<String>,
}

/// Why the sidecar gave no useful answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody answers: there is no sidecar.
    Absent,
    /// It answered no, in this sentence.
    Said(String),
}

impl Sidecar {
    /// The Unix socket in the state folder, else the control port.
    pub(super) async fn find(settings: &Settings) -> Result<Self, Refusal> {
        let socket = settings.state_dir.join(SOCKET);
        let token = settings.token.as_ref().map(|token| token.reveal().clone());
        let token = token.or_else(|| kept_token(&settings.state_dir));
        let address = match settings.control.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        let port = SocketAddr::new(address, settings.control.port());
        for endpoint in [Endpoint::Unix(socket), Endpoint::Tcp(port)] {
            let sidecar = Self {
                endpoint,
                token: token.clone(),
            };
            if sidecar
                .send(Method::Get, "/livez", Bytes::new())
                .await
                .is_ok()
            {
                return Ok(sidecar);
            }
        }
        Err(Refusal::Absent)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<HttpAnswer, Refusal> {
        let bearer = self.token.iter().map(|token| format!("Bearer {token}"));
        let mut headers: Vec<(String, String)> = bearer
            .map(|bearer| ("authorization".to_owned(), bearer))
            .collect();
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let request = HttpRequest {
            method,
            path: path.to_owned(),
            headers,
            body,
        };
        let answer = client::request_once(&self.endpoint, request, LIMITS).await;
        answer.map_err(|error| Refusal::Said(chain(&error)))
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        read(&self.send(Method::Get, path, Bytes::new()).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, Refusal> {
        read(&self.send(Method::Post, path, body).await?)
    }

    /// Orders a job and waits for its end.
    pub(super) async fn order(&self, path: &str, body: Bytes) -> Result<JobWire, Refusal> {
        let accepted: AcceptedWire = self.post(path, body).await?;
        self.follow(&accepted.job).await
    }

    /// Waits for a job's end.
    async fn follow(&self, job: &str) -> Result<JobWire, Refusal> {
        let mut shown = ProgressLine::standard();
        loop {
            let job: JobWire = self.get(&format!("/v1/jobs/{job}")).await?;
            if let Some(doing) = &job.doing {
                shown.show(doing);
            }
            if job.ended_at.is_some() {
                return Ok(job);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn kept_token(state_folder: &Path) -> Option<String> {
    let kept = std::fs::read_to_string(state_folder.join(TOKEN)).ok()?;
    Some(kept.trim().to_owned())
}

fn read<T: DeserializeOwned>(answer: &HttpAnswer) -> Result<T, Refusal> {
    if answer.status < 400 {
        return serde_json::from_slice(&answer.body).map_err(|error| {
            Refusal::Said(format!("the sidecar's answer cannot be read: {error}"))
        });
    }
    let problem: Option<ProblemWire> = serde_json::from_slice(&answer.body).ok();
    let words = problem.map_or_else(|| format!("it answers {}", answer.status), |it| it.detail);
    Err(Refusal::Said(words))
}

/// `stackwarden backup`.
pub(super) async fn back_up(
    settings: &Settings,
    order: Order,
    stop: CancellationToken,
    printer: &mut Printer,
) -> ExitStatus {
    let databases = match parse_databases(&order.databases) {
        Ok(databases) => databases,
        Err(why) => return usage(&why, printer),
    };
    let volume = match &order.volume {
        None => None,
        Some((volume, image)) => match (VolumeName::parse(volume), ImageName::parse(image)) {
            (Ok(volume), Ok(image)) => Some((volume, image)),
            (Err(wrong), _) => return usage(&wrong.to_string(), printer),
            (_, Err(wrong)) => return usage(&wrong.to_string(), printer),
        },
    };
    match Sidecar::find(settings).await {
        Ok(sidecar) => {
            let asked = ask_for_backup(&sidecar, &order).await;
            tell_job(asked, order.form, printer)
        }
        Err(Refusal::Said(why)) => fail(&why, printer),
        Err(Refusal::Absent) => {
            let done = match volume {
                None => once::back_up(settings, databases, stop).await,
                Some((volume, image)) => once::back_up_volume(settings, volume, image, stop).await,
            };
            tell_done(done, order.form, printer)
        }
    }
}

pub(super) fn usage(why: &str, printer: &mut Printer) -> ExitStatus {
    printer.problem(why);
    ExitStatus::Usage
}

/// How a command ended that was carried out in place.
pub(super) fn tell_done(
    done: Result<JobReport, once::OnceError>,
    form: Form,
    printer: &mut Printer,
) -> ExitStatus {
    match done {
        Ok(report) => tell_report(&report, form, printer),
        Err(error) if error.is_configuration() => usage(&chain(&error), printer),
        Err(error) => fail(&chain(&error), printer),
    }
}

pub(super) fn parse_databases(words: &[String]) -> Result<BTreeSet<DatabaseRef>, String> {
    let parse = |word: &String| match word.split_once('/') {
        Some((service, database)) if !service.is_empty() && !database.is_empty() => Ok(
            DatabaseRef::new(ServiceName::new(service), DatabaseName::new(database)),
        ),
        _ => Err(format!(
            "{word:?} names no database; write service/database, such as postgres/app"
        )),
    };
    words.iter().map(parse).collect()
}

async fn ask_for_backup(sidecar: &Sidecar, order: &Order) -> Result<JobWire, Refusal> {
    let databases = &order.databases;
    let (volume, image) = order.volume.clone().unzip();
    let wire = BackupOrderWire {
        databases: (!databases.is_empty()).then(|| databases.clone()),
        volume,
        image,
    };
    let body = serde_json::to_vec(&wire).unwrap_or_default();
    sidecar.order("/v1/backups", Bytes::from(body)).await
}

pub(super) fn fail(why: &str, printer: &mut Printer) -> ExitStatus {
    printer.problem(why);
    ExitStatus::Failed
}

pub(super) fn tell_job(
    asked: Result<JobWire, Refusal>,
    form: Form,
    printer: &mut Printer,
) -> ExitStatus {
    match asked {
        Ok(job) => {
            match form {
                Form::Json => printer.json(&job),
                Form::Text => job.parts.iter().for_each(|part| tell_part(part, printer)),
            }
            status_of(&job.state)
        }
        Err(Refusal::Said(why)) => fail(&why, printer),
        Err(Refusal::Absent) => fail(
            "no sidecar answers; start it: docker compose up -d stackwarden",
            printer,
        ),
    }
}

fn tell_part(part: &PartWire, printer: &mut Printer) {
    let id = part
        .backup
        .as_ref()
        .map(|id| format!(" {id}"))
        .unwrap_or_default();
    printer.line(&format!(
        "{}{id}: {}: {}",
        part.subject, part.outcome, part.detail
    ));
}

fn tell_report(report: &JobReport, form: Form, printer: &mut Printer) -> ExitStatus {
    let parts: Vec<PartWire> = report.parts.iter().map(part_wire).collect();
    match form {
        Form::Json => printer.json(&parts),
        Form::Text => parts.iter().for_each(|part| tell_part(part, printer)),
    }
    status_of(report.outcome.as_str())
}

fn part_wire(part: &JobPart) -> PartWire {
    PartWire {
        subject: part.subject.clone(),
        outcome: part.outcome.as_str().to_owned(),
        backup: part.backup.as_ref().map(ToString::to_string),
        detail: part.detail.clone(),
    }
}

fn status_of(outcome: &str) -> ExitStatus {
    match Outcome::ALL
        .into_iter()
        .find(|known| known.as_str() == outcome)
    {
        Some(Outcome::Succeeded) => ExitStatus::Done,
        Some(Outcome::Partial) => ExitStatus::Partial,
        Some(Outcome::Failed | Outcome::Cancelled) | None => ExitStatus::Failed,
    }
}
