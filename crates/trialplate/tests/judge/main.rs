//! Dumps that are right, wrong, partial, in another layout, of other names, or none: each gets the verdict that it must.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bad;
mod layouts;
mod mistakes;
mod names;
mod partial;
mod support;
