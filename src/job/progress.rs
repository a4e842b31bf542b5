//! Where jobs say what they are doing; whoever waits looks now and then.
//!
//! One job of each kind runs at a time in a process, so that a kind's present is its job's.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::job::JobKind;
use crate::domain::progress::{Doing, Step};
use crate::domain::unit::ByteCount;

/// The present of every kind of job; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    present: Arc<watch::Sender<BTreeMap<JobKind, Doing>>>,
}

impl Progress {
    /// A step begins.
    pub fn begin(&self, kind: JobKind, subject: &str, step: Step) {
        self.change(|present| {
            let doing = Doing {
                subject: subject.to_owned(),
                step,
                done: None,
                total: None,
            };
            drop(present.insert(kind, doing));
        });
    }

    /// The job goes on with another step.
    pub fn go_on(&self, kind: JobKind, step: Step) {
        self.change(|present| {
            if let Some(doing) = present.get_mut(&kind) {
                (doing.step, doing.done, doing.total) = (step, None, None);
            }
        });
    }

    /// So many bytes are to pass by in this step.
    pub fn expect(&self, kind: JobKind, total: ByteCount) {
        self.change(|present| {
            if let Some(doing) = present.get_mut(&kind) {
                doing.total = Some(total);
            }
        });
    }

    /// So many bytes more passed by.
    pub fn carry(&self, kind: JobKind, bytes: usize) {
        self.change(|present| {
            if let Some(doing) = present.get_mut(&kind) {
                let done = doing.done.unwrap_or_default().0;
                doing.done = Some(ByteCount(done.saturating_add(bytes as u64)));
            }
        });
    }

    /// Nothing is done any more.
    pub fn end(&self, kind: JobKind) {
        self.change(|present| drop(present.remove(&kind)));
    }

    /// What a kind's job is doing.
    pub fn find(&self, kind: JobKind) -> Option<Doing> {
        self.present.borrow().get(&kind).cloned()
    }

    /// Nobody is woken: thousands of chunks a second pass by.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<JobKind, Doing>)) {
        self.present.send_if_modified(|present| {
            change(present);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_within_their_step_only() {
        let progress = Progress::default();
        let doing = || progress.find(JobKind::Backup);
        progress.carry(JobKind::Backup, 5);
        assert_eq!(doing(), None);
        progress.begin(JobKind::Backup, "postgres/app", Step::Dumping);
        progress.carry(JobKind::Backup, 5);
        progress.carry(JobKind::Backup, 6);
        assert_eq!(doing().unwrap().done, Some(ByteCount(11)));
        progress.go_on(JobKind::Backup, Step::Checking);
        let now = doing().unwrap();
        assert_eq!((now.step, now.done), (Step::Checking, None));
        assert_eq!(progress.find(JobKind::Verify), None);
        progress.end(JobKind::Backup);
        assert_eq!(doing(), None);
    }
}
