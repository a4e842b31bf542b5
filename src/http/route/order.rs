//! The ordering half of `/v1`: what reaches the desk, and its answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;

use super::Shared;
use super::read::database_ref;
use crate::board::Picture;
use crate::domain::backup::{Backup, Destination, Level, Reason, Series};
use crate::domain::id::{BackupId, DatabaseRef, JobId, ServiceName};
use crate::domain::job::{BackupScope, JobRequest, Submission};
use crate::domain::restore::wish::destination;
use crate::domain::volume::{ImageName, VolumeName};
use crate::http::problem::Problem;
use crate::http::series::shown_series;
use crate::http::wire::{AcceptedWire, BackupOrderWire, FileOrderWire};

/// The desk answers from memory; more than this means it is stuck.
const DESK_DEADLINE: Duration = Duration::from_secs(10);
/// Longer than the desk may take, so that it is the body that did not come.
const ORDER_DEADLINE: Duration = Duration::from_secs(20);

/// Ends a request whose body does not come.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(ORDER_DEADLINE, next.run(request)).await;
    answered.unwrap_or_else(|_elapsed| {
        let detail = "the body did not arrive within 20 s; nothing was begun";
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
    })
}

/// Takes backups of everything, or of the databases the body names.
pub(super) async fn backup(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|wrong| Problem::new(wrong.status(), wrong.body_text()))?;
    let (picture, _) = shared.now();
    let request = backup_request(&picture, read_order(&body)?)?;
    submit(&shared, request).await
}

fn backup_request(picture: &Picture, order: BackupOrderWire) -> Result<JobRequest, Problem> {
    match (&order.volume, &order.image) {
        (None, None) => Ok(JobRequest::Backup {
            scope: scope(picture, order)?,
            reason: Reason::Manual,
        }),
        (Some(volume), Some(image)) if order.databases.is_none() => {
            let volume = VolumeName::parse(volume);
            let volume = volume.map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
            let image = ImageName::parse(image);
            let image = image.map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
            Ok(JobRequest::BackupVolume { volume, image })
        }
        _ => Err(Problem::bad_request(
            "`volume` and `image` stand together and without `databases`: every database of the volume is backed up",
        )),
    }
}

fn read_order(body: &Bytes) -> Result<BackupOrderWire, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(BackupOrderWire::default());
    }
    serde_json::from_slice(body).map_err(|wrong| {
        Problem::bad_request(format!(
            "the body is no order: {wrong}; send nothing, or {{\"databases\":[\"service/database\"]}}"
        ))
    })
}

fn scope(picture: &Picture, order: BackupOrderWire) -> Result<BackupScope, Problem> {
    let Some(names) = order.databases else {
        return Ok(BackupScope::Stack);
    };
    let wanted: BTreeSet<DatabaseRef> = names
        .iter()
        .map(|name| database_ref(name))
        .collect::<Result<_, _>>()?;
    if wanted.is_empty() {
        let detail = "`databases` is empty; leave it out to back up everything";
        return Err(Problem::bad_request(detail));
    }
    let known = known_databases(picture);
    let unknown: Vec<String> = wanted
        .difference(&known)
        .map(|database| format!("{:?}", database.to_string()))
        .collect();
    if !unknown.is_empty() {
        let detail = format!("no such database here: {}", unknown.join(", "));
        let known = known.iter().map(ToString::to_string).collect();
        return Err(Problem::not_found(detail).knowing(known));
    }
    Ok(BackupScope::Databases(wanted))
}

/// The databases that are there, and those of which there was something before: one that takes no connections just now says so
/// itself better than we could.
fn known_databases(picture: &Picture) -> BTreeSet<DatabaseRef> {
    let is_served = |series: &&Series| picture.servers.contains_key(&series.service);
    let before = picture.series.keys().filter(is_served).cloned();
    let series = shown_series(picture).into_iter().chain(before);
    series
        .filter_map(|series| {
            let database = series.content.database()?.clone();
            Some(DatabaseRef::new(series.service, database))
        })
        .collect()
}

/// The query of `POST /v1/backups/{id}/verify`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyQuery {
    level: Option<String>,
    database: Option<String>,
    from: Option<String>,
}

/// Proves one backup.
pub(super) async fn verify(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    query: Result<Query<VerifyQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let from = query.from.map(|word| destination(&word)).transpose();
    let from = from.map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
    let (picture, _) = shared.now();
    let (database, id) = named(&picture, &id, query.database.as_deref(), from)?;
    let level = match query.level {
        Some(word) => Level::find(&word).ok_or_else(|| unknown_level(&word))?,
        None => asked_level(&picture, &database),
    };
    let request = JobRequest::Verify {
        database,
        id,
        level,
        from,
    };
    submit(&shared, request).await
}

/// The backup that a path names; the query may say of which database.
fn named(
    picture: &Picture,
    id: &str,
    only: Option<&str>,
    from: Option<Destination>,
) -> Result<(DatabaseRef, BackupId), Problem> {
    let id = BackupId::parse(id).map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
    let only = only.map(database_ref).transpose()?;
    let database = database_of(picture, &id, only.as_ref(), from)?;
    Ok((database, id))
}

/// The query of `POST /v1/backups/{id}/accept`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptQuery {
    database: Option<String>,
}

/// Accepts one suspect backup.
pub(super) async fn accept(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    query: Result<Query<AcceptQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let (picture, _) = shared.now();
    let (database, id) = named(&picture, &id, query.database.as_deref(), None)?;
    submit(&shared, JobRequest::Accept { database, id }).await
}

/// Reads everything that is stored again.
pub(super) async fn fsck(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    submit(&shared, JobRequest::Fsck).await
}

/// Judges a file, whoever made it.
pub(super) async fn verify_file(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|wrong| Problem::new(wrong.status(), wrong.body_text()))?;
    let order: FileOrderWire = serde_json::from_slice(&body).map_err(|wrong| {
        Problem::bad_request(format!(
            "the body is no order: {wrong}; send {{\"file\":\"PATH\"}}"
        ))
    })?;
    let level = order.level.map_or(Ok(Level::Content), |word| {
        Level::find(&word).ok_or_else(|| unknown_level(&word))
    })?;
    let service = order.database.map(|name| {
        let service = name.split('/').next().unwrap_or_default();
        ServiceName::new(service)
    });
    let (picture, _) = shared.now();
    if let Some(unknown) = service
        .as_ref()
        .filter(|it| !picture.servers.contains_key(*it))
    {
        let known = picture.servers.keys().map(ToString::to_string).collect();
        let detail = format!(
            "no such database server here: {unknown:?}",
            unknown = unknown.as_str()
        );
        return Err(Problem::not_found(detail).knowing(known));
    }
    let request = JobRequest::VerifyFile {
        file: order.file.into(),
        service,
        level,
    };
    submit(&shared, request).await
}

fn unknown_level(word: &str) -> Problem {
    let known = Level::ALL.iter().map(ToString::to_string).collect();
    Problem::bad_request(format!("{word:?} is no level")).knowing(known)
}

fn asked_level(picture: &Picture, database: &DatabaseRef) -> Level {
    let server = picture.servers.get(&database.service);
    server.map_or(Level::Content, |server| server.policy.verify)
}

/// Two databases may have begun in the same second and drawn the same four digits.
fn database_of(
    picture: &Picture,
    id: &BackupId,
    only: Option<&DatabaseRef>,
    from: Option<Destination>,
) -> Result<DatabaseRef, Problem> {
    let is_it = |backup: &&Backup| backup.manifest.id == *id;
    let with_it = picture.known(from).into_iter();
    let with_it = with_it.filter(|(_, backups)| backups.iter().any(is_it));
    let series: Vec<_> = with_it.map(|(series, _)| series).collect();
    let owners: Vec<DatabaseRef> = series
        .iter()
        .filter_map(|series| {
            let database = series.content.database()?.clone();
            Some(DatabaseRef::new(series.service.clone(), database))
        })
        .filter(|owner| only.is_none_or(|only| only == owner))
        .collect();
    match owners.as_slice() {
        [owner] => Ok(owner.clone()),
        [] if only.is_none() && !series.is_empty() => Err(Problem::conflict(
            "roles stand and fall with a database; name a backup of one of that server's databases",
        )),
        [] => Err(Problem::not_found(format!(
            "there is no backup {id}; GET /v1/backups lists them"
        ))),
        several => {
            let known = several.iter().map(ToString::to_string).collect();
            let detail = format!("several databases have a backup {id}; add ?database=…");
            Err(Problem::conflict(detail).knowing(known))
        }
    }
}

pub(super) async fn submit(shared: &Shared, request: JobRequest) -> Result<Response, Problem> {
    let submission = shared.api.desk.submit(request);
    let submission = tokio::time::timeout(DESK_DEADLINE, submission).await;
    let submission = submission.map_err(|_elapsed| {
        Problem::unavailable(
            "the desk does not answer; try again, then look at the log",
            "60",
        )
    })?;
    answer(&shared.api.board.read(), submission)
}

fn answer(picture: &Picture, submission: Submission) -> Result<Response, Problem> {
    match submission {
        Submission::Accepted(id) => Ok(accepted(picture, &id, "queued", Novelty::New)),
        Submission::AlreadyRunning(id) => Ok(accepted(picture, &id, "running", Novelty::Known)),
        Submission::Closing => Err(Problem::unavailable(
            "stackwarden is stopping and takes nothing new; ask again after its restart",
            "30",
        )),
        Submission::Full => Err(Problem::unavailable(
            "too many jobs wait already; GET /v1/jobs shows them",
            "60",
        )),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Novelty {
    New,
    Known,
}

/// `state` is said while the board does not show the job yet.
fn accepted(picture: &Picture, id: &JobId, state: &'static str, novelty: Novelty) -> Response {
    let shown = picture.jobs.iter().find(|job| job.id == *id);
    let wire = AcceptedWire {
        job: id.to_string(),
        state: shown.map_or(state, |job| job.state.as_str()).to_owned(),
        already_running: novelty == Novelty::Known,
    };
    let location = [(LOCATION, format!("/v1/jobs/{id}"))];
    (StatusCode::ACCEPTED, location, Json(wire)).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::super::fixture;
    use super::*;
    use crate::domain::backup::Content;
    use crate::domain::id::DatabaseName;

    async fn told(submission: Submission) -> (StatusCode, Option<String>, serde_json::Value) {
        let response = answer(&fixture::well().read(), submission).into_response();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let location = parts.headers.get(LOCATION);
        (
            parts.status,
            location.map(|it| it.to_str().unwrap().to_owned()),
            serde_json::from_slice(&bytes).unwrap(),
        )
    }

    #[tokio::test]
    async fn a_second_caller_gets_the_running_job() {
        let (status, location, body) = told(Submission::AlreadyRunning(JobId::new("j7"))).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(location.as_deref(), Some("/v1/jobs/j7"));
        let wanted = serde_json::json!({"job": "j7", "state": "running", "already_running": true});
        assert_eq!(body, wanted);
    }

    #[tokio::test]
    async fn a_new_job_is_named_before_the_board_shows_it() {
        let (status, location, body) = told(Submission::Accepted(JobId::new("j8"))).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(location.as_deref(), Some("/v1/jobs/j8"));
        let wanted = serde_json::json!({"job": "j8", "state": "queued", "already_running": false});
        assert_eq!(body, wanted);
    }

    #[test]
    fn an_order_names_everything_or_known_databases() {
        let picture = fixture::well().read();
        let read = |body: &'static str| read_order(&Bytes::from_static(body.as_bytes()));
        let everything = scope(&picture, read(" \n").unwrap()).unwrap();
        assert_eq!(everything, BackupScope::Stack);
        let twice = r#"{"databases":["postgres/app","postgres/app"]}"#;
        let one = scope(&picture, read(twice).unwrap()).unwrap();
        let app = DatabaseRef::new(ServiceName::new("postgres"), DatabaseName::new("app"));
        assert_eq!(one, BackupScope::Databases(BTreeSet::from([app])));
        let roles = r#"{"databases":["postgres/globals"]}"#;
        assert!(scope(&picture, read(roles).unwrap()).is_err());
    }

    #[test]
    fn a_volume_is_named_with_its_image_and_nothing_else() {
        let picture = fixture::well().read();
        let request = |body: &'static str| {
            backup_request(
                &picture,
                read_order(&Bytes::from_static(body.as_bytes())).unwrap(),
            )
        };
        let asked = request(r#"{"volume":"old_data","image":"postgres:15"}"#).unwrap();
        let volume = VolumeName::parse("old_data").unwrap();
        let image = ImageName::parse("postgres:15").unwrap();
        assert_eq!(asked, JobRequest::BackupVolume { volume, image });
        for body in [
            r#"{"volume":"old_data"}"#,
            r#"{"image":"postgres:15"}"#,
            r#"{"volume":"/etc","image":"postgres:15"}"#,
            r#"{"volume":"old_data","image":"postgres:15","databases":["postgres/app"]}"#,
        ] {
            assert!(request(body).is_err(), "{body}");
        }
    }

    #[tokio::test]
    async fn a_desk_that_takes_nothing_says_when_to_come_back() {
        for submission in [Submission::Closing, Submission::Full] {
            let refused = answer(&fixture::well().read(), submission.clone()).unwrap_err();
            let response = refused.into_response();
            assert!(response.headers().contains_key("retry-after"));
            assert_eq!(told(submission).await.0, StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[test]
    fn one_id_in_two_databases_has_to_be_told_apart() {
        let board = fixture::well();
        let twin = Content::Database(DatabaseName::new("never"));
        let backup = Arc::new(fixture::backup(twin.clone(), fixture::NOW - 600, 2));
        let id = backup.manifest.id.clone();
        board.update(|picture| {
            let state = picture.series.entry(fixture::series(twin)).or_default();
            state.backups.push(backup);
        });
        let picture = board.read();
        assert!(database_of(&picture, &id, None, None).is_err());
        let only = DatabaseRef::new(ServiceName::new("postgres"), DatabaseName::new("never"));
        assert_eq!(database_of(&picture, &id, Some(&only), None).unwrap(), only);
    }
}
