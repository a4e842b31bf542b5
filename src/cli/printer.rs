//! The one place that writes to standard output and standard error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::ExitStatus;
use crate::domain::unit::ByteCount;
use crate::http::wire::DoingWire;

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

    /// Whether there is somebody to be asked.
    pub(super) fn can_ask() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks, and reads one line; `None` at the end of the input.
    pub(super) async fn ask(&mut self, question: &str) -> Option<String> {
        drop(write!(self.errors, "{question}"));
        drop(self.errors.flush());
        let (sender, answer) = tokio::sync::oneshot::channel();
        // A thread of its own, left behind when somebody interrupts instead of answering: the process ends without it.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = std::io::stdin().read_line(&mut line);
            if read.is_ok_and(|bytes| bytes > 0) {
                drop(sender.send(line.trim().to_owned()));
            }
        });
        answer.await.ok()
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

/// How wide a bar is.
const BAR: u64 = 24;

/// What a job is doing, on standard error: one line that changes on a terminal, a line for each step elsewhere.
pub(super) struct ProgressLine {
    errors: Box<dyn Write + Send>,
    screen: Screen,
    told: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Screen {
    Terminal,
    Lines,
}

impl ProgressLine {
    /// On the process's own standard error.
    pub(super) fn standard() -> Self {
        let errors = std::io::stderr();
        let screen = if errors.is_terminal() {
            Screen::Terminal
        } else {
            Screen::Lines
        };
        Self {
            errors: Box::new(errors),
            screen,
            told: String::new(),
        }
    }

    /// Shows what is being done, when that changed.
    pub(super) fn show(&mut self, doing: &DoingWire) {
        let text = match self.screen {
            Screen::Terminal => line_of(doing),
            Screen::Lines => format!("{}: {}", doing.subject, doing.step),
        };
        if text == self.told {
            return;
        }
        let written = match self.screen {
            Screen::Terminal => write!(self.errors, "\r\x1b[2K{text}"),
            Screen::Lines => writeln!(self.errors, "{text}"),
        };
        drop(written.and_then(|()| self.errors.flush()));
        self.told = text;
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.screen == Screen::Terminal && !self.told.is_empty() {
            drop(write!(self.errors, "\r\x1b[2K"));
            drop(self.errors.flush());
        }
    }
}

fn line_of(doing: &DoingWire) -> String {
    let mut line = format!("{}: {}", doing.subject, doing.step);
    if let Some(bytes) = doing.bytes {
        line = format!("{line} {}", ByteCount(bytes));
        if let Some(total) = doing.of_bytes.filter(|total| *total > 0) {
            let full = (bytes.saturating_mul(BAR) / total).min(BAR);
            let bar = |letter: &str, count: u64| letter.repeat(usize::try_from(count).unwrap_or(0));
            let (done, left) = (bar("#", full), bar("-", BAR - full));
            line = format!("{line} of about {} [{done}{left}]", ByteCount(total));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_shown_where_the_end_is_known() {
        let mut doing = DoingWire {
            subject: "postgres/app".into(),
            step: "dumping".into(),
            bytes: None,
            of_bytes: Some(2_000_000),
        };
        assert_eq!(line_of(&doing), "postgres/app: dumping");
        doing.bytes = Some(1_000_000);
        let half = "postgres/app: dumping 1.0 MB of about 2.0 MB [############------------]";
        assert_eq!(line_of(&doing), half);
        // The last dump was smaller.
        doing.bytes = Some(9_000_000);
        assert!(line_of(&doing).ends_with("[########################]"));
        doing.of_bytes = None;
        assert_eq!(line_of(&doing), "postgres/app: dumping 9.0 MB");
    }
}
