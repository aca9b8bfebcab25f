use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{Case, Precision, Sink, Tensor, TensorName};

/// Gives one tensor for a case, and fails the case that is called `wrong`.
struct Half {
    identity: Identity,
}

impl Session for Half {
    type Error = String;

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn attempt(&mut self, job: &Job, mut capture: CaptureWriter) -> Result<CaptureWriter, String> {
        capture.put(TensorName::of_case("x"), Tensor::from_u8(&[1], &[1]).unwrap().view(), true);
        if job.case.id == "wrong" {
            return Err("cannot\ncompute".to_owned());
        }
        Ok(capture)
    }
}

/// Delivers nothing.
struct Deaf;

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn half() -> Half {
    let (name, version, device) = ("half".to_owned(), "1".to_owned(), "cpu".to_owned());
    Half { identity: Identity { name, version, precision: Precision::F32, device } }
}

fn job(id: &str, output: impl Into<PathBuf>) -> Job {
    let case = Case {
        id: id.to_owned(),
        token_ids: vec![vec![1]],
        texts: None,
        schedule: vec![1],
        generate: 0,
        forced: None,
    };
    Job { case, output: output.into() }
}

fn list(jobs: Vec<Job>) -> WorkList {
    let (schema, implementation) = (SCHEMA.to_owned(), "half".to_owned());
    WorkList { schema, implementation, precision: Precision::F32, model: "model".into(), threads: 1, jobs }
}

fn read(list: &WorkList) -> Result<WorkList, WorkListError> {
    read_work_list(serde_json::to_vec(list).unwrap().as_slice())
}

#[track_caller]
fn assert_malformed(result: Result<WorkList, WorkListError>, part: &str) {
    let error = result.unwrap_err();
    assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
}

#[test]
fn every_job_has_one_event_on_one_line_whatever_became_of_it() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let jobs = vec![
        job("right", at("a")),
        job("wrong", at("b")),
        job("right", at("nowhere/c")),
        job("right", at("d")),
    ];
    let (mut answers, mut notes) = (Vec::new(), Vec::new());
    attempt_all(&list(jobs), &mut half(), &mut answers, &mut notes).unwrap();
    assert!(String::from_utf8(notes).unwrap().starts_with("job 1, case `wrong`: cannot\ncompute\njob 2,"));
    let lines = String::from_utf8(answers).unwrap();
    let events: Vec<Event> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 5);
    assert_eq!(events[0], Event::Ready { identity: half().identity });
    assert_eq!(events[1], Event::Done { job: 0 });
    assert_eq!(events[2], Event::Failed { job: 1, error: "cannot\ncompute".to_owned() });
    assert!(matches!(&events[3], Event::Failed { job: 2, error } if error.contains("nowhere")));
    assert_eq!(events[4], Event::Done { job: 3 });
    assert!(at("a").exists() && !at("b").exists() && at("d").exists());
}

#[test]
fn a_stale_output_is_removed_before_the_attempt() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("a");
    fs::write(&output, "stale").unwrap();
    let jobs = vec![job("wrong", &output)];
    attempt_all(&list(jobs), &mut half(), &mut Vec::new(), &mut io::sink()).unwrap();
    assert!(!output.exists());
}

#[test]
fn without_a_reader_the_work_ends() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("a");
    let error =
        attempt_all(&list(vec![job("right", &output)]), &mut half(), &mut Deaf, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(!output.exists());
}

#[test]
fn a_work_list_without_jobs_asks_for_the_identity_alone() {
    let empty = read(&list(Vec::new())).unwrap();
    let mut answers = Vec::new();
    attempt_all(&empty, &mut half(), &mut answers, &mut io::sink()).unwrap();
    assert_eq!(answers.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn a_work_list_is_read_strictly() {
    let good = list(vec![job("right", "a"), job("right", "b")]);
    assert_eq!(read(&good).unwrap(), good);
    let text = serde_json::to_string(&good).unwrap();
    assert_malformed(read_work_list(&b""[..]), "EOF");
    assert_malformed(read_work_list(format!("{text}{text}").as_bytes()), "trailing");
    assert_malformed(read_work_list(text.replacen('{', r#"{"extra":1,"#, 1).as_bytes()), "extra");
    assert_malformed(read_work_list(text.replacen('{', r#"{"threads":1,"#, 1).as_bytes()), "duplicate");
    assert_malformed(read(&WorkList { schema: "trialplate/work/1".to_owned(), ..good.clone() }), SCHEMA);
    assert_malformed(read(&WorkList { threads: 0, ..good }), "threads is 0");
}

#[test]
fn jobs_that_would_destroy_each_other_are_refused() {
    assert_malformed(read(&list(vec![job("right", "a"), job("wrong", "a")])), "job 1 writes a");
}
