//! The command line: arguments, exit codes, and what people read.

mod accepting;
mod arguments;
mod asking;
mod examining;
mod notify;
mod planning;
mod printer;
mod probe;
mod restoring;
mod show;
mod verifying;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::app::gate::{self, GateError};
use crate::app::ground::Ground;
use crate::app::run;
use crate::config::{self, ConfigNote, Settings};
use crate::domain::failure::chain;
use crate::lifecycle::{CommandEnd, Lifecycle};
use crate::observe::logging::{LogFilter, LogFormat, LogStream, Logging};
use arguments::{Arguments, Backups, Command, Form, NotifyAction};
use printer::Printer;

/// How long an interrupted command may take to reach its safe point.
const GRACE: Duration = Duration::from_secs(7);

/// How a command ended, as shells and Compose see it. Documented in `docs/reference/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Everything asked for was done.
    Done,
    /// It failed.
    Failed,
    /// The arguments or settings are wrong; the same call fails again.
    Usage,
    /// Some of it was done; the output says which.
    Partial,
    /// The stack, or what was asked about, is not well.
    Unhealthy,
    /// A signal ended it: 128 plus the signal's number.
    Interrupted(u8),
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::Failed => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Partial => 3,
            ExitStatus::Unhealthy => 4,
            ExitStatus::Interrupted(code) => code,
        })
    }
}

/// Runs the command that the process's arguments name.
pub async fn run() -> ExitCode {
    let mut printer = Printer::standard();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return printer.usage(&error).into(),
    };
    // A health check must answer even where the settings are wrong: they are the process's, not its own.
    if matches!(arguments.command, Command::Healthcheck) {
        return probe::healthcheck(&mut printer).await.into();
    }
    let (settings, notes) = match config::env::load() {
        Ok(read) => read,
        Err(errors) => {
            printer.problem(&errors.to_string());
            return ExitStatus::Usage.into();
        }
    };
    if let Err(error) = begin_logging(&settings, &arguments.command) {
        printer.problem(&format!("{error:#}"));
        return ExitStatus::Usage.into();
    }
    Box::pin(dispatch(arguments, &settings, &notes, &mut printer))
        .await
        .into()
}

fn begin_logging(settings: &Settings, command: &Command) -> anyhow::Result<()> {
    let is_service = matches!(command, Command::Run | Command::Gate);
    let logging = Logging {
        format: match settings.log_format {
            config::LogFormat::Json => LogFormat::Json,
            config::LogFormat::Text => LogFormat::Text,
        },
        stream: if is_service {
            LogStream::Output
        } else {
            LogStream::Error
        },
        filter: LogFilter::parse(settings.log.as_str())?,
        project: settings.project.as_ref().map(ToString::to_string),
    };
    Ok(logging.install()?)
}

async fn dispatch(
    arguments: Arguments,
    settings: &Settings,
    notes: &[ConfigNote],
    printer: &mut Printer,
) -> ExitStatus {
    let lifecycle = Lifecycle::new();
    if let Err(error) = lifecycle.listen() {
        printer.problem(&chain(&error));
        return ExitStatus::Failed;
    }
    let form = arguments.form();
    match arguments.command {
        Command::Run => run_sidecar(settings, notes, &lifecycle, printer).await,
        Command::Gate => Box::pin(run_gate(settings, &lifecycle, printer)).await,
        Command::Backup {
            databases,
            from_volume,
            image,
        } => {
            let volume = from_volume.zip(image);
            let asked = asking::Order {
                databases,
                volume,
                form,
            };
            let work = asking::back_up(settings, asked, lifecycle.soft(), printer);
            finish(&lifecycle.command(GRACE, work).await)
        }
        Command::Verify {
            backup,
            database,
            of,
            level,
            from,
        } => {
            let wish = verifying::Wish {
                backup,
                database: database.or(of),
                level,
                from,
                form,
            };
            let work = verifying::verify(settings, wish, lifecycle.soft(), printer);
            finish(&lifecycle.command(GRACE, work).await)
        }
        Command::Backups(asked) => backups(settings, asked, form, &lifecycle, printer).await,
        Command::Restore(asked) => {
            let work = restoring::restore(settings, asked, form, lifecycle.soft(), printer);
            finish(&lifecycle.command(GRACE, work).await)
        }
        Command::Status => show::status(settings, form, printer).await,
        Command::Notify {
            action: NotifyAction::Test,
        } => {
            let work = notify::test(settings, form, printer);
            finish(&lifecycle.command(GRACE, work).await)
        }
        Command::Config => show::config(settings, notes, form, printer),
        Command::Healthcheck => ExitStatus::Done,
    }
}

/// Lists backups, or does with them what is asked.
async fn backups(
    settings: &Settings,
    asked: Backups,
    form: Form,
    lifecycle: &Lifecycle,
    printer: &mut Printer,
) -> ExitStatus {
    let database = asked.database;
    if let Some(backup) = asked.accept {
        let asked = accepting::Acceptance { backup, database };
        let work = accepting::accept(settings, asked, form, lifecycle.soft(), printer);
        finish(&lifecycle.command(GRACE, work).await)
    } else if asked.fsck {
        let work = examining::fsck(settings, form, lifecycle.soft(), printer);
        finish(&lifecycle.command(GRACE, work).await)
    } else if asked.plan {
        planning::plan(settings, database, form, printer).await
    } else {
        show::backups(settings, database, form, printer).await
    }
}

fn finish(end: &CommandEnd<ExitStatus>) -> ExitStatus {
    match end {
        CommandEnd::Completed(status) => *status,
        CommandEnd::Interrupted { signal, .. } => ExitStatus::Interrupted(signal.exit_code()),
        CommandEnd::Died { .. } => ExitStatus::Failed,
    }
}

async fn run_sidecar(
    settings: &Settings,
    notes: &[ConfigNote],
    lifecycle: &Lifecycle,
    printer: &mut Printer,
) -> ExitStatus {
    match run::run(settings, notes, lifecycle).await {
        Ok(ending) if ending.exit_code() == 0 => ExitStatus::Done,
        Ok(_) => ExitStatus::Failed,
        Err(error) => {
            tracing::error!(error = %chain(&error), "stackwarden cannot run");
            printer.problem(&chain(&error));
            if error.is_configuration() {
                ExitStatus::Usage
            } else {
                ExitStatus::Failed
            }
        }
    }
}

async fn run_gate(settings: &Settings, lifecycle: &Lifecycle, printer: &mut Printer) -> ExitStatus {
    let work = async {
        let ground = match Ground::find(settings).await {
            Ok(ground) => ground,
            Err(error) => {
                let status = if error.is_configuration() {
                    ExitStatus::Usage
                } else {
                    ExitStatus::Failed
                };
                return Err((status, chain(&error)));
            }
        };
        Box::pin(gate::run(&ground, lifecycle.soft()))
            .await
            .map_err(|error: GateError| {
                let status = if error.is_configuration() {
                    ExitStatus::Usage
                } else {
                    ExitStatus::Failed
                };
                (status, chain(&error))
            })
    };
    match Box::pin(lifecycle.command(GRACE, work)).await {
        CommandEnd::Completed(Ok(())) => ExitStatus::Done,
        CommandEnd::Completed(Err((status, why))) => {
            tracing::error!(error = %why, "the gate stays closed");
            printer.problem(&why);
            status
        }
        CommandEnd::Interrupted { signal, result } => {
            if let Some(Err((_status, why))) = result {
                printer.problem(&why);
            }
            ExitStatus::Interrupted(signal.exit_code())
        }
        CommandEnd::Died { death } => {
            printer.problem(&death.to_string());
            ExitStatus::Failed
        }
    }
}
