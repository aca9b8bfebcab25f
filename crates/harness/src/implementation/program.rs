//! The program of a worker: found before anything runs, started when there is work, ended with all that it started.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use checkpoint_spec::registry;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::exit::usage;
use crate::place::Place;

/// How often a wait looks around.
pub const GLANCE: Duration = Duration::from_millis(50);
/// How much of a program's standard error is told.
const LAST_LINES: usize = 15;

/// A program that speaks the worker protocol.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it is reported as.
    pub name: String,
    /// The file that is started.
    pub path: PathBuf,
    /// What it is given.
    pub arguments: Vec<OsString>,
}

/// A started program. It does not outlive its owner, and neither does what it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: bool,
}

impl Program {
    /// A Python reference behind the bridge.
    pub(super) fn bridge(place: &Place, implementation: &str) -> Result<Self> {
        let path = bridge(place)?.to_owned();
        Ok(Self { name: implementation.to_owned(), path, arguments: Vec::new() })
    }

    /// Somebody's engine: a program and its arguments, separated by blanks. Without a name it is reported as its file.
    pub(super) fn command(name: Option<&str>, command: &str) -> Result<Self> {
        let mut words = command.split_whitespace();
        let word = words
            .next()
            .ok_or_else(|| usage("`command:` needs a program, as in `command:./engine --flag`"))?;
        let file = Path::new(word).file_stem().unwrap_or(word.as_ref()).to_string_lossy().into_owned();
        let program = Self::found(name.unwrap_or(&file), word, words)?;
        if registry::known(&program.name).is_some() {
            return Err(usage(format!(
                "command:{word} would be reported as `{}`, which is another implementation; give it another name, as \
                 in `mine=command:{word}`",
                program.name
            )));
        }
        if name.is_some_and(|name| !is_name(name)) {
            return Err(usage(format!(
                "`{}` is no name for command:{word}; expected letters, digits, `.`, `_` and `-`, a letter or digit first",
                program.name
            )));
        }
        Ok(program)
    }

    /// A program at a path, or in PATH.
    pub fn found<A: Into<OsString>>(
        name: &str,
        word: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let path = find(word).ok_or_else(|| {
            usage(format!(
                "command:{word}: no such program; expected the path of an executable file, or a name in PATH"
            ))
        })?;
        let arguments = arguments.into_iter().map(Into::into).collect();
        Ok(Self { name: name.to_owned(), path, arguments })
    }

    /// Starts it.
    pub(super) fn start(&self, stderr: File) -> Result<Process> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        Process::start(command, stderr)
    }
}

impl Process {
    /// Starts a command with pipes, in a process group of its own.
    pub fn start(mut command: Command, stderr: File) -> Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        Ok(Self { child, ended: false })
    }

    /// The ends of its pipes; each is given once.
    pub fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>) {
        (self.child.stdin.take(), self.child.stdout.take())
    }

    /// How it ended by itself; none when it has not within the patience. `stop` ends the wait.
    pub(super) fn wait(
        &mut self,
        patience: Duration,
        stop: impl Fn() -> Result<()>,
    ) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        while !self.has_ended()? {
            if Instant::now() >= deadline {
                return Ok(None);
            }
            stop()?;
            std::thread::sleep(GLANCE);
        }
        Ok(Some(self.end()?))
    }

    /// Looks without collecting it: until it is collected, nobody else can have its process group.
    fn has_ended(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let found = retry_on_intr(|| waitid(WaitId::Pid(Pid::from_child(&self.child)), options))?;
        Ok(found.is_some())
    }

    /// Ends it and what it started, and collects it.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if !self.ended {
            // Nobody there is no failure.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            self.ended = true;
        }
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The end of what a program wrote to its standard error.
pub fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

fn is_name(text: &str) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_known)
}

/// Where a program is: a path as it stands, a bare name in PATH.
fn find(word: &str) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(PathBuf::from(word)).filter(|path| is_executable(path));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(word)).find(|path| is_executable(path))
}

/// The program that runs Python references.
pub(crate) fn bridge(place: &Place) -> Result<&Path> {
    let path = &place.worker;
    if !is_executable(path) {
        bail!(
            "{}: no executable file, expected the worker that runs the references; `cargo xtask checkpoint` builds it \
             and says in TRIALPLATE_WORKER where it is",
            path.display()
        );
    }
    Ok(path)
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
