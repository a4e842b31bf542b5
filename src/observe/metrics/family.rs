//! The closed list of metric families: names, help and labels exactly as the contract has them.

/// Prefix of every family but `process_*`.
pub const PREFIX: &str = "stackwarden_";

/// How a family's samples behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, and begins again at 0.
    Counter,
    /// Seconds in buckets.
    Histogram,
}

impl FamilyKind {
    /// The word behind `# TYPE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// A family whose number of labels the compiler checks at every sample.
#[derive(Debug, Clone, Copy)]
pub struct Family<const LABELS: usize> {
    name: &'static str,
    help: &'static str,
    kind: FamilyKind,
    labels: &'static [&'static str; LABELS],
}

impl<const LABELS: usize> Family<LABELS> {
    /// The name without the prefix.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The names of its labels.
    pub fn labels(&self) -> &'static [&'static str; LABELS] {
        self.labels
    }

    /// How its samples behave.
    pub fn kind(&self) -> FamilyKind {
        self.kind
    }

    const fn declare(self) -> Declaration {
        Declaration {
            name: self.name,
            help: self.help,
            kind: self.kind,
            labels: self.labels,
        }
    }
}

/// A family as documentation and the encoder see it.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    /// The name without the prefix.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How its samples behave.
    pub kind: FamilyKind,
    /// The names of its labels.
    #[expect(
        dead_code,
        reason = "told with the family; the encoder takes them from the family itself"
    )]
    pub labels: &'static [&'static str],
}

macro_rules! families {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Family<{ <[&str]>::len(&[$($label),*]) }> = Family {
                name: $name,
                help: $help,
                kind: FamilyKind::$kind,
                labels: &[$($label),*],
            };
        )+

        /// Every family of ours, in the order of the answer.
        pub const FAMILIES: &[Declaration] = &[$($constant.declare()),+];
    };
}

families! {
    BUILD = Gauge "build_info" ["version"]
        "Always 1; the label says which stackwarden this is.";
    LAST_SUCCESS = Gauge "backup_last_success_timestamp_seconds" ["service", "database", "destination"]
        "Snapshot time of the newest complete backup, seconds since 1970; 0 when there is none.";
    LAST_ATTEMPT = Gauge "backup_last_attempt_timestamp_seconds" ["service", "database"]
        "When a backup was last tried, seconds since 1970; 0 when never.";
    LAST_VERIFIED = Gauge "backup_last_verified_timestamp_seconds" ["service", "database", "destination", "level"]
        "Snapshot time of the newest backup that is not suspect and whose verification reached exactly this level, seconds since 1970.";
    OLDEST_READ = Gauge "backup_oldest_read_timestamp_seconds" ["service", "database", "destination"]
        "When the bytes of the backup that was read the longest ago were last read, seconds since 1970.";
    BACKUP_RUNS = Counter "backup_runs_total" ["service", "database", "outcome"]
        "Backups of this process by outcome.";
    BACKUP_DURATION = Histogram "backup_duration_seconds" ["service", "database", "stage"]
        "How long the stages of backups and their proofs took.";
    BACKUP_SIZE = Gauge "backup_size_bytes" ["service", "database"]
        "Stored size of the newest backup.";
    NEXT_RUN = Gauge "backup_next_run_timestamp_seconds" ["service", "database"]
        "When the next scheduled backup is due, seconds since 1970.";
    KEPT = Gauge "backups_kept" ["service", "database", "destination"]
        "How many complete backups there are.";
    RESTORE_DURATION = Gauge "restore_duration_seconds" ["service", "database"]
        "How long the newest test restore took: the measured recovery time.";
    RPO = Gauge "rpo_objective_seconds" []
        "The recovery point objective: how old the newest backup may be.";
    RTO = Gauge "rto_objective_seconds" []
        "The recovery time objective: how long a restore may take.";
    MIGRATION_RUNS = Counter "migration_runs_total" ["service", "outcome"]
        "Migrations in the journal by outcome.";
    MIGRATION_DURATION = Gauge "migration_duration_seconds" ["service"]
        "How long the last migration took.";
    MIGRATION_PENDING = Gauge "migration_pending" ["service"]
        "1 when the last look found a migration that is not applied, 0 when it found none.";
    SERVICE_UP = Gauge "service_up" ["service"]
        "1 when the service does its work (running and not failing, or a one-shot that ended with 0), else 0.";
    SERVICE_HEALTH = Gauge "service_health" ["service", "state"]
        "1 for the service's verdict, 0 for the other states.";
    SERVICE_RESTARTS = Counter "service_restarts_total" ["service"]
        "How often Docker restarted the service's container.";
    STACK_HEALTH = Gauge "stack_health" ["state"]
        "1 for the verdict on the whole stack, 0 for the other states.";
    PROBE_DURATION = Gauge "probe_duration_seconds" ["service"]
        "How long the newest answer of the service's health probe took.";
    CONFIG_ERRORS = Gauge "config_errors" []
        "Labels and variables that are wrong; the page and `status` name them.";
    CHANNEL_UP = Gauge "notification_channel_up" ["channel"]
        "1 when the channel took its newest message or check, 0 when it did not; none before the first.";
    DISK_FREE = Gauge "disk_free_bytes" ["path"]
        "Free bytes where backups are kept.";
    CONTAINER_CPU = Counter "container_cpu_seconds_total" ["service"]
        "CPU time of the service's container.";
    CONTAINER_MEMORY = Gauge "container_memory_bytes" ["service"]
        "Memory of the service's container.";
    POSTGRES_UP = Gauge "postgres_up" ["service"]
        "1 when the server answered the last look, else 0.";
    POSTGRES_CONNECTIONS = Gauge "postgres_connections" ["service"]
        "Client connections of the server.";
    POSTGRES_MAX_CONNECTIONS = Gauge "postgres_max_connections" ["service"]
        "Client connections the server allows.";
    POSTGRES_SIZE = Gauge "postgres_size_bytes" ["service"]
        "Size of all databases of the server.";
    POSTGRES_LONGEST_TRANSACTION = Gauge "postgres_longest_transaction_seconds" ["service"]
        "Age of the longest open transaction.";
    JOBS_IN_PROGRESS = Gauge "job_in_progress" ["kind"]
        "Jobs of this kind that run now.";
}
