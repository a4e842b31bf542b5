//! `backups --plan`: what retention keeps and removes, and why.

use super::ExitStatus;
use super::arguments::Form;
use super::asking::{Refusal, Sidecar, fail};
use super::printer::Printer;
use super::show::words;
use crate::app::once;
use crate::config::Settings;
use crate::domain::failure::chain;
use crate::domain::unit::ByteCount;
use crate::http::wire::{PlanWire, PlannedWire};

/// From the sidecar, or from the folder and the labels where none runs.
pub(super) async fn plan(
    settings: &Settings,
    database: Option<String>,
    form: Form,
    printer: &mut Printer,
) -> ExitStatus {
    let planned = match Sidecar::find(settings).await {
        Ok(sidecar) => sidecar
            .get::<PlanWire>("/v1/backups/plan")
            .await
            .map_err(words),
        Err(Refusal::Absent) => once::plan(settings).await.map_err(|error| chain(&error)),
        Err(refusal) => Err(words(refusal)),
    };
    let mut plan = match planned {
        Ok(plan) => plan,
        Err(why) => return fail(&why, printer),
    };
    if let Some(wanted) = database {
        plan.backups.retain(|it| series_of(it) == wanted);
    }
    match form {
        Form::Json => printer.json(&plan),
        Form::Text if plan.backups.is_empty() => printer.line("no backup exists yet"),
        Form::Text => {
            let rows: Vec<Vec<String>> = plan.backups.iter().map(row).collect();
            printer.table(&["ID", "OF", "ON", "TAKEN", "SIZE", "PLAN"], &rows);
            for note in &plan.notes {
                printer.line(&format!("\n{note}"));
            }
        }
    }
    ExitStatus::Done
}

fn series_of(backup: &PlannedWire) -> String {
    let database = backup.database.as_deref().unwrap_or("globals");
    format!("{}/{database}", backup.service)
}

fn row(backup: &PlannedWire) -> Vec<String> {
    vec![
        backup.id.clone(),
        series_of(backup),
        backup.destination.clone(),
        backup.at.clone(),
        ByteCount(backup.size_bytes).to_string(),
        format!("{}: {}", backup.plan, backup.reasons.join(", ")),
    ]
}
