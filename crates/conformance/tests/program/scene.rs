//! A place of its own for each test, and the program in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// One layer, width 8, two heads, 300 tokens, 16 positions.
pub(crate) const TINY: &str = "1,8,2,300,16";

/// A repository with nothing in it, a cache, a folder for bundles.
pub(crate) struct Scene {
    folder: TempDir,
    worker: PathBuf,
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scene {
    /// References that end as soon as they are started.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("reference/trialplate_reference")).unwrap();
        for file in ["reference/requirements.lock", "Cargo.lock"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        Self { folder, worker: "/bin/false".into() }
    }

    /// References that are this shell script.
    pub(crate) fn with_worker(script: &str) -> Self {
        let mut scene = Self::new();
        scene.worker = scene.script("worker", script);
        scene
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tiny model in a directory of this name.
    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.model_of(name, TINY)
    }

    pub(crate) fn model_of(&self, name: &str, spec: &str) -> PathBuf {
        let directory = self.at(name);
        gpt2::synthetic::write(&directory, &spec.parse().unwrap()).unwrap();
        directory
    }

    /// An executable script. Another process writes it: a file that this one has open cannot be executed, and its open
    /// files are, for a moment, those of every process that another test starts.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.at(name);
        let mut shell = Command::new("sh")
            .args(["-c", r#"cat > "$1" && chmod 700 "$1""#, "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        write!(shell.stdin.take().unwrap(), "#!/bin/sh\n{body}\n").unwrap();
        assert!(shell.wait().unwrap().success());
        path
    }

    /// The program, in this place.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
        self.furnish(&mut command);
        command
    }

    /// Tells a command where everything is.
    pub(crate) fn furnish(&self, command: &mut Command) {
        command
            .env("TRIALPLATE_ROOT", self.folder.path())
            .env("TRIALPLATE_REFERENCE", self.at("reference"))
            .env("TRIALPLATE_CACHE", self.at("cache"))
            .env("TRIALPLATE_WORKER", &self.worker)
            .env("GIT_CEILING_DIRECTORIES", self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
    }

    /// `checkpoint ARGUMENTS`, to its end.
    pub(crate) fn checkpoint(&self, arguments: &[&str]) -> Told {
        self.program().arg("checkpoint").args(arguments).output().unwrap().into()
    }

    /// `checkpoint all` of one case on the tiny model, with these arguments too; the report.
    pub(crate) fn report(&self, arguments: &[&str]) -> Value {
        self.report_with_code(arguments, Some(4))
    }

    /// The same, with that exit code where it matters.
    pub(crate) fn report_with_code(&self, arguments: &[&str], code: Option<i32>) -> Value {
        let model = self.model("tiny");
        let usual = ["all", "--case", "two-tokens", "--quiet", "--format", "json", "--model"];
        let mut program = self.program();
        let told =
            Told::from(program.arg("checkpoint").args(usual).arg(model).args(arguments).output().unwrap());
        assert!(code.is_none() || told.code == code, "{told:?}");
        serde_json::from_str(&told.stdout).unwrap()
    }

    /// Neither a bundle nor any work was left.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        for folder in ["proof-bundles", "cache/work", "cache/captures"] {
            let mut left = files_below(&self.at(folder));
            // Whoever writes bundles locks their folder.
            left.retain(|file| *file != self.at("proof-bundles/.lock"));
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
    }
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Told {
    /// An error with that exit code that says all of these, and nothing that looks like a report or a crash.
    #[track_caller]
    pub(crate) fn assert_error(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
    }
}

/// All files below a folder, hidden ones as well; none when it is not there.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
