//! Commands that only read.

use super::ExitStatus;
use super::arguments::Form;
use super::asking::{Refusal, Sidecar};
use super::printer::Printer;
use crate::config::{ConfigNote, Settings};
use crate::domain::unit::ByteCount;
use crate::http::wire::{BackupWire, BackupsWire, CopiesWire, CopyWire, DatabaseWire, StackWire};

/// `stackwarden backups`: from the sidecar, or from the folder itself where none runs.
pub(super) async fn backups(
    settings: &Settings,
    database: Option<String>,
    form: Form,
    printer: &mut Printer,
) -> ExitStatus {
    let listed = match Sidecar::find(settings).await {
        Ok(sidecar) => sidecar
            .get::<BackupsWire>("/v1/backups")
            .await
            .map_err(words),
        Err(Refusal::Absent) => crate::app::once::list(settings)
            .await
            .map_err(|error| crate::domain::failure::chain(&error)),
        Err(refusal) => Err(words(refusal)),
    };
    let mut listed = match listed {
        Ok(listed) => {
            listed.problems.iter().for_each(|it| printer.problem(it));
            listed.backups
        }
        Err(why) => {
            printer.problem(&why);
            return ExitStatus::Failed;
        }
    };
    if let Some(wanted) = database {
        listed.retain(|backup| series_of(backup) == wanted);
    }
    match form {
        Form::Json => printer.json(&listed),
        Form::Text if listed.is_empty() => printer.line("no backup exists yet"),
        Form::Text => {
            let rows: Vec<Vec<String>> = listed.iter().map(backup_row).collect();
            let heads = ["ID", "OF", "TAKEN", "SIZE", "REASON", "STANDING", "WHERE"];
            printer.table(&heads, &rows);
            listed
                .iter()
                .filter(|it| !it.suspect.is_empty())
                .for_each(|it| tell_suspicion(it, printer));
        }
    }
    ExitStatus::Done
}

pub(super) fn words(refusal: Refusal) -> String {
    match refusal {
        Refusal::Absent => {
            "no sidecar answers; start it: docker compose up -d stackwarden".to_owned()
        }
        Refusal::Said(why) => why,
    }
}

fn tell_suspicion(backup: &BackupWire, printer: &mut Printer) {
    let (id, reasons) = (&backup.id, backup.suspect.join("; "));
    printer.line(&format!(
        "\n{id} is suspect: {reasons}.\nIf that is as it should be: stackwarden backups --accept {id}"
    ));
}

/// `service/database`, or `service/globals` for the roles.
fn series_of(backup: &BackupWire) -> String {
    format!(
        "{}/{}",
        backup.service,
        backup.database.as_deref().unwrap_or("globals")
    )
}

fn standing(backup: &BackupWire) -> String {
    let standing = match (&backup.level, backup.standing.as_str()) {
        // Roles are compared in every proof of a database that restores on top of them.
        (_, "unproven" | "proven") if backup.database.is_none() => {
            "proven with its databases".to_owned()
        }
        (Some(level), "proven") => format!("proven: {level}"),
        (Some(level), standing) => format!("{standing} ({level})"),
        (None, standing) => standing.to_owned(),
    };
    if backup.suspect.is_empty() {
        standing
    } else {
        format!("SUSPECT, {standing}")
    }
}

fn backup_row(backup: &BackupWire) -> Vec<String> {
    vec![
        backup.id.clone(),
        series_of(backup),
        backup.at.clone(),
        ByteCount(backup.size_bytes).to_string(),
        backup.reason.clone(),
        standing(backup),
        places(backup),
    ]
}

/// `disk, s3 (archive)`: what it is proven as there stands behind all but the disk.
fn places(backup: &BackupWire) -> String {
    let place = |it: &CopyWire| match (it.destination.as_str(), &it.level) {
        ("disk", _) => it.destination.clone(),
        (_, Some(level)) if it.standing == "proven" => format!("{} ({level})", it.destination),
        _ => format!("{} ({})", it.destination, it.standing),
    };
    let places: Vec<String> = backup.destinations.iter().map(place).collect();
    places.join(", ")
}

/// `stackwarden status`.
pub(super) async fn status(settings: &Settings, form: Form, printer: &mut Printer) -> ExitStatus {
    let asked = async {
        Sidecar::find(settings)
            .await?
            .get::<StackWire>("/v1/stack")
            .await
    };
    let stack = match asked.await {
        Ok(stack) => stack,
        Err(refusal) => {
            printer.problem(&words(refusal));
            return ExitStatus::Failed;
        }
    };
    match form {
        Form::Json => printer.json(&stack),
        Form::Text => tell_stack(&stack, printer),
    }
    if stack.verdict == "fail" {
        ExitStatus::Unhealthy
    } else {
        ExitStatus::Done
    }
}

fn tell_stack(stack: &StackWire, printer: &mut Printer) {
    printer.line(&format!(
        "{}: {} (stackwarden {})",
        stack.project, stack.verdict, stack.version
    ));
    printer.line("");
    let services: Vec<Vec<String>> = stack
        .services
        .iter()
        .map(|it| {
            vec![
                it.name.clone(),
                it.verdict.clone(),
                it.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    printer.table(&["SERVICE", "HEALTH", ""], &services);
    printer.line("");
    let databases: Vec<Vec<String>> = stack.databases.iter().map(database_row).collect();
    let bucket = if stack.databases.iter().any(|it| it.s3.is_some()) {
        "S3"
    } else {
        ""
    };
    let heads = ["DATABASE", "KEPT", "NEWEST", "STANDING", "NEXT", bucket];
    printer.table(&heads, &databases);
    if let Some(bucket) = &stack.bucket {
        let found = match bucket.findings.as_slice() {
            [] => "not tried yet".to_owned(),
            findings => findings.join("; "),
        };
        printer.line(&format!("\n{}: {found}", bucket.place));
    }
    for job in stack.jobs.iter().filter(|job| job.ended_at.is_none()) {
        printer.line(&format!(
            "\n{} {} {}: {}",
            job.state, job.kind, job.id, job.subject
        ));
    }
    if !stack.concerns.is_empty() {
        printer.line("\nneeds attention:");
        stack
            .concerns
            .iter()
            .for_each(|concern| printer.line(&format!("  {concern}")));
    }
}

fn database_row(database: &DatabaseWire) -> Vec<String> {
    let newest = database.newest.as_ref();
    let shown = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
    vec![
        format!("{}/{}", database.service, database.database),
        database.kept.to_string(),
        shown(newest.map(|backup| &backup.at)),
        newest.map_or_else(|| "-".to_owned(), standing),
        shown(database.next_run.as_ref()),
        database.s3.as_ref().map_or_else(String::new, in_bucket),
    ]
}

/// `12, proven (archive)`, and what is missing there.
fn in_bucket(copies: &CopiesWire) -> String {
    let standing = match (&copies.standing, &copies.level) {
        (None, _) => "none".to_owned(),
        (Some(standing), Some(level)) => format!("{}, {standing} ({level})", copies.kept),
        (Some(standing), None) => format!("{}, {standing}", copies.kept),
    };
    match copies.missing {
        0 => standing,
        missing => format!("{standing}, {missing} missing"),
    }
}

/// `stackwarden config`.
pub(super) fn config(
    settings: &Settings,
    notes: &[ConfigNote],
    form: Form,
    printer: &mut Printer,
) -> ExitStatus {
    match form {
        Form::Json => {
            let shown = settings.effective.iter().map(|setting| {
                let value = serde_json::json!({
                    "value": setting.value_shown, "origin": setting.origin.to_string(),
                });
                (setting.name.to_owned(), value)
            });
            printer.json(&shown.collect::<serde_json::Map<_, _>>());
        }
        Form::Text => {
            let row = |setting: &crate::config::EffectiveSetting| {
                let origin = setting.origin.to_string();
                vec![setting.name.to_owned(), setting.value_shown.clone(), origin]
            };
            let rows: Vec<Vec<String>> = settings.effective.iter().map(row).collect();
            printer.table(&["SETTING", "VALUE", "FROM"], &rows);
        }
    }
    for note in notes {
        printer.problem(&note.to_string());
    }
    ExitStatus::Done
}
