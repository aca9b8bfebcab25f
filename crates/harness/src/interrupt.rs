//! A wish to stop: a flag that work looks at between steps, so that everything it started is ended and cleaned up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// How often a wait looks at the flag.
const GLANCE: Duration = Duration::from_millis(50);

/// Whether the user has asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The user asked to stop.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted; nothing was left half-written")]
pub struct Interrupted;

impl Interrupt {
    /// Asks to stop; whether that was asked before.
    pub fn raise(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether it was raised.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Has work done that cannot look at the flag itself: in a thread of its own, which is abandoned once the flag is
    /// raised. What the work leaves on disk must be the caller's to remove.
    pub fn watch<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || sender.send(work()));
        loop {
            self.check()?;
            match receiver.recv_timeout(GLANCE) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("a thread that worked in the background panicked")
                }
            }
        }
    }

    /// An error once it was raised.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.raised() { Err(Interrupted) } else { Ok(()) }
    }
}
