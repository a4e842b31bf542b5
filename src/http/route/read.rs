//! The reading half of `/v1`: the picture, as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::Shared;
use crate::domain::id::{DatabaseName, DatabaseRef, ServiceName};
use crate::http::problem::Problem;
use crate::http::wire::{
    self, BackupsWire, ChecksWire, DatabasesWire, JobWire, JobsWire, MigrationsWire, PlanWire,
    StackWire,
};

pub(super) async fn stack(State(shared): State<Arc<Shared>>) -> Json<StackWire> {
    let (picture, now) = shared.now();
    Json(wire::stack(&picture, now))
}

pub(super) async fn databases(State(shared): State<Arc<Shared>>) -> Json<DatabasesWire> {
    let (picture, now) = shared.now();
    Json(wire::databases(&picture, now))
}

/// The query of `GET /v1/backups`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupsQuery {
    database: Option<String>,
}

pub(super) async fn backups(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<BackupsQuery>, QueryRejection>,
) -> Result<Json<BackupsWire>, Problem> {
    let Query(query) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let only = query.database.as_deref().map(database_ref).transpose()?;
    let (picture, _) = shared.now();
    Ok(Json(wire::backups(&picture, only.as_ref())))
}

/// What retention would do now, in the words of the very function that pruning asks.
pub(super) async fn plan(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<BackupsQuery>, QueryRejection>,
) -> Result<Json<PlanWire>, Problem> {
    let Query(query) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let only = query.database.as_deref().map(database_ref).transpose()?;
    let (picture, now) = shared.now();
    Ok(Json(wire::plan(&picture, only.as_ref(), now)))
}

pub(super) async fn jobs(State(shared): State<Arc<Shared>>) -> Json<JobsWire> {
    let (picture, now) = shared.now();
    Json(wire::jobs(&picture, now))
}

pub(super) async fn job(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<JobWire>, Problem> {
    let (picture, now) = shared.now();
    let job = picture.jobs.iter().find(|job| job.id.as_str() == id);
    let job = job.ok_or_else(|| {
        Problem::not_found(format!(
            "there is no job {id:?}; ended jobs are forgotten after a while, /v1/backups stays"
        ))
    })?;
    Ok(Json(wire::job(job, now)))
}

pub(super) async fn migrations(State(shared): State<Arc<Shared>>) -> Json<MigrationsWire> {
    let (picture, _) = shared.now();
    Json(wire::migrations(&picture))
}

pub(super) async fn checks(State(shared): State<Arc<Shared>>) -> Json<ChecksWire> {
    let (picture, now) = shared.now();
    Json(wire::checks(&picture, now))
}

/// Reads `service/database`.
pub(super) fn database_ref(text: &str) -> Result<DatabaseRef, Problem> {
    match text.split_once('/') {
        Some((service, database)) if !service.is_empty() && !database.is_empty() => Ok(
            DatabaseRef::new(ServiceName::new(service), DatabaseName::new(database)),
        ),
        Some(_) | None => Err(Problem::bad_request(format!(
            "{text:?} names no database; write service/database, such as postgres/app"
        ))),
    }
}
