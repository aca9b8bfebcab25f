//! The real program, given bad input, bad workers, a hub, Ctrl-C and a full disk: a clear error that names what was found,
//! what was expected and what to do; the right exit code; nothing half-written; never a pass.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod arguments;
mod bundles;
mod hub;
mod laws;
mod models;
mod repeats;
mod scene;
mod stopped;
mod workers;
