//! Text of unknown size, kept as its head and its tail.

use std::collections::VecDeque;

const KEPT_EACH: usize = 16 * 1024;

/// The first and the last 16 KiB of what was pushed.
#[derive(Debug, Default)]
pub(super) struct HeadAndTail {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl HeadAndTail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = KEPT_EACH.saturating_sub(self.head.len());
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(KEPT_EACH);
        self.tail.drain(..excess);
        self.left_out += excess as u64;
    }

    pub(super) fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            let notice = format!("\n… {} bytes left out …\n", self.left_out);
            bytes.extend_from_slice(notice.as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_kept_whole() {
        let mut kept = HeadAndTail::default();
        kept.push(b"one ");
        kept.push(b"two");
        assert_eq!(kept.text(), "one two");
    }

    #[test]
    fn a_long_text_keeps_its_ends_and_counts_the_rest() {
        let mut kept = HeadAndTail::default();
        kept.push(b"begin");
        for _ in 0..100 {
            kept.push(&[b'x'; 1024]);
        }
        kept.push(b"end");
        let text = kept.text();
        assert!(text.starts_with("begin") && text.ends_with("end"));
        let left_out = 5 + 100 * 1024 + 3 - 2 * KEPT_EACH;
        assert!(text.contains(&format!("{left_out} bytes left out")));
        assert!(text.len() < 2 * KEPT_EACH + 100);
    }
}
