//! The one place that writes to standard output and standard error.

use std::io::Write;

use serde::Serialize;

use super::ExitStatus;

/// Writes answers and problems.
pub(super) struct Printer {
    output: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
}

impl Printer {
    /// To the process's own streams.
    pub(super) fn standard() -> Self {
        Self {
            output: Box::new(std::io::stdout()),
            errors: Box::new(std::io::stderr()),
        }
    }

    /// One line of an answer.
    pub(super) fn line(&mut self, text: &str) {
        // Whoever reads may have gone (`| head`); the exit code still tells.
        drop(writeln!(self.output, "{text}"));
    }

    /// An answer for programs.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            self.line(&text);
        }
    }

    /// What went wrong, one sentence.
    pub(super) fn problem(&mut self, text: &str) {
        drop(writeln!(self.errors, "stackwarden: {text}"));
    }

    /// A mistake in the arguments, or the help that was asked for.
    pub(super) fn usage(&mut self, error: &clap::Error) -> ExitStatus {
        let text = error.render().to_string();
        if error.use_stderr() {
            drop(write!(self.errors, "{text}"));
            ExitStatus::Usage
        } else {
            drop(write!(self.output, "{text}"));
            ExitStatus::Done
        }
    }

    /// A table with a heading; every column as wide as its widest cell.
    pub(super) fn table(&mut self, heading: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            let title = heading.get(column).map_or(0, |title| title.chars().count());
            cells.max().unwrap_or(0).max(title)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        let titles: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
        for row in std::iter::once(&titles).chain(rows) {
            let padded = row.iter().zip(&widths).map(|(cell, width)| {
                let missing = width.saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(missing))
            });
            self.line(padded.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}
