//! Dumps as somebody might write them who means harm, or whose disk was full: each is refused with its reason, soon, and without
//! taking memory that the file does not have.

mod arrays;
mod case;
mod folders;
mod pickles;
mod safetensors;
mod zip;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use case::Case;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = [arrays::cases(), folders::cases(), pickles::cases(), safetensors::cases(), zip::cases()];
    let mut trials: Vec<Trial> = cases.into_iter().flatten().map(trial).collect();
    trials.push(Trial::test("no_name_is_used_twice", names_differ));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The peak of the whole process is known only now.
    match case::check_memory() {
        Ok(()) => conclusion.exit_code(),
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn trial(case: Case) -> Trial {
    Trial::test(case.name.to_owned(), move || case.run())
}

fn names_differ() -> Result<(), Failed> {
    let cases = [arrays::cases(), folders::cases(), pickles::cases(), safetensors::cases(), zip::cases()];
    let mut names: Vec<&str> = cases.iter().flatten().map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() == count { Ok(()) } else { Err("two cases have one name".into()) }
}
