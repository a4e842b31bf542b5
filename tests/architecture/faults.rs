//! The fault table: each step of a backup, of a proof, of a restore and of what happens in the bucket, each kind of fault, what remains, and the test that shows it.
//!
//! docs/faults.md is written from it (`STACKWARDEN_BLESS=1`), and a cell may only name a test that there is: so neither the
//! page nor the tests can drift away alone.

#[path = "faults/backup.rs"]
mod backup;
#[path = "faults/restore.rs"]
mod restore;

use std::fmt::Write as _;
use std::fs;

use super::Checked;
use super::files::{assert_none, root};
use backup::{BACKUP, PROOF};
use restore::{BUCKET, RESTORE};

/// What goes wrong, in the order of the columns.
const FAULTS: [&str; 5] = ["error", "hang", "cancel", "kill -9", "disk full"];

/// One cell.
enum Cell {
    /// What remains, and where it is shown: a file below tests/service and the test's name.
    Shown(&'static str, &'static str),
    /// There is nothing that this fault could hit, and why.
    Void(&'static str),
    /// Not shown by injecting it, and why not.
    Reason(&'static str),
}
use Cell::{Reason, Shown, Void};

fn table(rows: &[(&str, [Cell; 5])]) -> String {
    let cells = || rows.iter().flat_map(|(_, cells)| cells);
    let shown = cells().filter(|cell| matches!(cell, Shown(..))).count();
    let void = cells().filter(|cell| matches!(cell, Void(_))).count();
    let left = cells().count() - shown - void;
    let mut text = format!(
        "{shown} of {} are shown, {void} have nothing to hit, {left} not injected.\n\n",
        cells().count()
    );
    text.push_str("| step | fault | what remains | shown by |\n|---|---|---|---|\n");
    for (step, cells) in rows {
        for (fault, cell) in FAULTS.iter().zip(cells) {
            let (remains, by) = match cell {
                Shown(remains, by) => (
                    *remains,
                    format!("`{}`", by.split("::").next().unwrap_or(by)),
                ),
                Void(reason) => (*reason, "nothing to hit".to_owned()),
                Reason(reason) => (*reason, "not injected".to_owned()),
            };
            // Writing to a text does not fail.
            let _written = writeln!(text, "| {step} | {fault} | {remains} | {by} |");
        }
    }
    text
}

#[test]
fn the_page_of_faults_is_what_the_table_says() -> Checked {
    let path = root().join("docs/faults.md");
    let page = fs::read_to_string(&path)?;
    let (head, rest) = page
        .split_once("## A backup\n")
        .ok_or("docs/faults.md has no part `## A backup`")?;
    let tail = rest
        .find("\n## The engine")
        .ok_or("docs/faults.md has no part `## The engine`")?;
    let wanted = format!(
        "{head}## A backup\n\n{}\n## A proof\n\n{}\n## A restore\n\n{}\n## The bucket\n\n{}{}",
        table(&BACKUP),
        table(&PROOF),
        table(&RESTORE),
        table(&BUCKET),
        rest.get(tail..).unwrap_or_default()
    );
    if std::env::var_os("STACKWARDEN_BLESS").is_some() {
        fs::write(&path, &wanted)?;
        return Ok(());
    }
    assert!(
        page == wanted,
        "docs/faults.md is not what tests/architecture/faults.rs says; run the tests with STACKWARDEN_BLESS=1"
    );
    Ok(())
}

/// A test's file, with its parts.
fn source_of(file: &str) -> Result<String, std::io::Error> {
    let path = root().join(format!("tests/service/{file}.rs"));
    let mut source = fs::read_to_string(&path)?;
    if let Ok(parts) = fs::read_dir(path.with_extension("")) {
        for part in parts {
            let part = part?.path();
            if part.is_file() {
                source.push_str(&fs::read_to_string(part)?);
            }
        }
    }
    Ok(source)
}

#[test]
fn every_cell_of_the_fault_table_names_a_test_that_there_is() -> Checked {
    let mut wrong = Vec::new();
    let all = BACKUP.iter().chain(&PROOF).chain(&RESTORE).chain(&BUCKET);
    let cells = all.flat_map(|(step, cells)| {
        FAULTS
            .iter()
            .zip(cells)
            .map(move |(fault, cell)| (step, fault, cell))
    });
    for (step, fault, cell) in cells {
        let Shown(_, test) = cell else { continue };
        let (file, name) = test
            .split_once("::")
            .ok_or("a test is written file::name")?;
        let source = source_of(file)?;
        // Where a test has many cases, each has its name there: in one piece, or made of its two parts.
        let is_case = !file.starts_with("faults/")
            || source.contains(&format!("{step}: {fault}"))
            || (source.contains(&format!("\"{step}\""))
                && (source.contains(&format!("\"{fault}\""))
                    || source.contains(&format!("}}: {fault}"))));
        if !source.contains(&format!("#[test]\nfn {name}(")) || !is_case {
            wrong.push(format!("{step}: {fault}: {test}"));
        }
    }
    assert_none(
        &wrong,
        "the fault table names tests or cases that do not exist",
    );
    Ok(())
}
