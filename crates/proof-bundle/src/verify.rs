//! Verifying a bundle, offline, in rooms: what is there, whether it is what the manifests say, who signed it, whether the
//! records are strict, whether specs and state are those of today, whether everything follows from the stored tensors.
//! Each room needs what the one before has found to be sound.

mod bag;
mod limits;
mod model;
mod recompute;
mod records;
mod repeats;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use bag::format;

use capture::Case;
use checkpoint_spec::{Architecture, Results};

use crate::{
    AllowedSigners, CaptureList, Current, Digest, Materials, ModelFiles, SignatureError, coverage, layout,
    signature,
};

/// Exit code of evidence that is not valid.
const INVALID_EVIDENCE: u8 = 2;
/// Exit code of evidence about something else than what is here now.
const STALE: u8 = 3;
/// Exit code of evidence that is not all there.
const INCOMPLETE: u8 = 4;

/// What a verification asks for beside sound evidence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands<'a> {
    /// The specs to judge by, file name and text; none: this verifier's own.
    pub law: Option<&'a [(String, String)]>,
    /// The state that the bundle must be of; none: whatever state it was made in.
    pub current: Option<&'a Current>,
    /// The sizes of the model that the results name, where its name or what is here tells them.
    pub architecture: Option<&'a Architecture>,
    /// The folder of the model that it must be about, where somebody has it.
    pub model: Option<&'a Path>,
    /// The commit that it must be of, in hex, or how that commit begins.
    pub expected_commit: Option<&'a str>,
    /// Whose signatures count; none: a signature is not looked at.
    pub signers: Option<&'a AllowedSigners>,
    /// Whether there must be one.
    pub signature_required: bool,
    /// Whether evidence about fewer checkpoints or cases than there are is enough.
    pub partial: bool,
}

/// What became of a verification.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What was found, for people, line by line. Harmless on a terminal.
    pub lines: Vec<String>,
    /// Everything that is wrong with the evidence; empty when it is valid.
    pub problems: Vec<Problem>,
    /// What has changed since the bundle was made, or is not of the commit that was expected.
    pub stale: Vec<String>,
    /// The SHA-256 of the tag manifest, which stands for the whole bundle.
    pub root: Option<Digest>,
    /// The record, if the evidence is valid.
    pub results: Option<Results>,
    /// What else was recorded, if the evidence is valid.
    pub evidence: Option<Evidence>,
    /// 2 for invalid evidence, 3 for stale evidence, 4 where something was left out or is digest-only; else that of the
    /// run: 0 conforming, 1 not conforming, 4 incomplete.
    pub exit_code: u8,
}

/// Records beside the results.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the run was made from.
    pub materials: Materials,
    /// What every implementation was given, in the order of the results.
    pub cases: Vec<Case>,
    /// What they left.
    pub captures: CaptureList,
    /// A folder with the model's files, each held against the materials; none where neither the bundle nor whoever asked has
    /// them.
    pub model: Option<PathBuf>,
}

/// Something wrong with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path in the bundle, or empty for the bundle as a whole.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

/// What stopped a verification before it could say anything about the evidence.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The signature could not be read.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The verifier's own schemas could not be written.
    #[error("a schema cannot be written: {0}")]
    Schema(serde_json::Error),
}

/// What a room says: what it found to be sound, or what is wrong. `Err` is for what stopped the work.
type Room<T> = Result<Result<T, Vec<Problem>>, VerifyError>;

/// Verifies the bundle in `directory` by itself. Wrong evidence is not an `Err`: it is in [`Verification::problems`].
///
/// # Errors
/// [`VerifyError`], when the bundle cannot be read.
pub fn verify(directory: &Path) -> Result<Verification, VerifyError> {
    verify_as(directory, &Demands::default())
}

/// Verifies the bundle in `directory`, and that it is what was asked for.
///
/// # Errors
/// [`VerifyError`], when the bundle cannot be read.
pub fn verify_as(directory: &Path, demands: &Demands<'_>) -> Result<Verification, VerifyError> {
    let mut visit =
        Visit { directory, demands, lines: Vec::new(), stale: Vec::new(), root: None, model: None };
    let found = visit.rooms()?;
    let Visit { mut lines, stale, root, .. } = visit;
    let mut verification = Verification {
        lines: Vec::new(),
        problems: Vec::new(),
        stale,
        root,
        results: None,
        evidence: None,
        exit_code: INVALID_EVIDENCE,
    };
    match found {
        Ok(sound) => {
            lines.extend(report::conclusion(&sound.results));
            let left_out = !demands.partial && sound.left_out;
            let less = left_out || sound.digest_only;
            verification.exit_code = exit_code(&sound.results, &verification.stale, less);
            verification.results = Some(sound.results);
            verification.evidence = Some(sound.evidence);
        }
        Err(problems) => {
            lines.extend(problems.iter().map(|problem| report::plain(&format!("invalid       {problem}"))));
            lines.push(format!("invalid evidence: {} found", plural(problems.len(), "problem")));
            verification.problems = problems;
        }
    }
    verification.lines = lines;
    Ok(verification)
}

/// A verification under way.
struct Visit<'a> {
    directory: &'a Path,
    demands: &'a Demands<'a>,
    lines: Vec<String>,
    stale: Vec<String>,
    root: Option<Digest>,
    /// The model, where its files are at hand and are those of the materials.
    model: Option<ModelFiles>,
}

/// Evidence that has passed through all rooms.
struct Sound {
    results: Results,
    evidence: Evidence,
    /// Checkpoints or cases that the run was not of.
    left_out: bool,
    /// Whether some numbers are the record's word.
    digest_only: bool,
}

/// Goes on with what a room found to be sound.
macro_rules! enter {
    ($room:expr) => {
        match $room? {
            Ok(sound) => sound,
            Err(problems) => return Ok(Err(problems)),
        }
    };
}

impl Visit<'_> {
    fn rooms(&mut self) -> Room<Sound> {
        let directory = self.directory;
        let files = enter!(bag::walk(directory));
        let bag = enter!(bag::manifests(directory, &files));
        // What is strict and what was altered are found at the same time; what was altered is told alone.
        let (unaltered, records) =
            rayon::join(|| bag::digests(directory, &files, &bag), || records::read(directory, &bag));
        enter!(unaltered);
        self.root = Some(bag.root);
        self.say("format", &bag.format.to_string());
        self.say("manifests", &format!("{} files, {} bytes, all as listed", bag.payload.len(), bag.octets));
        self.say("root", &bag.root.to_string());
        enter!(self.signature());
        let records = enter!(records);
        enter!(limits::check(&records));
        self.say("records", "strict, one spelling");
        let law = enter!(records::law(self.demands.law, &records.results));
        enter!(records::check_specs(directory, &bag, &records, &law));
        let whose = if self.demands.law.is_some() { "those of the commit" } else { "those of this verifier" };
        self.say("specs", whose);
        enter!(self.staleness(&bag, &records));
        enter!(records::check_layout(&bag, &records));
        enter!(records::check_facts(&bag, &records));
        self.say("files", "those that the records call for, no other");
        enter!(self.model(&records.materials));
        enter!(recompute::check(directory, &bag, &records, &law, self.model.as_ref()));
        let from =
            if self.model.is_some() { "the stored tensors and weights" } else { "the recorded numbers" };
        self.say("verdicts", &format!("computed again from {from}, all the same"));
        enter!(repeats::check(directory, &bag, &records, &law));
        let told =
            "the judged run's digests follow from its tensors; other repeats are recorded, not recomputed";
        self.say("determinism", told);
        self.say("faults", "judged again from what the record says of each; they left no tensors");
        let digest_only = self.digest_only(&records.results);
        enter!(records::check_reports(directory, &records));
        self.say("reports", "rendered again, byte for byte the same");
        enter!(records::check_name(&bag, &records, &law));
        self.say("name", &bag.name);
        let covered = coverage::of(&records.results, &records.cases, &law.set);
        self.lines.extend(covered.lines());
        if covered.left_out() && !self.demands.partial {
            self.say("partial", "something was left out; --partial accepts evidence for just what it is of");
        }
        let records::Records { results, materials, cases, captures, .. } = records;
        let model = self.model.take().map(|model| model.folder().to_owned());
        let evidence = Evidence { materials, cases, captures, model };
        Ok(Ok(Sound { results, evidence, left_out: covered.left_out(), digest_only }))
    }

    fn say(&mut self, what: &str, text: &str) {
        self.lines.push(report::plain(&format!("{what:13} {text}")));
    }

    fn signature(&mut self) -> Room<()> {
        let path = signature::signature_path(self.directory);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let problem = |message: String| Ok(Err(vec![Problem::at(name.as_str(), message)]));
        let Some(signature) = signature::beside(self.directory)? else {
            if self.demands.signature_required {
                return problem("there is no signature beside the bundle, and one is required".to_owned());
            }
            self.say("signature", "none");
            return Ok(Ok(()));
        };
        let Some(signers) = self.demands.signers else {
            if self.demands.signature_required {
                return problem("a signature is required, and nobody is allowed to give one".to_owned());
            }
            self.say("signature", "not looked at; --allowed-signers FILE says whose counts");
            return Ok(Ok(()));
        };
        let message = signature::read(&self.directory.join(crate::layout::TAG_MANIFEST))?;
        match signers.check(&signature, &message) {
            Ok(who) => self.say("signature", &format!("by {who}")),
            Err(what) => return problem(what),
        }
        Ok(Ok(()))
    }

    fn staleness(&mut self, bag: &bag::SoundBag, records: &records::Records) -> Room<()> {
        let git = records.materials.git.as_ref();
        if let Some(expected) = self.demands.expected_commit
            && !git.is_some_and(|git| !git.dirty && git.commit.starts_with(expected))
        {
            let found = git.map_or_else(|| "no commit".to_owned(), |git| git.commit.clone());
            let dirty =
                if git.is_some_and(|git| git.dirty) { " and changes that it does not hold" } else { "" };
            self.stale.push(format!("the bundle is of {found}{dirty}, expected is {expected}"));
        }
        if let Some(current) = self.demands.current {
            self.stale.extend(current.changes(&records.materials));
            self.stale.extend(records::other_schemas(self.directory, bag)?);
        }
        if let Some(known) = self.demands.architecture
            && *known != records.results.architecture
        {
            let found = &records.results.architecture;
            let message = format!(
                "{} layers, {:?} and {:?}; `{}` has {} layers, {:?} and {:?}",
                found.layers,
                found.sizes,
                found.constants,
                records.results.model,
                known.layers,
                known.sizes,
                known.constants
            );
            return Ok(Err(vec![Problem::at(layout::RESULTS, message)]));
        }
        if !self.stale.is_empty() {
            let stale = self.stale.clone();
            stale.iter().for_each(|what| self.say("stale", what));
        } else if self.demands.current.is_some() {
            self.say("current", "of the commit, the locks, the specs and the references that are here");
        } else {
            let commit = git.map_or("no commit", |git| git.commit.as_str()).to_owned();
            self.say("historical", &format!("of {commit}, not held against what is here now"));
        }
        Ok(Ok(()))
    }

    /// Tells whose numbers are the record's word, and whether any are.
    fn digest_only(&mut self, results: &Results) -> bool {
        if self.model.is_none() {
            let text =
                "all cases: without the weights nothing is computed again; --model DIR says where they are";
            self.say("digest-only", text);
            return true;
        }
        let cases = results.tensors.digest_only.join(", ");
        if !cases.is_empty() {
            let text = "their verdicts follow from the recorded numbers, which nothing here proves";
            self.say("digest-only", &format!("{cases}: {text}"));
        }
        !cases.is_empty()
    }
}

/// That of the run, unless the evidence is about something else, or less than everything.
fn exit_code(results: &Results, stale: &[String], less: bool) -> u8 {
    if !stale.is_empty() {
        STALE
    } else if results.exit_code == 0 && less {
        INCOMPLETE
    } else {
        results.exit_code
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

impl Problem {
    fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> VerifyError {
    let path = path.to_owned();
    move |source| VerifyError::Io { path, source }
}

fn sound_if_none<T>(problems: Vec<Problem>, sound: T) -> Room<T> {
    Ok(if problems.is_empty() { Ok(sound) } else { Err(problems) })
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod tests;
