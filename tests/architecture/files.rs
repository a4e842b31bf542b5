//! The files the rules are read off.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::source::Source;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder (or the file itself) with this ending, in order, their path from the root and their text.
pub fn files(below: &str, ending: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let (mut found, mut waiting) = (Vec::new(), vec![root().join(below)]);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries: Result<Vec<PathBuf>, _> = fs::read_dir(&path)?
                .map(|entry| entry.map(|it| it.path()))
                .collect();
            waiting.extend(entries?);
        } else if path.to_string_lossy().ends_with(ending) {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            found.push((path.strip_prefix(root())?.display().to_string(), text));
        }
    }
    found.sort();
    Ok(found)
}

pub fn sources(below: &str) -> Result<Vec<Source>, Box<dyn Error>> {
    Ok(files(below, ".rs")?
        .iter()
        .map(|(path, text)| Source::new(path, text))
        .collect())
}

/// What becomes part of the program.
pub fn product() -> Result<Vec<Source>, Box<dyn Error>> {
    let all = sources("src")?;
    let tests: BTreeSet<String> = all.iter().flat_map(|it| it.test_modules.clone()).collect();
    Ok(all
        .into_iter()
        .filter(|source| !tests.contains(&source.path))
        .collect())
}

pub fn papers() -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut found = files("docs", ".md")?;
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ] {
        found.extend(files(name, ".md")?);
    }
    Ok(found)
}

pub fn assert_none(complaints: &[String], rule: &str) {
    assert!(
        complaints.is_empty(),
        "{rule}:\n  {}",
        complaints.join("\n  ")
    );
}
