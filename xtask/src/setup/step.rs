//! One tool at work, and what its last words mean.

use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;

/// Runs a tool while showing what it does.
pub(super) fn step(title: &str, command: Command) -> Result<(), Failure> {
    let progress = Progress::start(title);
    process::run_with_progress(command, &progress).map_err(|failure| {
        if failure.is_interrupt() {
            return failure;
        }
        let advice = advice(&failure.to_string());
        failure.advice(advice)
    })?;
    progress.done();
    Ok(())
}

/// Signs in a tool's output, each with what mends it; the first that fits counts.
const ADVICE: [(&[&str], &str); 4] = [
    (
        &["no space left", "os error 28", "errno 28", "quota exceeded"],
        "the disk is full: make room (about 7 GB; about 2 GB with UV_TORCH_BACKEND=cpu), then run the command again",
    ),
    (
        &["hash mismatch", "do not match the hashes"],
        "the package index serves other files than the lock file names: check which index pip and uv are set to use",
    ),
    (
        &[
            "dns",
            "(connect)",
            "connection",
            "timed out",
            "timeout",
            "unreachable",
            "name resolution",
            "certificate",
            "proxy",
            "(from versions: none)",
        ],
        "the package index cannot be reached: check the network, the proxy, and pip's and uv's settings for the index",
    ),
    (
        &["no wheel", "no matching distribution", "no solution", "not compatible", "no compatible"],
        "there is no package for this platform or this version of Python: try another with TRIALPLATE_PYTHON",
    ),
];
const OTHERWISE: &str =
    "`cargo xtask doctor` shows what is missing; `cargo xtask setup --fresh` begins again";

fn advice(said: &str) -> &'static str {
    let said = said.to_lowercase();
    let fits = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    ADVICE.iter().find(|(signs, _)| fits(signs)).map_or(OTHERWISE, |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_what_the_tool_said() {
        assert!(
            advice("error: failed to write: No space left on device (os error 28)").contains("disk is full")
        );
        assert!(advice("client error (Connect): dns error: failed to lookup").contains("cannot be reached"));
        assert!(
            advice("uv pip sync --require-hashes\nHash mismatch for `torch==2.15.0`").contains("other files")
        );
        assert!(advice("torch has no wheels with a matching Python ABI tag").contains("TRIALPLATE_PYTHON"));
        assert!(advice("uv pip sync --require-hashes: segmentation fault").contains("doctor"));
    }
}
