//! Children: started in a group of their own, so that an interrupt reaches all of them and none is left behind.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::progress::Progress;

/// How many of a failed tool's last lines an error repeats.
const LINES_KEPT: usize = 12;
/// After how long an interrupted child that is still there is told again.
const AGAIN: Duration = Duration::from_secs(1);

static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// From now on an interrupt is passed on to the running child and all that it started; without a child it ends this
/// process.
pub(crate) fn pass_signals_on() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])
        .map_err(|error| Failure::new(format!("cannot watch for interrupts: {error}")))?;
    thread::spawn(move || {
        for number in &mut signals {
            CAUGHT.store(number, Ordering::SeqCst);
            match (*running(), Signal::from_named_raw(number)) {
                (Some(group), Some(signal)) => pass_on(group, signal),
                _ => std::process::exit(128 + number),
            }
        }
    });
    Ok(())
}

/// Passes a signal on to a group, and again every second until its leader has been waited for. Once is not enough: what
/// a shell is just forking misses the signal, and the shell waits for it.
fn pass_on(group: Pid, signal: Signal) {
    thread::spawn(move || {
        while *running() == Some(group) {
            // A group that is gone already needs no signal.
            let _ = kill_process_group(group, signal);
            thread::sleep(AGAIN);
        }
    });
}

/// Runs a command with this process's output, and without input.
pub(crate) fn run(mut command: Command) -> Result<ExitStatus, Failure> {
    let mut child = start(command.stdin(Stdio::null()))?;
    let ended = child.wait();
    finish(&command, ended)
}

/// Runs a command with this process's standard error and hands each line of its standard output to `take`.
pub(crate) fn run_with_lines(mut command: Command, take: impl FnMut(String)) -> Result<ExitStatus, Failure> {
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    if let Some(output) = child.stdout.take() {
        lines(output, take);
    }
    let ended = child.wait();
    finish(&command, ended)
}

/// Runs a command whose output is only shown as progress; its last lines belong to the error when it fails.
pub(crate) fn run_with_progress(mut command: Command, progress: &Progress) -> Result<(), Failure> {
    let named = name(&command);
    let broken = |error: io::Error| Failure::new(format!("cannot watch {named}: {error}"));
    let (reader, writer) = io::pipe().map_err(broken)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(broken)?).stderr(writer);
    let mut child = start(&mut command)?;
    // The command holds the writing ends: the reader ends only when they are closed here too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let kept = follow(reader, progress);
    let ended = child.wait();
    let status = finish(&command, ended)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{named} stopped with {}", describe(status))).said(kept))
}

/// Runs a command quietly; its standard output when it succeeds, else the reason.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "not found".to_owned(),
        _ => error.to_string(),
    })?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("{}: {}", describe(done.status), last.trim()))
}

/// Becomes the command: same process, so its exit code, its input and every signal are its own.
pub(crate) fn become_command(mut command: Command) -> Failure {
    let error = command.exec();
    Failure::new(format!("cannot start {}: {error}", name(&command)))
}

/// In words, for a person.
pub(crate) fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

fn start(command: &mut Command) -> Result<Child, Failure> {
    // Held while starting, so that an interrupt in between waits and then reaches the child.
    let mut running = running();
    let child = command
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start {}: {error}", name(command))))?;
    *running = Some(Pid::from_child(&child));
    Ok(child)
}

fn finish(command: &Command, ended: io::Result<ExitStatus>) -> Result<ExitStatus, Failure> {
    *running() = None;
    let status = ended.map_err(|error| Failure::new(format!("lost sight of {}: {error}", name(command))))?;
    match CAUGHT.load(Ordering::SeqCst) {
        0 => Ok(status),
        signal => Err(Failure::interrupted(signal)),
    }
}

fn follow(output: impl Read + Send + 'static, progress: &Progress) -> VecDeque<String> {
    let (sender, receiver) = mpsc::channel();
    // A receiver that is gone is of no concern to the reader.
    let reader = thread::spawn(move || lines(output, |line| drop(sender.send(line))));
    let mut kept = VecDeque::new();
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                progress.note(line.trim());
                if kept.len() == LINES_KEPT {
                    kept.pop_front();
                }
                kept.push_back(line.trim_end().to_owned());
            }
            Err(RecvTimeoutError::Timeout) => progress.tick(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(reader.join());
    kept
}

/// Lines as a terminal would show them: a carriage return ends one too.
fn lines(output: impl Read, mut take: impl FnMut(String)) {
    let mut line = Vec::new();
    for byte in BufReader::new(output).bytes().map_while(Result::ok) {
        if matches!(byte, b'\n' | b'\r') {
            take(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        } else {
            line.push(byte);
        }
    }
    if !line.is_empty() {
        take(String::from_utf8_lossy(&line).into_owned());
    }
}

fn running() -> MutexGuard<'static, Option<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program()];
    words.extend(command.get_args().take(3));
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tool_is_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; echo 'no space left' >&2; exit 3"]);
        let failure = run_with_progress(command, &Progress::hidden()).unwrap_err().to_string();
        assert!(failure.contains("exit code 3"), "{failure}");
        assert!(failure.contains("| begun\n  | no space left"), "{failure}");
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let failure = run(Command::new("trialplate-no-such-tool")).unwrap_err().to_string();
        assert!(failure.contains("cannot start trialplate-no-such-tool"), "{failure}");
    }

    #[test]
    fn carriage_returns_end_lines() {
        let mut seen = Vec::new();
        lines("one\rtwo\n\nthree".as_bytes(), |line| seen.push(line));
        assert_eq!(seen, ["one", "two", "", "three"]);
    }

    #[test]
    fn standard_output_comes_line_by_line() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo a; echo b"]);
        let mut seen = Vec::new();
        assert!(run_with_lines(command, |line| seen.push(line)).unwrap().success());
        assert_eq!(seen, ["a", "b"]);
    }

    #[test]
    fn quiet_failures_carry_the_last_line() {
        let reason = output(Command::new("sh").args(["-c", "echo why >&2; exit 4"])).unwrap_err();
        assert_eq!(reason, "exit code 4: why");
    }
}
