//! The hostile corpus: bundles by somebody who wants them to lie, and the exit code that each must get.
//!
//! Everything is made from the committed golden bundle ([`golden`]). A case is a file in `cases/`: what is told before
//! the bundle is written, as an honest run would write it ([`scene`]), what is done to its files afterwards
//! ([`operations`]), and what a verifier must say. Each is verified in a process of its own, in bounded memory
//! ([`confined`]).
//!
//! Another verifier is held to the same: `cargo test -p proof-bundle --test hostile -- against PROGRAM ARGUMENT…`, which
//! is given the bundle as its last argument. `… -- make FOLDER` leaves all bundles in a folder.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::cast_possible_truncation, reason = "values at f64 become tensors at f32")]

mod case;
mod confined;
mod golden;
mod keys;
mod operations;
mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use case::HostileCase;
use confined::Said;
use libtest_mimic::{Arguments, Failed, Trial};

/// Fewer cases than this, and somebody has lost some.
const FEWEST: usize = 310;

/// What each verification took, for information.
static TAKEN: Mutex<Vec<(String, Said)>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [confined::WORD, bundle, commit, model, signers] => {
            confined::verify(Path::new(bundle), commit, model, signers)
        }
        ["make", folder] => make_all(Path::new(folder)),
        ["against", ..] if arguments.len() > 1 => {
            let verifier = arguments[1..].to_vec();
            let look = move |path: &Path| agrees(path, &verifier);
            trials(&Arguments::from_iter(["hostile"]), cases_for_everyone(), look)
        }
        _ => {
            let code = trials(&Arguments::from_args(), cases(), hold);
            tell();
            code
        }
    }
}

fn trials(
    arguments: &Arguments,
    cases: Vec<PathBuf>,
    look: impl Fn(&Path) -> Result<(), Failed> + Clone + Send + 'static,
) -> ExitCode {
    let trials = cases.into_iter().map(|path| {
        let look = look.clone();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Trial::test(name, move || look(&path))
    });
    libtest_mimic::run(arguments, trials.collect()).exit_code()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= FEWEST, "{} cases found, at least {FEWEST} expected", cases.len());
    cases
}

/// Those in which a verifier is given a bundle and asked nothing else.
fn cases_for_everyone() -> Vec<PathBuf> {
    let (mut all, before) = (cases(), cases().len());
    all.retain(|path| HostileCase::read(path).unwrap().is_for_everyone());
    println!("{} of {before} cases ask for more than sound evidence and are left out", before - all.len());
    all
}

/// Makes the bundle of a case and holds what is said of it against what must be.
fn hold(path: &Path) -> Result<(), Failed> {
    let case = HostileCase::read(path)?;
    let folder = tempfile::tempdir()?;
    let bundle = make(&case, folder.path());
    let signers = case.asked.signature_of.as_deref().map(keys::allowed);
    let said = confined::run(&bundle, &case.asked, signers)?;
    let lines = said.text.as_str();
    if said.exit != Some(case.exit) {
        return Err(format!("exit {:?}, expected {}:\n{lines}", said.exit, case.exit).into());
    }
    if said.peak.is_none_or(|kib| kib > confined::MEMORY >> 10) {
        return Err(format!("{:?} KiB of memory in use at most:\n{lines}", said.peak).into());
    }
    if let Some(part) = case.says.iter().find(|part| !lines.contains(part.as_str())) {
        return Err(format!("nothing says `{part}`:\n{lines}").into());
    }
    let unsafe_line = |line: &str| line.starts_with("::") || line.contains(|c: char| c.is_control());
    if let Some(line) = lines.lines().find(|line| unsafe_line(line)) {
        return Err(format!("a line that a terminal or a CI would obey: {line:?}").into());
    }
    for (path, never) in &case.never {
        let text = fs::read_to_string(bundle.join(path))?;
        if let Some(found) = never.iter().find(|never| text.contains(never.as_str())) {
            return Err(format!("{path} holds {found:?}").into());
        }
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    TAKEN.lock().unwrap().push((name, said));
    Ok(())
}

/// What the slowest and the largest verification took; no test depends on it but for the bound on memory.
fn tell() {
    let taken = TAKEN.lock().unwrap();
    let (slowest, largest) =
        (taken.iter().max_by_key(|(_, said)| said.took), taken.iter().max_by_key(|(_, said)| said.peak));
    if let (Some((slow, took)), Some((large, peak))) = (slowest, largest) {
        let mib = peak.peak.unwrap_or_default() >> 10;
        println!("slowest: {slow}, {:.2} s; most memory: {large}, {mib} MiB", took.took.as_secs_f64());
    }
}

/// Holds the exit code of another verifier against what must be.
fn agrees(path: &Path, verifier: &[String]) -> Result<(), Failed> {
    let case = HostileCase::read(path)?;
    let folder = tempfile::tempdir()?;
    let bundle = make(&case, folder.path());
    let output = Command::new(&verifier[0]).args(&verifier[1..]).arg(&bundle).output()?;
    // One that does not render the reports takes edited ones for what the digests say they are.
    let passes = case.renders && output.status.code() == Some(0);
    if output.status.code() == Some(i32::from(case.exit)) || passes {
        return Ok(());
    }
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Err(format!("{}, expected exit {}:\n{text}", output.status, case.exit).into())
}

fn make(case: &HostileCase, folder: &Path) -> PathBuf {
    let bundle = scene::write(&case.scene, folder);
    for operation in &case.operations {
        operation.apply(&bundle);
    }
    bundle
}

/// Leaves every bundle in a folder of its own, and what is expected of it in `expected.json`: for other verifiers.
fn make_all(folder: &Path) -> ExitCode {
    let mut expected = Vec::new();
    for path in cases() {
        let case = HostileCase::read(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let place = folder.join(&name);
        fs::create_dir_all(&place).unwrap();
        make(&case, &place);
        expected.push(serde_json::json!({
            "case": name,
            "exit": case.exit,
            "renders": case.renders,
            "for_everyone": case.is_for_everyone(),
            "about": case.about,
        }));
    }
    fs::write(folder.join("expected.json"), serde_json::to_string_pretty(&expected).unwrap()).unwrap();
    ExitCode::SUCCESS
}
