//! `bundle verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use harness::exit::{CONFORMING, INCOMPLETE, INVALID_EVIDENCE, NOT_CONFORMING, STALE, usage};
use harness::implementation::ImplementationName;
use harness::materials;
use harness::place::Place;
use proof_bundle::{AllowedSigners, Demands, Head, Verification, heads, verify_as};

use super::super::print;
use super::golden::GOLDEN;
use crate::again::{self, Again};
use crate::source::{self, ModelSource};
use crate::start;

const HELP: &str = "\
A bundle is held against the commit, the locks, the specs, the references and the bundled model that are here.
--historical leaves that out, and judges by the specs of the commit that the bundle names.

Exit codes: 0 conforming; 1 not conforming; 2 invalid evidence; 3 stale; 4 incomplete, partial or digest-only;
64 usage; 70 internal error.";

/// What `bundle verify` takes.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The bundle's directory
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    directory: Option<PathBuf>,
    /// Every bundle in proof-bundles/; the golden one is judged as of its own commit
    #[arg(long)]
    all: bool,
    /// The commit that it must be of, or how it begins
    #[arg(long, value_name = "COMMIT", value_parser = commit)]
    expect_commit: Option<String>,
    /// Judge it as of the commit that it names, not as of what is here
    #[arg(long)]
    historical: bool,
    /// Accept evidence about fewer checkpoints or cases than there are
    #[arg(long)]
    partial: bool,
    /// Whose signatures count: a file as `ssh-keygen -Y verify` reads it
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// Without a signature of theirs the evidence is invalid
    #[arg(long, requires = "allowed_signers")]
    require_signature: bool,
    /// Compute all captures here and compare them
    #[arg(long, conflicts_with = "all")]
    rerun: bool,
    /// Run on token ids that are drawn from this seed, and see that the verdict holds
    #[arg(long, value_name = "SEED", conflicts_with = "all")]
    challenge: Option<u64>,
    /// The model that it must be about: a directory whose files are held against the bundle's digests. Where the bundle does
    /// not hold the weights, they are taken from there; where something is computed here, the model is this one
    #[arg(long, value_parser = ModelSource::parse, conflicts_with = "all")]
    model: Option<ModelSource>,
    /// Subject to compute with, where the bundle's is a program: what a bundle names is never started
    #[arg(long, value_parser = ImplementationName::parse)]
    subject: Option<ImplementationName>,
}

fn commit(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let long_enough = (7..=64).contains(&text.len());
    (is_hex && long_enough)
        .then(|| text.to_owned())
        .ok_or_else(|| "expected 7 to 64 lower-case hex digits".to_owned())
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let signers = arguments.allowed_signers.as_deref().map(AllowedSigners::read).transpose();
    let signers = signers.map_err(|error| usage(error.to_string()))?;
    let Some(directory) = &arguments.directory else { return all(arguments, signers.as_ref()) };
    Ok(ExitCode::from(one(arguments, directory, arguments.historical, signers.as_ref())?))
}

fn all(arguments: &Arguments, signers: Option<&AllowedSigners>) -> Result<ExitCode> {
    let bundles = Place::find()?.bundles();
    let mut worst = CONFORMING;
    for name in heads::folders(&bundles).with_context(|| bundles.display().to_string())? {
        print(&format!("bundle        {}\n", report::plain(&name)))?;
        let historical = arguments.historical || name == GOLDEN;
        let code = one(arguments, &bundles.join(&name), historical, signers)?;
        worst = if rank(code) > rank(worst) { code } else { worst };
        print("\n")?;
    }
    Ok(ExitCode::from(worst))
}

/// How bad an exit code is.
fn rank(code: u8) -> usize {
    let order = [CONFORMING, INCOMPLETE, STALE, NOT_CONFORMING, INVALID_EVIDENCE];
    order.iter().position(|known| *known == code).unwrap_or(order.len())
}

fn one(
    arguments: &Arguments,
    directory: &Path,
    historical: bool,
    signers: Option<&AllowedSigners>,
) -> Result<u8> {
    if !directory.is_dir() {
        return Err(usage(format!("no bundle at {}; expected its directory", directory.display())));
    }
    // What the bundle says of itself only chooses what it is held against.
    let head = heads::read(directory).ok();
    let place = Place::find()?;
    let law = if historical { head.as_ref().and_then(|head| materials::law_of(&place, head)) } else { None };
    let current = if historical { None } else { Some(materials::current(&place, head.as_ref())?) };
    let architecture = head.as_ref().and_then(|head: &Head| source::architecture_of(&place, head));
    let model = match &arguments.model {
        Some(ModelSource::Directory(folder)) if !folder.is_dir() => {
            return Err(usage(format!("--model {}: no such directory", folder.display())));
        }
        Some(ModelSource::Directory(folder)) => Some(folder.as_path()),
        _ => None,
    };
    let demands = Demands {
        law: law.as_deref(),
        current: current.as_ref(),
        architecture: architecture.as_ref(),
        model,
        expected_commit: arguments.expect_commit.as_deref(),
        signers,
        signature_required: arguments.require_signature,
        partial: arguments.partial,
    };
    let verification = verify_as(directory, &demands)?;
    print(&(verification.lines.join("\n") + "\n"))?;
    compute(arguments, &place, &verification)
}

/// Runs again what can be computed only here, if that is asked for and the evidence is worth it.
fn compute(arguments: &Arguments, place: &Place, verification: &Verification) -> Result<u8> {
    let (Some(results), Some(evidence)) = (&verification.results, &verification.evidence) else {
        return Ok(verification.exit_code);
    };
    let mut worst = verification.exit_code;
    if !arguments.rerun && arguments.challenge.is_none() {
        return Ok(worst);
    }
    let threads = evidence.materials.threads.clamp(1, start::threads(None)?);
    let means = start::means(place.clone(), threads, start::TIME_LIMIT)?;
    let rerun = arguments.rerun.then_some(Again::Rerun);
    for how in rerun.into_iter().chain(arguments.challenge.map(Again::Challenge)) {
        let asked =
            again::Asked { how, model: arguments.model.as_ref(), subject: arguments.subject.as_ref() };
        let found = again::again(&asked, &means, results, evidence)?;
        print(&(found.lines.join("\n") + "\n"))?;
        worst = if rank(found.exit_code) > rank(worst) { found.exit_code } else { worst };
    }
    Ok(worst)
}
