//! The papers are true: metrics, paths, links, dependencies and compose files they name exist.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Checked;
use super::files::{assert_none, files, papers, root};
use super::tokens::is_in_word;

/// Names of metric families in a text, without the prefix.
fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !is_in_word(letter));
    words
        .filter_map(|word| word.strip_prefix("stackwarden_"))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn rules_and_reference_name_the_metrics_there_are() -> Checked {
    let source = fs::read_to_string(root().join("src/observe/metrics/family.rs"))?;
    let declared = source.lines().filter_map(|line| {
        line.split_once("= Gauge \"")
            .or(line.split_once("= Counter \""))
            .or(line.split_once("= Histogram \""))
    });
    let declared: BTreeSet<String> = declared
        .filter_map(|(_, rest)| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    assert!(
        declared.len() > 20,
        "families are declared in another way now: {declared:?}"
    );
    let page = fs::read_to_string(root().join("docs/reference/metrics.md"))?;
    assert_eq!(
        metric_names(&page),
        declared,
        "docs/reference/metrics.md, and the families of src/observe/metrics/family.rs"
    );
    for (path, text) in files("dashboards", ".yml")?.into_iter().chain(papers()?) {
        let unknown: Vec<String> = metric_names(&text).difference(&declared).cloned().collect();
        assert_none(&unknown, &format!("{path} names metrics that do not exist"));
    }
    Ok(())
}

#[test]
fn the_reference_names_every_path_and_every_dependency_has_a_reason() -> Checked {
    let routes = fs::read_to_string(root().join("src/http/route.rs"))?;
    let page = fs::read_to_string(root().join("docs/reference/http.md"))?;
    let paths = routes
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| *path != "/v1/");
    let is_named =
        |path: &str| page.contains(&format!("`{path}`")) || page.contains(&format!("`/v1{path}`"));
    let missing: Vec<String> = paths
        .filter(|path| !is_named(path))
        .map(str::to_owned)
        .collect();
    assert_none(&missing, "docs/reference/http.md does not name");
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let needed = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let reasons = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let unexplained = needed
        .filter_map(|line| line.split_once(" ="))
        .filter(|(name, _)| !reasons.contains(&format!("`{name}`")));
    let unexplained: Vec<String> = unexplained.map(|(name, _)| name.to_owned()).collect();
    assert_none(&unexplained, "ARCHITECTURE.md gives no reason for");
    Ok(())
}

#[test]
fn links_in_the_papers_lead_somewhere() -> Checked {
    let mut dead = Vec::new();
    for (path, text) in papers()? {
        let folder = root()
            .join(&path)
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        let local = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        dead.extend(
            local
                .filter(|target| !folder.join(target).exists())
                .map(|target| format!("{path}: {target}")),
        );
    }
    assert_none(&dead, "these links are dead");
    Ok(())
}

#[test]
fn compose_takes_every_file_the_papers_show() -> Checked {
    let (mut complaints, mut seen) = (Vec::new(), 0);
    for (path, text) in papers()? {
        let blocks = text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("\n```").next());
        for block in blocks.filter(|block| block.lines().any(|line| line == "services:")) {
            seen += 1;
            let mut compose = Command::new("docker");
            compose.args([
                "compose",
                "--project-name",
                "papers",
                "--file",
                "-",
                "config",
                "--quiet",
            ]);
            compose
                .current_dir(root())
                .stdin(Stdio::piped())
                .stderr(Stdio::piped());
            let mut running = compose.spawn().map_err(|error| {
                format!("docker compose does not run, `make tools` installs it: {error}")
            })?;
            running
                .stdin
                .take()
                .ok_or("no standard input")?
                .write_all(block.as_bytes())?;
            let ended = running.wait_with_output()?;
            if !ended.status.success() || !ended.stderr.is_empty() {
                complaints.push(format!(
                    "{path}: {}\n{block}",
                    String::from_utf8_lossy(&ended.stderr)
                ));
            }
        }
    }
    assert_none(&complaints, "docker compose config refuses, or warns of");
    assert!(
        seen > 2,
        "only {seen} compose files were found in the papers"
    );
    Ok(())
}
