//! Verifying in a process of its own: a crash is seen as one, and memory is bounded and measured.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use checkpoint_spec::Architecture;
use proof_bundle::{AllowedSigners, Demands, heads, verify_as};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::case::Asked;
use crate::golden;

/// The argument that makes this program a verifier.
pub(crate) const WORD: &str = "verify-confined";

/// Address space that verifying may take: all of it, program and threads as well.
pub(crate) const MEMORY: u64 = 512 << 20;
/// Processor time. Only what runs away gets there.
const SECONDS: u64 = 60;
/// Exit code of a bundle that cannot be read.
const CANNOT_READ: u8 = 70;
/// How the line begins that says how much memory was in use at most.
const PEAK: &str = "VmHWM:";

/// What a verifier said.
pub(crate) struct Said {
    /// None when it was killed.
    pub(crate) exit: Option<u8>,
    pub(crate) text: String,
    /// Memory in use at most, in KiB; none when it did not live to say so.
    pub(crate) peak: Option<u64>,
    pub(crate) took: Duration,
}

/// Starts a confined verifier.
pub(crate) fn run(bundle: &Path, asked: &Asked, signers: Option<PathBuf>) -> io::Result<Said> {
    let mut verifier = Command::new(std::env::current_exe()?);
    verifier.arg(WORD).arg(bundle).arg(asked.expected_commit.as_deref().unwrap_or_default());
    verifier.arg(if asked.model { golden::model() } else { PathBuf::new() });
    verifier.arg(signers.unwrap_or_default()).env("RAYON_NUM_THREADS", "2");
    let began = Instant::now();
    let output = verifier.output()?;
    let took = began.elapsed();
    let exit = output.status.code().and_then(|code| u8::try_from(code).ok());
    let errors = String::from_utf8_lossy(&output.stderr);
    let peak =
        errors.lines().find_map(|line| line.strip_prefix(PEAK)?.trim().split(' ').next()?.parse().ok());
    let text = format!("{}{errors}", String::from_utf8_lossy(&output.stdout)).replace('\t', " ");
    Ok(Said { exit, text, peak, took })
}

/// Verifies, and says what was found. What is empty is not asked for: a commit, a model, signers.
pub(crate) fn verify(bundle: &Path, commit: &str, model: &str, signers: &str) -> ExitCode {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, limit(MEMORY)).unwrap();
    setrlimit(Resource::Cpu, limit(SECONDS)).unwrap();
    let architecture = heads::read(bundle).ok().and_then(|head| named(&head.model));
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let signers = given(signers).map(|path| AllowedSigners::read(Path::new(path)).unwrap());
    let demands = Demands {
        architecture: architecture.as_ref(),
        model: given(model).map(Path::new),
        expected_commit: given(commit),
        signers: signers.as_ref(),
        signature_required: signers.is_some(),
        ..Demands::default()
    };
    let exit = match verify_as(bundle, &demands) {
        Ok(verification) => {
            verification.lines.iter().for_each(|line| println!("{line}"));
            verification.exit_code
        }
        Err(error) => {
            println!("{error}");
            CANNOT_READ
        }
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with(PEAK)).for_each(|line| eprintln!("{line}"));
    ExitCode::from(exit)
}

/// The sizes that the name of a model tells, as the command line asks for them: `synthetic:2,16,2,64,8`.
fn named(model: &str) -> Option<Architecture> {
    let numbers = model.strip_prefix("synthetic:")?.split(',');
    let numbers: Vec<usize> = numbers.map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let &[layers, width, heads, vocabulary, context] = numbers.as_slice() else { return None };
    let sizes = [
        ("C", context),
        ("D", width),
        ("H", heads),
        ("Dh", width.checked_div(heads)?),
        ("F", width.checked_mul(4)?),
        ("V", vocabulary),
    ];
    Some(Architecture {
        family: "gpt2".to_owned(),
        layers,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: [("epsilon".to_owned(), 1e-5)].into(),
        features: std::collections::BTreeSet::new(),
    })
}
