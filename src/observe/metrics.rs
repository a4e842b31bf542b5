//! Metric series in Prometheus' text format.
//!
//! Knows `domain` and the prometheus crate. Gauges are read from the picture at each scrape into a
//! fresh [`Scrape`], so that series of what vanished vanish with it and two scrapes cannot disturb each
//! other; counters and histograms live here and are fed by events. Invariants: every family of
//! [`FAMILIES`] has its `# TYPE` line in every answer; label values are configured names and enums.

mod family;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::core::Metric as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use thiserror::Error;

use crate::domain::backup::Content;
use crate::domain::id::ServiceName;
use crate::domain::job::Outcome;
use crate::domain::objective::Objectives;
use crate::domain::unit::Timestamp;

pub use family::*;

/// What Prometheus 3 wants to read in `Content-Type`, to the letter.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// From a dump of nothing to three hours, about a factor of three each.
const BUCKETS: [f64; 10] = [
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0,
];

/// Cannot occur in names: Docker, Postgres and our enums have no NUL.
const SEPARATOR: char = '\0';

/// The parts of a backup whose time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Snapshot and dump, to the last byte on its destination.
    Dump,
    /// The digests of the snapshot, as far as they went on behind the dump.
    Digest,
    /// Reading back, hash and full decoding.
    Archive,
    /// Rename, manifest and their fsyncs.
    Publish,
    /// From the job's begin to the manifest.
    Total,
    /// Restore into a throw-away server and comparison.
    Proof,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 6] = [
        Self::Dump,
        Self::Digest,
        Self::Archive,
        Self::Publish,
        Self::Total,
        Self::Proof,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::Digest => "digest",
            Self::Archive => "archive",
            Self::Publish => "publish",
            Self::Total => "total",
            Self::Proof => "proof",
        }
    }
}

/// One ended backup of one series.
#[derive(Debug, Clone)]
pub struct BackupMeasurement {
    /// The service of the server.
    pub service: ServiceName,
    /// The database, or the roles.
    pub content: Content,
    /// How it ended.
    pub outcome: Outcome,
    /// What its stages took, as far as it came.
    pub stages: Vec<(Stage, Duration)>,
}

/// One ended proof of one series.
#[derive(Debug, Clone)]
pub struct ProofMeasurement {
    /// The service of the server.
    pub service: ServiceName,
    /// The database.
    pub content: Content,
    /// How long it took.
    pub took: Duration,
}

/// Why the metrics could not be set up.
#[derive(Debug, Error)]
#[error("cannot set up metric {name}")]
pub struct MetricsError {
    name: &'static str,
    #[source]
    source: prometheus::Error,
}

/// Counters, histograms and the process's own figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    objectives: Objectives,
    runs: IntCounterVec,
    durations: HistogramVec,
}

impl Metrics {
    /// Begins counting at zero.
    ///
    /// # Errors
    /// When the prometheus crate refuses a name of ours; a mistake in this code.
    pub fn new(objectives: Objectives) -> Result<Self, MetricsError> {
        let at = |name| move |source| MetricsError { name, source };
        let registry = Registry::new();
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .map_err(at("process"))?;
        // The crate hashes label values without a separator: ("a", "bc") and ("ab", "c") would share
        // one series. One label that holds the whole key cannot be confused; `Scrape` spells it out.
        let runs = Opts::new(BACKUP_RUNS.name(), "series");
        let runs = IntCounterVec::new(runs, &["key"]).map_err(at(BACKUP_RUNS.name()))?;
        let durations = HistogramOpts::new(BACKUP_DURATION.name(), "series");
        let durations = durations.buckets(BUCKETS.to_vec());
        let durations =
            HistogramVec::new(durations, &["key"]).map_err(at(BACKUP_DURATION.name()))?;
        Ok(Self {
            registry,
            objectives,
            runs,
            durations,
        })
    }

    /// Counts an ended backup.
    pub fn backup_ended(&self, backup: &BackupMeasurement) {
        let database = database_label(&backup.content);
        let key = |word| series_key(backup.service.as_str(), &database, word);
        let runs = key(backup.outcome.as_str());
        self.runs.with_label_values(&[runs.as_str()]).inc();
        for (stage, took) in &backup.stages {
            self.observe(&key(stage.as_str()), *took);
        }
    }

    /// Counts an ended proof.
    pub fn proof_ended(&self, proof: &ProofMeasurement) {
        let database = database_label(&proof.content);
        let word = Stage::Proof.as_str();
        self.observe(
            &series_key(proof.service.as_str(), &database, word),
            proof.took,
        );
    }

    /// Begins an answer.
    pub fn scrape(&self) -> Scrape<'_> {
        let mut scrape = Scrape {
            metrics: self,
            samples: BTreeMap::new(),
        };
        scrape.put(&BUILD, [env!("CARGO_PKG_VERSION")], 1.0);
        let Objectives {
            recovery_point,
            recovery_time,
        } = self.objectives;
        scrape.put(&RPO, [], recovery_point.as_secs_f64());
        scrape.put(&RTO, [], recovery_time.as_secs_f64());
        scrape
    }

    fn observe(&self, key: &str, took: Duration) {
        self.durations
            .with_label_values(&[key])
            .observe(took.as_secs_f64());
    }
}

/// The label value of a series: the database's name, `globals` for the roles, and `%67lobals` for a
/// database of that name, as its folder is called.
pub fn database_label(content: &Content) -> Cow<'_, str> {
    const GLOBALS: &str = "globals";
    match content {
        Content::Globals => Cow::Borrowed(GLOBALS),
        Content::Database(name) if name.as_str() == GLOBALS => Cow::Borrowed("%67lobals"),
        Content::Database(name) => Cow::Borrowed(name.as_str()),
    }
}

/// Seconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 stay exact for longer than Postgres' own timestamps"
)]
pub fn seconds(at: Timestamp) -> f64 {
    at.timestamp() as f64
}

/// A count as Prometheus has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are 64-bit floats; beyond 2^53 the last digits do not matter"
)]
pub fn count(number: u64) -> f64 {
    number as f64
}

/// One answer while it is put together.
#[derive(Debug)]
pub struct Scrape<'a> {
    metrics: &'a Metrics,
    samples: BTreeMap<&'static str, Vec<Metric>>,
}

impl Scrape<'_> {
    /// Adds one sample; label values stand in the family's own order.
    pub fn put<const LABELS: usize>(
        &mut self,
        family: &Family<LABELS>,
        values: [&str; LABELS],
        value: f64,
    ) {
        let mut sample = Metric::from_label(pair(family, values));
        match family.kind() {
            FamilyKind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            FamilyKind::Gauge | FamilyKind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
        }
        self.samples.entry(family.name()).or_default().push(sample);
    }

    /// Adds what was counted for one series; what never happened is 0, so that the first event shows.
    pub fn put_backup_counts(&mut self, service: &ServiceName, content: &Content) {
        let database = database_label(content);
        let service = service.as_str();
        for outcome in Outcome::ALL {
            let word = outcome.as_str();
            let key = series_key(service, &database, word);
            let runs = self.metrics.runs.with_label_values(&[key.as_str()]).get();
            self.put(&BACKUP_RUNS, [service, &database, word], count(runs));
        }
        for stage in Stage::ALL {
            let word = stage.as_str();
            let key = series_key(service, &database, word);
            let histogram = self.metrics.durations.with_label_values(&[key.as_str()]);
            let mut sample = histogram.metric();
            sample.set_label(pair(&BACKUP_DURATION, [service, &database, word]));
            let family = self.samples.entry(BACKUP_DURATION.name()).or_default();
            family.push(sample);
        }
    }

    /// The answer in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When the prometheus crate refuses a family; a mistake in this code.
    pub fn finish(mut self) -> Result<String, MetricsError> {
        let at = |name| move |source| MetricsError { name, source };
        let encoder = TextEncoder::new();
        let mut text = String::new();
        for declaration in FAMILIES {
            let Some(samples) = self.samples.remove(declaration.name) else {
                text.push_str(&empty_family(declaration));
                continue;
            };
            encoder
                .encode_utf8(&[family_of(declaration, samples)], &mut text)
                .map_err(at(declaration.name))?;
        }
        encoder
            .encode_utf8(&self.metrics.registry.gather(), &mut text)
            .map_err(at("process"))?;
        Ok(text)
    }
}

fn series_key(service: &str, database: &str, word: &str) -> String {
    format!("{service}{SEPARATOR}{database}{SEPARATOR}{word}")
}

fn pair<const LABELS: usize>(family: &Family<LABELS>, values: [&str; LABELS]) -> Vec<LabelPair> {
    let pairs = family.labels().iter().zip(values);
    pairs
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        })
        .collect()
}

fn family_of(declaration: &Declaration, samples: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{PREFIX}{}", declaration.name));
    family.set_help(declaration.help.to_owned());
    family.set_field_type(match declaration.kind {
        FamilyKind::Gauge => MetricType::GAUGE,
        FamilyKind::Counter => MetricType::COUNTER,
        FamilyKind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(samples);
    family
}

/// The crate refuses a family without samples, but the reader wants to know that it exists.
fn empty_family(declaration: &Declaration) -> String {
    let Declaration {
        name, help, kind, ..
    } = declaration;
    let kind = kind.as_str();
    format!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::id::DatabaseName;

    fn metrics() -> Metrics {
        Metrics::new(Objectives {
            recovery_point: Duration::from_hours(24),
            recovery_time: Duration::from_hours(4),
        })
        .unwrap()
    }

    fn database(name: &str) -> Content {
        Content::Database(DatabaseName::new(name))
    }

    fn ended(service: &str, content: Content, outcome: Outcome) -> BackupMeasurement {
        BackupMeasurement {
            service: ServiceName::new(service),
            content,
            outcome,
            stages: vec![(Stage::Dump, Duration::from_secs(2))],
        }
    }

    #[test]
    fn every_family_is_there_before_anything_is_known() {
        let text = metrics().scrape().finish().unwrap();
        for declaration in FAMILIES {
            let kind = declaration.kind.as_str();
            let line = format!("# TYPE {PREFIX}{} {kind}\n", declaration.name);
            assert_eq!(text.matches(&line).count(), 1, "{line}");
        }
        assert!(text.contains("stackwarden_rpo_objective_seconds 86400\n"));
        assert!(text.contains("# TYPE process_resident_memory_bytes gauge\n"));
    }

    #[test]
    fn family_names_are_unique_and_counters_end_in_total() {
        let names: BTreeSet<_> = FAMILIES.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for family in FAMILIES {
            let is_total = family.name.ends_with("_total");
            assert_eq!(is_total, family.kind == FamilyKind::Counter, "{family:?}");
        }
    }

    #[test]
    fn names_that_join_to_the_same_text_are_counted_apart() {
        let metrics = metrics();
        metrics.backup_ended(&ended("a", database("bc"), Outcome::Failed));
        let mut scrape = metrics.scrape();
        scrape.put_backup_counts(&ServiceName::new("a"), &database("bc"));
        scrape.put_backup_counts(&ServiceName::new("ab"), &database("c"));
        let text = scrape.finish().unwrap();
        let runs = "stackwarden_backup_runs_total";
        for line in [
            format!("{runs}{{service=\"a\",database=\"bc\",outcome=\"failed\"}} 1\n"),
            format!("{runs}{{service=\"ab\",database=\"c\",outcome=\"failed\"}} 0\n"),
            format!("{runs}{{service=\"ab\",database=\"c\",outcome=\"succeeded\"}} 0\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn durations_go_to_their_stage() {
        let metrics = metrics();
        metrics.backup_ended(&ended("db", database("app"), Outcome::Succeeded));
        metrics.proof_ended(&ProofMeasurement {
            service: ServiceName::new("db"),
            content: database("app"),
            took: Duration::from_millis(1500),
        });
        let mut scrape = metrics.scrape();
        scrape.put_backup_counts(&ServiceName::new("db"), &database("app"));
        let text = scrape.finish().unwrap();
        let sum = "stackwarden_backup_duration_seconds_sum{service=\"db\",database=\"app\"";
        assert!(
            text.contains(&format!("{sum},stage=\"dump\"}} 2\n")),
            "{text}"
        );
        assert!(text.contains(&format!("{sum},stage=\"proof\"}} 1.5\n")));
        assert!(text.contains(&format!("{sum},stage=\"archive\"}} 0\n")));
    }

    #[test]
    fn a_series_that_is_not_put_again_is_gone() {
        let metrics = metrics();
        let mut scrape = metrics.scrape();
        scrape.put(&SERVICE_UP, ["api"], 1.0);
        assert!(
            scrape
                .finish()
                .unwrap()
                .contains("service_up{service=\"api\"} 1\n")
        );
        assert!(
            !metrics
                .scrape()
                .finish()
                .unwrap()
                .contains("service=\"api\"")
        );
    }

    #[test]
    fn a_database_called_globals_is_not_the_roles() {
        assert_eq!(database_label(&Content::Globals), "globals");
        assert_eq!(database_label(&database("globals")), "%67lobals");
    }

    #[test]
    fn label_values_are_escaped() {
        let metrics = metrics();
        let mut scrape = metrics.scrape();
        scrape.put(&DISK_FREE, ["/a \"b\"\\\n"], 1.0);
        let text = scrape.finish().unwrap();
        assert!(
            text.contains("{path=\"/a \\\"b\\\"\\\\\\n\"} 1\n"),
            "{text}"
        );
    }
}
