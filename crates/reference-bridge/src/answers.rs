//! Standard output, kept for the protocol alone.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

/// Takes standard output away from everybody else: what Python or a library prints from now on goes to standard
/// error. The worker dies as soon as nobody reads the answers any more.
pub(crate) fn take_stdout() -> io::Result<File> {
    // The duplicate is closed on exec, so programs started by a library cannot write to it either.
    let answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    die_with_reader(answers.try_clone()?)?;
    Ok(answers)
}

/// A parent that was killed cannot stop its worker; the pipe it leaves behind tells.
fn die_with_reader(answers: File) -> io::Result<()> {
    let watch = move || {
        // Errors and hang-ups are reported without being asked for.
        let mut readers = [PollFd::new(&answers, PollFlags::empty())];
        while poll(&mut readers, None) == Err(rustix::io::Errno::INTR) {}
        if readers[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            // Not an exit: that would run the exit handlers of libraries that are at work on the main thread. Not a word
            // either: standard error is as deserted as standard output.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    thread::Builder::new().name("reader-watch".to_owned()).spawn(watch).map(drop)
}
