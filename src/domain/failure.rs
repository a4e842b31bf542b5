//! What a failure asks for: to try again, to stop, or nothing because we were told to stop.

/// The one question retries ask of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The same call may succeed later.
    Transient,
    /// The same call fails the same way until somebody changes something.
    Permanent,
    /// We were asked to stop.
    Cancelled,
}

/// An error and its whole chain of sources in one line, for the place that consumes it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Text that may be shown: its head and tail, since one failed LOCK statement can hold hundreds of KB.
pub fn bounded(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let half = limit / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head} … {} characters left out … {tail}", count - 2 * half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_head_and_tail() {
        let text = format!("head{}tail", "x".repeat(1000));
        let short = bounded(&text, 20);
        assert!(
            short.starts_with("head") && short.ends_with("tail") && short.len() < 100,
            "{short}"
        );
        assert_eq!(bounded("short", 20), "short");
    }
}
