//! `cargo xtask tidy`: the repository held against its own rules. Each rule is a function from what is there to what
//! breaks it, and each has a test that breaks it.

mod arrows;
mod circles;
mod code_map;
mod crates;
mod files;
mod text;
mod tree;

use std::fmt;
use std::process::ExitCode;

use crate::failure::{Failure, NOT_CONFORMING};
use crate::progress::say;
use crate::repository::Repository;
use tree::Tree;

/// A crate's place in the design. An arrow that is not here is a design change: ARCHITECTURE.md has to say why.
struct Place {
    name: &'static str,
    /// Crates of the workspace that it stands on.
    needs: &'static [&'static str],
    /// Crates of the workspace that it may use as well.
    may: &'static [&'static str],
    /// Crates that its tests alone may use, each with the reason.
    tests_may: &'static [(&'static str, &'static str)],
}

const CORPUS: (&str, &str) = ("mutated-corpus", "its readers are fed what strangers may write");

const PLACES: [Place; 16] = [
    Place { name: "tensor-compare", needs: &[], may: &[], tests_may: &[CORPUS] },
    Place { name: "capture", needs: &["tensor-compare"], may: &[], tests_may: &[CORPUS] },
    Place { name: "graph", needs: &[], may: &[], tests_may: &[] },
    Place { name: "ordered-product", needs: &[], may: &[], tests_may: &[] },
    Place {
        name: "oracle",
        needs: &["capture", "graph", "ordered-product"],
        may: &[],
        tests_may: &[("gpt2", "it has seeded models to compute")],
    },
    Place {
        name: "checkpoint-spec",
        needs: &["capture", "graph", "oracle"],
        may: &["tensor-compare"],
        tests_may: &[],
    },
    Place {
        name: "report",
        needs: &["checkpoint-spec"],
        may: &["capture", "tensor-compare"],
        tests_may: &[],
    },
    Place {
        name: "proof-bundle",
        needs: &["checkpoint-spec"],
        may: &["capture", "oracle", "report", "tensor-compare"],
        tests_may: &[CORPUS],
    },
    Place { name: "gpt2", needs: &["capture"], may: &["ordered-product"], tests_may: &[] },
    Place { name: "reference-bridge", needs: &["capture"], may: &[], tests_may: &[] },
    Place {
        name: "harness",
        needs: &["checkpoint-spec", "proof-bundle"],
        may: &["capture", "graph", "oracle"],
        tests_may: &[("gpt2", "it has a model to run")],
    },
    Place {
        name: "conformance",
        needs: &["gpt2", "harness", "report"],
        may: &["capture", "checkpoint-spec", "graph", "oracle", "proof-bundle"],
        tests_may: &[],
    },
    Place {
        name: "bench",
        needs: &["conformance", "harness"],
        may: &[
            "capture",
            "checkpoint-spec",
            "gpt2",
            "graph",
            "oracle",
            "proof-bundle",
            "report",
            "tensor-compare",
        ],
        tests_may: &[],
    },
    Place {
        name: "trialplate",
        needs: &["capture", "checkpoint-spec", "report"],
        may: &["graph", "oracle", "proof-bundle", "tensor-compare"],
        tests_may: &[],
    },
    Place { name: "mutated-corpus", needs: &[], may: &[], tests_may: &[] },
    Place { name: "xtask", needs: &[], may: &[], tests_may: &[] },
];

/// The only crate that may link Python.
const INTERPRETER: &str = "reference-bridge";
/// Crates that cannot forbid unsafe code: the wrapper around the matrix kernel, and the model, whose `ndarray::s!` expands to
/// some.
const NOT_FORBIDDING: [&str; 2] = ["ordered-product", "gpt2"];

/// All that may stand at the top, and must.
const TOP: [&str; 22] = [
    ".cargo",
    ".ci",
    ".config",
    ".gitattributes",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "docs",
    "fuzz",
    "proof-bundles",
    "reference",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "xtask",
];

/// One place that breaks one rule.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    place: String,
    why: String,
}

impl Broken {
    fn new(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), why: why.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

/// The command.
pub(crate) fn run(repository: &Repository) -> Result<ExitCode, Failure> {
    let broken = report(repository)?;
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(NOT_CONFORMING) })
}

/// Prints what breaks a rule; how many places do.
pub(crate) fn report(repository: &Repository) -> Result<usize, Failure> {
    let metadata = repository.metadata()?;
    let tree = Tree::of(repository)?;
    let rules = [
        ("code map", code_map::check(&tree, &PLACES)),
        ("arrows", arrows::check(&metadata.packages, &PLACES)),
        ("Python in one crate", arrows::check_python(&metadata.packages, INTERPRETER)),
        ("no circle of imports", circles::check(&tree)),
        ("no unsafe code", crates::check_unsafe(&tree, &NOT_FORBIDDING)),
        ("shared lints", crates::check_lints(&tree)),
        ("top level", files::check_top(&tree, &TOP)),
        ("size of files", files::check_size(&tree)),
        ("length of sources", files::check_length(&tree)),
        ("no escape hatches", text::check_hatches(&tree)),
        ("no place of one machine", text::check_places(&tree)),
    ];
    for (rule, broken) in &rules {
        say(&format!("{} {rule}\n", if broken.is_empty() { "ok      " } else { "BROKEN  " }));
        broken.iter().for_each(|broken| say(&format!("           {broken}\n")));
    }
    Ok(rules.iter().map(|(_, broken)| broken.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_product_code_may_use_a_bench_and_the_harness_links_no_model() {
        let may = |place: &Place, name: &str| place.needs.iter().chain(place.may).any(|used| *used == name);
        assert!(!PLACES.iter().any(|place| may(place, "bench")));
        let harness = PLACES.iter().find(|place| place.name == "harness").unwrap();
        assert!(!["gpt2", "report", "conformance"].iter().any(|name| may(harness, name)));
    }
}
