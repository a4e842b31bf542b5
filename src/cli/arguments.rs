//! What can be written on the command line.

use clap::{Args, Parser, Subcommand};

use super::restoring::Restore;

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
        #[arg(conflicts_with = "from_volume")]
        databases: Vec<String>,
        /// What an old, stopped stack has left instead: all databases of this Docker volume, from a copy of it.
        #[arg(long, value_name = "VOLUME", requires = "image")]
        from_volume: Option<String>,
        /// The image of the old stack's server, such as postgres:15.
        #[arg(long, requires = "from_volume")]
        image: Option<String>,
    },
    /// List the backups that exist and how far each is proven.
    Backups(Backups),
    /// Prove one backup now by restoring it, or judge a dump that somebody else made.
    Verify {
        /// A backup's id, `latest`, or the path of a file: .dump, .sql, or one of both in gzip or zstd.
        #[arg(value_name = "ID|latest|FILE")]
        backup: String,
        /// Of which database, as service/database; for a file, whose server the throw-away one is like.
        database: Option<String>,
        /// The same.
        #[arg(
            long = "database",
            value_name = "SERVICE/DATABASE",
            conflicts_with = "database"
        )]
        of: Option<String>,
        /// How far: archive, restore, rows or content.
        #[arg(long)]
        level: Option<String>,
        /// The copy that is proven: disk or s3; otherwise the disk's, or the bucket's where the disk has none.
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
    },
    /// Restore a backup beside the live database, put it in its place, and take that back.
    Restore(Restore),
    /// Show the stack: health, backups, jobs and what needs attention; exit code 4 when it is not well.
    Status,
    /// The ways by which people are told of failures.
    Notify {
        /// What to do with them.
        #[command(subcommand)]
        action: NotifyAction,
    },
    /// Show the effective settings and where each comes from.
    Config,
    /// Tell Docker whether this container lives.
    Healthcheck,
}

/// What can be done with the ways by which people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(super) enum NotifyAction {
    /// Send a test by each of them and say what became of it; the ping tells the switch that all is well.
    Test,
}

/// What is asked about backups.
#[derive(Debug, Clone, Args)]
pub(super) struct Backups {
    /// Only this one, as service/database.
    pub(super) database: Option<String>,
    /// Accept a suspect backup, or one taken after it: it is as it should be, and retention goes on.
    #[arg(long, value_name = "ID")]
    pub(super) accept: Option<String>,
    /// Show what retention keeps and removes at the next backup, each with its reason.
    #[arg(long, conflicts_with = "accept")]
    pub(super) plan: bool,
    /// Read every stored backup again: names orphans, missing and altered files; removes nothing.
    #[arg(long, conflicts_with_all = ["accept", "plan", "database"])]
    pub(super) fsck: bool,
}
