//! What can be written on the command line.

use clap::{Parser, Subcommand};

/// Migrations behind a backup, backups proven by restoring them, health and metrics for one Compose stack.
#[derive(Debug, Parser)]
#[command(name = "stackwarden", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Arguments {
    /// The form that was asked for.
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the sidecar: schedule, proofs, health, metrics.
    Run,
    /// Run the migrations of the stack, in order, each behind a backup; the application waits for it.
    Gate,
    /// Take backups now, of everything or of the databases named as service/database.
    Backup {
        /// service/database, several or none.
        databases: Vec<String>,
    },
    /// List the backups that exist and how far each is proven.
    Backups {
        /// Only this one, as service/database.
        database: Option<String>,
    },
    /// Prove one backup now by restoring it.
    Verify {
        /// A backup's id, or `latest`.
        backup: String,
        /// Of which database `latest` is meant, as service/database; the newest of all otherwise.
        database: Option<String>,
        /// How far: restore, rows or content.
        #[arg(long)]
        level: Option<String>,
    },
    /// Show the stack: health, backups, jobs and what needs attention; exit code 4 when it is not well.
    Status,
    /// Show the effective settings and where each comes from.
    Config,
    /// Tell Docker whether this container lives.
    Healthcheck,
}
