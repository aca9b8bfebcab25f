//! What a measurement was made on.

use std::time::SystemTime;

use serde::Serialize;

use harness::materials;

/// What a measurement was made on, and when.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Threads that computed.
    pub threads: usize,
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    /// Whether the program was built with optimisations for benches, not with the profile of every day.
    pub release: bool,
}

impl Machine {
    /// This machine, now.
    pub fn now(threads: usize) -> Self {
        Self {
            cpu: materials::cpu().model.to_string(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            threads,
            date: proof_bundle::date(SystemTime::now()),
            release: !cfg!(debug_assertions),
        }
    }

    /// In one line.
    pub fn describe(&self) -> String {
        let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut words =
            format!("{}, {}, {}", self.cpu, many(self.cores, "core"), many(self.threads, "thread"));
        if !self.release {
            words += "; built with the dev profile, not with --release";
        }
        words
    }
}

/// How many threads of others run or want to, at this moment; none where the system does not tell. Times taken beside
/// other work say little.
pub fn others() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let (running, _all) = text.split_whitespace().nth(3)?.split_once('/')?;
    // The one who asks is running, too.
    Some(running.parse::<u32>().ok()?.saturating_sub(1))
}
