//! What holds of the whole model, on small ones with seeded random weights.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod captured;
mod cases;
mod laws;
mod loading;
