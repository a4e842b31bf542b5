//! An answer that stays right until the picture changes or a second passes.
//!
//! Keeps floods of `/health` and `/metrics` cheap in time and memory: all of them share one body.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::board::Picture;
use crate::domain::unit::Timestamp;

#[derive(Debug)]
struct Entry<T> {
    // Weak, so that an old picture is not kept alive; its address cannot be reused meanwhile.
    picture: Weak<Picture>,
    second: i64,
    value: T,
}

/// The newest answer of its kind.
#[derive(Debug)]
pub(super) struct Cached<T>(watch::Sender<Option<Entry<T>>>);

impl<T: Clone> Cached<T> {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The answer for this picture and second, made anew when there is none.
    pub(super) fn get(
        &self,
        picture: &Arc<Picture>,
        now: Timestamp,
        make: impl FnOnce() -> T,
    ) -> T {
        let (weak, second) = (Arc::downgrade(picture), now.timestamp());
        if let Some(entry) = self.0.borrow().as_ref()
            && entry.second == second
            && entry.picture.ptr_eq(&weak)
        {
            return entry.value.clone();
        }
        let value = make();
        self.0.send_replace(Some(Entry {
            picture: weak,
            second,
            value: value.clone(),
        }));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn an_answer_is_made_anew_for_another_picture_or_another_second() {
        let board = fixture::board();
        let cached = Cached::new();
        let ask = |second, value| {
            let picture = board.read();
            cached.get(&picture, fixture::at(second), || value)
        };
        assert_eq!(ask(1, 1), 1);
        assert_eq!(ask(1, 2), 1);
        assert_eq!(ask(2, 3), 3);
        board.update(|picture| picture.problems.push("new".into()));
        assert_eq!(ask(2, 4), 4);
    }
}
