//! A cause as a message may show it.

/// The longest line of a cause in a message.
const LONGEST: usize = 300;

/// The first line, and the last where there are several (a program's last words end with the reason), without
/// credentials of an address and not too long.
///
/// Errors of ours hold no secret; what a migration's own program said last may.
pub fn one_sentence(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().map(shown);
    match (first, lines.next_back().map(shown)) {
        (Some(first), Some(last)) => format!("{first} … {last}"),
        (Some(only), None) => only,
        (None, _) => "no reason was given".to_owned(),
    }
}

fn shown(line: &str) -> String {
    let masked: Vec<String> = line.split_whitespace().map(mask).collect();
    let masked = masked.join(" ");
    if masked.chars().count() <= LONGEST {
        return masked;
    }
    let head: String = masked.chars().take(LONGEST).collect();
    format!("{head} …")
}

/// `scheme://user:password@host` loses what stands before the `@`; `password=…` its value.
fn mask(word: &str) -> String {
    let mut shown = word.to_owned();
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((_credentials, host)) = rest.rsplit_once('@')
    {
        shown = format!("{scheme}://***@{host}");
    }
    let lower = shown.to_ascii_lowercase();
    for name in ["password=", "pwd=", "passwd=", "token=", "secret="] {
        // Lowering ASCII moves nothing, so that the place is the same in both.
        if let Some(found) = lower.find(name)
            && let Some(head) = shown.get(..found + name.len())
        {
            return format!("{head}***");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_short_and_without_credentials() {
        let text = "\n  cannot reach postgres://app:hunter2@db:5432/app (password=hunter2)\n";
        let one = "cannot reach postgres://***@db:5432/app (password=***";
        assert_eq!(one_sentence(text), one);
        let traced = "failed with code 1; its last words: Traceback:\n  File x\nKeyError: 'a'\n\n";
        let wanted = "failed with code 1; its last words: Traceback: … KeyError: 'a'";
        assert_eq!(one_sentence(traced), wanted);
        assert_eq!(one_sentence(" \n"), "no reason was given");
        assert!(one_sentence(&"é".repeat(9_000)).chars().count() < 310);
    }
}
