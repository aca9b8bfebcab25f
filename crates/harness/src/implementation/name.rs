//! How an implementation is named, and what is started under that name.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use capture::Precision;
use checkpoint_spec::Traits;
use checkpoint_spec::registry::{Host, REGISTRY, known};

use super::local::InProcess;
use super::{Implementation, Means, Program, Worker};
use crate::exit::usage;

/// What stands before the program of somebody's engine.
const COMMAND: &str = "command:";

/// How an implementation is named on the command line: `rust`, `torch@f32`, `command:./engine`, `mine=command:python a.py`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImplementationName {
    /// As the registry or the program that links it knows it, or `[NAME=]command:PROGRAM`.
    pub name: String,
    /// What it computes in.
    pub precision: Precision,
}

impl ImplementationName {
    /// Reads `NAME[@PRECISION]`; the precision is f32 when it is not given.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, precision) = match text.rsplit_once('@') {
            None => (text, Precision::F32),
            Some((name, precision)) => match Precision::parse(precision) {
                Some(precision) => (name, precision),
                None => {
                    let known = Precision::ALL.map(Precision::name).join(", ");
                    return Err(format!("precision `{precision}` is not known; there are: {known}"));
                }
            },
        };
        if known(name).is_none() && command(name).is_none() {
            return Err(format!(
                "implementation `{name}` is not known; there are: {}, command:PROGRAM (a program that \
                 speaks the worker protocol)",
                REGISTRY.map(|entry| entry.name).join(", ")
            ));
        }
        Ok(Self { name: name.to_owned(), precision })
    }

    /// What it is reported as: the name of a program where it has no other.
    pub fn reported(&self) -> Result<String> {
        match command(&self.name) {
            Some((name, command)) => Ok(Program::command(name, command)?.name),
            None => Ok(self.name.clone()),
        }
    }

    /// `torch@f32`, as it is reported.
    pub fn label(&self) -> Result<String> {
        Ok(format!("{}@{}", self.reported()?, self.precision))
    }

    /// What is required of it, on a model with or without a tokenizer.
    pub fn traits(&self, tokenizer: bool) -> Result<Traits> {
        Ok(Traits::of(&self.reported()?, tokenizer))
    }

    /// Whether it is somebody's engine.
    pub fn is_command(&self) -> bool {
        command(&self.name).is_some()
    }

    /// The same in a process of its own, wherever it can be.
    pub fn start_apart(&self, means: &Means) -> Result<Box<dyn Implementation>> {
        let apart = means.local(&self.name).map(|local| local.apart()).transpose()?.flatten();
        match apart {
            Some(program) => Ok(Box::new(Worker::new(program, self.precision, means.clone()))),
            None => self.start(means),
        }
    }

    /// The implementation of that name, or why there is none. Nothing runs before it has jobs.
    pub fn start(&self, means: &Means) -> Result<Box<dyn Implementation>> {
        let Some(local) = means.local(&self.name) else {
            return Ok(Box::new(Worker::new(self.program(means)?, self.precision, means.clone())));
        };
        if self.precision != Precision::F32 {
            return Err(usage(format!("{} computes in f32; ask for `{}@f32`", local.title(), self.name)));
        }
        Ok(Box::new(InProcess::new(local.clone(), means.clone())))
    }

    /// The file that is started as this implementation: the worker for one in Python, this program for one that it links.
    pub fn executable(&self, means: &Means) -> Result<PathBuf> {
        match means.local(&self.name) {
            Some(_) => std::env::current_exe().context("this program"),
            None => Ok(self.program(means)?.path),
        }
    }

    /// The program of one that is no part of this one.
    fn program(&self, means: &Means) -> Result<Program> {
        match command(&self.name) {
            Some((name, command)) => Program::command(name, command),
            None if known(&self.name).is_some_and(|entry| entry.host == Host::Python) => {
                Program::bridge(&means.place, &self.name)
            }
            None => Err(usage(format!("`{}` is not linked into this program", self.name))),
        }
    }
}

impl fmt::Display for ImplementationName {
    /// What [`ImplementationName::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.precision)
    }
}

/// Name and command of `[NAME=]command:PROGRAM`.
fn command(text: &str) -> Option<(Option<&str>, &str)> {
    if let Some(command) = text.strip_prefix(COMMAND) {
        return Some((None, command));
    }
    let (name, rest) = text.split_once('=')?;
    Some((Some(name), rest.strip_prefix(COMMAND)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["rust@f32", "torch@f64", "command:sh -c a@b@bf16", "mine=command:sh a=b@f16"] {
            assert_eq!(ImplementationName::parse(text).unwrap().to_string(), text);
        }
        for text in ["nobody", "torch@f8", "mine=sh", "=torch"] {
            assert!(ImplementationName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_scripts_of_one_interpreter_have_names_and_nobody_takes_that_of_another() {
        let reported = |text: &str| ImplementationName::parse(text).unwrap().reported();
        assert_eq!(reported("command:sh a.sh").unwrap(), "sh");
        assert_eq!(reported("a.port-2=command:sh a.sh").unwrap(), "a.port-2");
        for text in ["torch=command:sh", "=command:sh", "a/b=command:sh", ".a=command:sh", "a b=command:sh"] {
            assert!(reported(text).is_err(), "{text}");
        }
    }
}
