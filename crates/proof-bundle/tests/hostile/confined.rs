//! Verifying in a process of its own: a crash is seen as one, and memory is bounded.

use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use proof_bundle::{Demands, verify_as};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The argument that makes this program a verifier.
pub(crate) const WORD: &str = "verify-confined";

/// Address space that verifying may take: all of it, program and threads as well.
const MEMORY: u64 = 512 << 20;
/// Processor time. Only what runs away gets there.
const SECONDS: u64 = 60;
/// Exit code of a bundle that cannot be read.
const CANNOT_READ: u8 = 70;

/// What a verifier said.
pub(crate) struct Said {
    /// None when it was killed.
    pub(crate) exit: Option<u8>,
    pub(crate) text: String,
}

/// Starts a confined verifier.
pub(crate) fn run(bundle: &Path) -> io::Result<Said> {
    let mut verifier = Command::new(std::env::current_exe()?);
    verifier.arg(WORD).arg(bundle).env("RAYON_NUM_THREADS", "2");
    let output = verifier.output()?;
    let exit = output.status.code().and_then(|code| u8::try_from(code).ok());
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    Ok(Said { exit, text })
}

/// Verifies, and says what was found.
pub(crate) fn verify(bundle: &Path) -> ExitCode {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, limit(MEMORY)).unwrap();
    setrlimit(Resource::Cpu, limit(SECONDS)).unwrap();
    // The cases of this corpus are none of the verifier's own: evidence of a part.
    let demands = Demands { partial: true, ..Demands::default() };
    match verify_as(bundle, &demands) {
        Ok(verification) => {
            verification.lines.iter().for_each(|line| println!("{line}"));
            ExitCode::from(verification.exit_code)
        }
        Err(error) => {
            println!("{error}");
            ExitCode::from(CANNOT_READ)
        }
    }
}
