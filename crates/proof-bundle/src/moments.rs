//! Moments of writing, at any of which the process may end. A test ends it there.

/// A moment between two changes on disk.
#[cfg(not(test))]
pub(crate) const fn pass() {}

#[cfg(test)]
pub(crate) use ended::{AT, pass, passed};

#[cfg(test)]
mod ended {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// The variable that says at which moment the process is to end as by `kill -9`.
    pub(crate) const AT: &str = "TRIALPLATE_END_AT";

    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(crate) fn pass() {
        let moment = PASSED.fetch_add(1, Ordering::Relaxed);
        let end = std::env::var(AT).ok().and_then(|at| at.parse().ok());
        if end == Some(moment) {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }

    /// How many moments there were.
    pub(crate) fn passed() -> u64 {
        PASSED.load(Ordering::Relaxed)
    }
}
