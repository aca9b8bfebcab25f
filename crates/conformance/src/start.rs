//! What every command starts with: places, threads, what is linked, and a hand on Ctrl-C.

use std::time::Duration;

use anyhow::Result;
use harness::exit::{INTERRUPTED, usage};
use harness::implementation::Means;
use harness::interrupt::Interrupt;
use harness::place::Place;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::rust::RustGpt2;

/// How long a worker may take for one job where nobody says otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(600);

/// The means of a command that links the Rust GPT-2.
pub fn means(place: Place, threads: usize, time_limit: Duration) -> Result<Means> {
    let locals = vec![RustGpt2::local()];
    Ok(Means { place, threads, time_limit, interrupt: interrupt()?, locals })
}

/// How many threads to compute with.
pub fn threads(asked: Option<usize>) -> Result<usize> {
    match asked {
        Some(0) => Err(usage("--threads 0: at least one thread is needed")),
        Some(threads) => Ok(threads),
        None => Ok(std::thread::available_parallelism()?.get()),
    }
}

/// A flag that SIGINT, SIGTERM and SIGHUP raise. A second signal ends the process at once.
fn interrupt() -> Result<Interrupt> {
    let interrupt = Interrupt::default();
    let flag = interrupt.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if flag.raise() {
                std::process::exit(i32::from(INTERRUPTED));
            }
        }
    });
    Ok(interrupt)
}
