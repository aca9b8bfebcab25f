//! `cargo xtask fuzz`: coverage-guided fuzzing of what strangers write. `cargo xtask test` feeds the same committed corpora,
//! and seeded changes of them, to the same readers on the stable toolchain.

use std::process::{Command, ExitCode};

use crate::failure::{Failure, NOT_CONFORMING};
use crate::process;
use crate::progress::say;
use crate::repository::Repository;

const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz                             every target for a minute
  cargo xtask fuzz comparer --seconds 3600     one of them for an hour
  cargo xtask fuzz --list                      what the targets are

Needs a nightly toolchain and cargo-fuzz. Exit code 1 and the file that did it when a reader crashes, takes more memory
than 512 MB, or disagrees with its peer.";

/// Megabytes that a reader may take.
const MEMORY: u32 = 512;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The targets; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each of them runs
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// List the targets and end
    #[arg(long)]
    list: bool,
}

/// What is fuzzed.
struct Target {
    name: &'static str,
    says: &'static str,
    /// Its committed corpus.
    corpus: &'static str,
}

const TARGETS: [Target; 8] = [
    Target {
        name: "capture",
        says: "the reader of captures, beside the safetensors crate",
        corpus: "crates/capture/tests/corpus/reader",
    },
    Target { name: "case", says: "the reader of cases", corpus: "crates/proof-bundle/tests/corpus/case" },
    Target {
        name: "comparer",
        says: "the comparer, beside a comparison element by element",
        corpus: "crates/tensor-compare/tests/corpus/comparer",
    },
    Target {
        name: "dump",
        says: "the readers of dumps, whatever the format",
        corpus: "crates/capture/tests/corpus/dump",
    },
    Target {
        name: "manifest",
        says: "the reader of manifests",
        corpus: "crates/proof-bundle/tests/corpus/manifest",
    },
    Target {
        name: "materials",
        says: "the reader of the record of materials",
        corpus: "crates/proof-bundle/tests/corpus/materials",
    },
    Target {
        name: "pickle",
        says: "the reader of what torch.save pickles",
        corpus: "crates/capture/tests/corpus/pickle",
    },
    Target {
        name: "results",
        says: "the reader of results",
        corpus: "crates/proof-bundle/tests/corpus/results",
    },
];

/// The command.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.list {
        TARGETS.iter().for_each(|target| say(&format!("{:<12} {}\n", target.name, target.says)));
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments.targets)?;
    require_tools()?;
    let mut broken = Vec::new();
    for target in chosen {
        say(&format!("\n== {}: {} ==\n", target.name, target.says));
        if !process::run(fuzz(repository, target, arguments.seconds)?)?.success() {
            broken.push(target.name);
        }
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("\nfound by {}: the file is named above\n", broken.join(", ")));
    Ok(ExitCode::from(NOT_CONFORMING))
}

fn choose(names: &[String]) -> Result<Vec<&'static Target>, Failure> {
    if let Some(unknown) = names.iter().find(|name| TARGETS.iter().all(|target| target.name != **name)) {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(Failure::usage(format!("there is no target {unknown:?}"))
            .expected(format!("one of {}", known.join(", ")))
            .advice("`cargo xtask fuzz --list` says what each of them is"));
    }
    let asked = |target: &&Target| names.is_empty() || names.iter().any(|name| name == target.name);
    Ok(TARGETS.iter().filter(asked).collect())
}

fn require_tools() -> Result<(), Failure> {
    process::output(nightly().arg("--version")).map_err(|reason| {
        Failure::new(format!("no nightly toolchain: {reason}"))
            .expected("one: stable has no coverage for a fuzzer to be guided by")
            .advice("rustup toolchain install nightly; `cargo xtask test --only rust` feeds the corpora on stable")
    })?;
    process::output(nightly().args(["fuzz", "--version"])).map_err(|reason| {
        Failure::new(format!("no cargo-fuzz: {reason}"))
            .expected("`cargo fuzz`, which builds and starts libFuzzer")
            .advice("cargo install cargo-fuzz --locked")
    })?;
    Ok(())
}

/// New finds are kept beside the build, crashes too; the committed corpus is only read.
fn fuzz(repository: &Repository, target: &Target, seconds: u32) -> Result<Command, Failure> {
    let place = repository.root().join("target/fuzz");
    let [finds, crashes] = ["finds", "crashes"].map(|kind| place.join(kind).join(target.name));
    for folder in [&finds, &crashes] {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    }
    let mut fuzz = nightly();
    fuzz.current_dir(repository.root())
        .args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir", "target/fuzz/build", target.name])
        .args([&finds, &repository.root().join(target.corpus)])
        .args(["--", "-print_final_stats=1", "-timeout=10"])
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()));
    Ok(fuzz)
}

/// Cargo of the nightly toolchain, whatever this process was started by.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").args(["run", "nightly", "cargo"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_manifest_and_have_a_corpus() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let declared: Vec<_> =
            manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
        let known: Vec<_> = TARGETS.iter().map(|target| format!("{}.rs\"", target.name)).collect();
        assert_eq!(declared, known);
        for target in &TARGETS {
            assert!(root.join(target.corpus).read_dir().unwrap().next().is_some(), "{}", target.corpus);
        }
    }

    #[test]
    fn an_unknown_target_is_refused_and_none_means_all() {
        assert_eq!(choose(&[]).map(|all| all.len()).ok(), Some(TARGETS.len()));
        let refusal = choose(&["captures".into()]).err().map(|failure| failure.to_string()).unwrap();
        assert!(
            refusal.contains("captures") && refusal.contains("one of capture, case, comparer"),
            "{refusal}"
        );
    }
}
