//! The README's first command: both stacks behind real Traefik, scraped by real Prometheus.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Ran, SOON, docker, finish, image_tag, run, wait_until};

const STACKS: [(&str, &str); 2] = [
    ("recyclic-prod", "ops.recyclic.localhost"),
    ("recyclic-staging", "ops.devrecyclic.localhost"),
];

/// The demo with ports of its own, taken away when the test ends.
struct Demo {
    port: String,
    prometheus: String,
}

impl Demo {
    fn new() -> Self {
        let running = docker(&[
            "ps",
            "-aq",
            "--filter",
            "label=com.docker.compose.project=recyclic-prod",
        ])
        .ok();
        assert_eq!(
            running, "",
            "the demo is running: take it away with `make demo-down`"
        );
        Self {
            port: free_port(),
            prometheus: free_port(),
        }
    }

    fn script(&self, arguments: &[&str]) -> Ran {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/demo");
        let mut command = Command::new(script);
        command
            .args(arguments)
            .env("DEMO_PORT", &self.port)
            .env("DEMO_PROMETHEUS_PORT", &self.prometheus)
            .env("STACKWARDEN_TAG", image_tag());
        finish(&mut command, None)
    }

    fn through_traefik(&self, host: &str, path: &str, more: &[&str]) -> Ran {
        let (host, url) = (
            format!("Host: {host}"),
            format!("http://127.0.0.1:{}{path}", self.port),
        );
        run(
            "curl",
            &[
                &["-s", "-w", "%{stderr}%{http_code}", "-H", &host, &url],
                more,
            ]
            .concat(),
            None,
        )
    }

    fn prometheus(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.prometheus);
        run("curl", &["-sS", "-f", &url], None).json()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let removed = self.script(&["down"]);
        if removed.code != 0 {
            eprintln!("{}", removed.said());
        }
    }
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .local_addr()
        .expect("its number")
        .port()
        .to_string()
}

fn containers(project: &str) -> String {
    let filter = format!("label=com.docker.compose.project={project}");
    docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]).ok()
}

#[test]
fn the_demo_is_proven_well_and_scraped_through_traefik_and_a_second_run_changes_nothing() {
    let demo = Demo::new();
    let said = demo.script(&[]).ok();
    assert_eq!(said.matches(": first proven backup ").count(), 2, "{said}");
    for (project, host) in STACKS {
        let stranger = demo.through_traefik(host, "/metrics", &[]);
        assert_eq!(
            stranger.stderr, "401",
            "{project}: metrics are behind a password"
        );
        wait_until("a stack that is well", SOON, || {
            let health = demo.through_traefik(host, "/health", &[]);
            if health.json()["status"] == "pass" {
                Ok(())
            } else {
                Err(health.said())
            }
        });
        let metrics = demo
            .through_traefik(host, "/metrics", &["-u", "ops:demo"])
            .stdout;
        let verified = "stackwarden_backup_last_verified_timestamp_seconds";
        let at_content = metrics
            .lines()
            .any(|line| line.starts_with(verified) && line.contains("level=\"content\""));
        assert!(at_content, "{project}: {metrics}");
    }
    prometheus_knows_both_and_no_rule_of_ours_fires(&demo);
    let before: Vec<String> = STACKS.map(|(project, _)| containers(project)).to_vec();
    let kept = || STACKS.map(|(project, _)| pre_migration_backups(project));
    let backups = kept();
    assert_eq!(backups, [1, 1], "the gate migrated each behind one backup");
    for (project, _) in STACKS {
        let first = listed(project).into_iter().find(is_first);
        let revision = first.map(|it| it["revision"].clone());
        assert_eq!(
            revision,
            Some("0002_seed".into()),
            "{project}: the first backup holds what was migrated"
        );
    }
    drop(demo.script(&[]).ok());
    let after: Vec<String> = STACKS.map(|(project, _)| containers(project)).to_vec();
    assert_eq!(after, before, "a second run recreates nothing");
    assert_eq!(kept(), backups, "and its gate had nothing to do");
    drop(demo.script(&["down"]).ok());
    for (project, _) in STACKS {
        assert_eq!(containers(project), "", "{project} is gone");
    }
}

fn prometheus_knows_both_and_no_rule_of_ours_fires(demo: &Demo) {
    let query = "query?query=stackwarden_backup_last_success_timestamp_seconds";
    wait_until("Prometheus has both stacks", SOON, || {
        let answer = demo.prometheus(query);
        let series = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let has = |stack: &str| series.iter().any(|it| it["metric"]["stack"] == stack);
        if STACKS.iter().all(|(stack, _)| has(stack)) {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    });
    let rules = demo.prometheus("rules");
    let groups = rules["data"]["groups"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let rules: Vec<Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
        .collect();
    assert!(rules.len() >= 4, "the alert rules are loaded: {rules:?}");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        // What was read before the first backup may be pending still.
        assert_ne!(rule["state"], "firing", "{rule}");
    }
}

fn listed(project: &str) -> Vec<Value> {
    let sidecar = format!("{project}-stackwarden-1");
    let listed = docker(&["exec", &sidecar, "/stackwarden", "--json", "backups"]).json();
    let mut backups = listed.as_array().cloned().unwrap_or_default();
    backups.retain(|it| it["content"] == "database");
    backups
}

fn is_first(backup: &Value) -> bool {
    backup["reason"] == "first"
}

fn pre_migration_backups(project: &str) -> usize {
    let backups = listed(project).into_iter();
    backups.filter(|it| it["reason"] == "pre-migration").count()
}
