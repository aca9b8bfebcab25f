//! The real binary on a fake reference. It needs a Python environment with NumPy:
//! `TRIALPLATE_PYTHON_ENV=… cargo test -p reference-bridge`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use capture::protocol::{Event, Job, SCHEMA, WorkList};
use capture::{CaptureFile, Case, Identity, Precision, Tensor, TensorName, TensorSource};
use tempfile::TempDir;

/// A folder for outputs, and the answer to what was asked last.
struct Bench {
    folder: TempDir,
    list: WorkList,
}

struct Answer {
    events: Vec<Event>,
    output: Output,
}

impl Bench {
    fn new(precision: Precision) -> Self {
        let list = WorkList {
            schema: SCHEMA.to_owned(),
            implementation: "fake".to_owned(),
            precision,
            model: "the/model".into(),
            threads: 2,
            jobs: Vec::new(),
        };
        Self { folder: TempDir::new().unwrap(), list }
    }

    /// Adds a run of each case; the case's id says what the fake does.
    fn run(mut self, cases: &[&str]) -> Self {
        for case in cases {
            self.list.jobs.push(Job { case: case_of(case), output: self.path(case) });
        }
        self
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("{id}.safetensors"))
    }

    fn tensor(&self, id: &str, name: &str) -> Option<Tensor> {
        let file = CaptureFile::open(&self.path(id)).unwrap();
        file.tensor(&TensorName::parse(name).unwrap()).unwrap()
    }

    fn ask(&self) -> Answer {
        self.ask_with(&mut worker())
    }

    fn ask_with(&self, command: &mut Command) -> Answer {
        Answer::of(self.start(command).wait_with_output().unwrap())
    }

    fn start(&self, command: &mut Command) -> Child {
        start(command, &serde_json::to_vec(&self.list).unwrap())
    }
}

impl Answer {
    fn of(output: Output) -> Self {
        // Every line must be an event: nothing else may reach standard output.
        let events = output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        Self { events: events.collect(), output }
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    fn expect(&self, code: i32, events: &[Event]) {
        assert_eq!(self.output.status.code(), Some(code), "{}", self.stderr());
        assert_eq!(self.events, events, "{}", self.stderr());
    }

    #[track_caller]
    fn expect_failure(&self, job: usize, parts: &[&str]) {
        let error = self.events.iter().find_map(|event| match event {
            Event::Failed { job: failed, error } if *failed == job => Some(error),
            _ => None,
        });
        let error = error.unwrap_or_else(|| panic!("job {job} did not fail: {:?}", self.events));
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    }

    #[track_caller]
    fn expect_stop(&self, code: i32, parts: &[&str]) {
        self.expect(code, &[]);
        for part in parts {
            assert!(self.stderr().contains(part), "`{part}` is not in: {}", self.stderr());
        }
    }
}

fn case_of(id: &str) -> Case {
    Case {
        id: id.to_owned(),
        token_ids: vec![vec![3, 5]],
        texts: None,
        schedule: vec![2],
        generate: 0,
        forced: None,
    }
}

fn ready(precision: Precision) -> Event {
    let version = "1 the/model 2".to_owned();
    Event::Ready {
        identity: Identity { name: "fake".to_owned(), version, precision, device: "cpu".to_owned() },
    }
}

fn python_env() -> OsString {
    std::env::var_os("TRIALPLATE_PYTHON_ENV").expect(
        "these tests need TRIALPLATE_PYTHON_ENV: the Python environment that `cargo xtask setup` installs",
    )
}

fn worker() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-bridge"));
    command
        .env("TRIALPLATE_PYTHON_ENV", python_env())
        .env("TRIALPLATE_REFERENCE", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_reference"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start(command: &mut Command, input: &[u8]) -> Child {
    let mut child = command.spawn().unwrap();
    // A worker that stops before it reads is judged by what it says, not by the broken pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child
}

#[test]
fn run_writes_a_capture_of_exact_arrays() {
    for precision in [Precision::F32, Precision::F64] {
        let bench = Bench::new(precision).run(&["good"]);
        bench.ask().expect(0, &[ready(precision), Event::Done { job: 0 }]);
        let float = |shape: &[usize], values: &[f64]| match precision {
            Precision::F32 => {
                Tensor::from_f32(shape, &values.iter().map(|&v| v as f32).collect::<Vec<_>>()).unwrap()
            }
            Precision::F64 => Tensor::from_f64(shape, values).unwrap(),
            Precision::F16 | Precision::Bf16 => unreachable!("asked in f32 and f64 only"),
        };
        let file = CaptureFile::open(&bench.path("good")).unwrap();
        let Event::Ready { identity } = ready(precision) else { unreachable!() };
        assert_eq!(*file.identity(), identity);
        assert!(file.not_contiguous().is_empty());
        assert_eq!(file.names().len(), 4);
        let embd = float(&[1, 2, 3], &[0.0, 0.25, 0.5, 0.75, 1.0, 1.25]);
        assert_eq!(bench.tensor("good", "step0/embd"), Some(embd));
        assert_eq!(
            bench.tensor("good", "step0/token_ids"),
            Some(Tensor::from_i64(&[1, 2], &[3, 5]).unwrap())
        );
        assert_eq!(bench.tensor("good", "head.tied"), Some(Tensor::from_u8(&[1], &[1]).unwrap()));
        assert_eq!(bench.tensor("good", "scalar"), Some(float(&[], &[-0.0])));
    }
}

#[test]
fn arrays_that_are_not_contiguous_are_noted_and_copied_in_row_major_order() {
    let bench = Bench::new(Precision::F32).run(&["not-contiguous"]);
    bench.ask().expect(0, &[ready(Precision::F32), Event::Done { job: 0 }]);
    let file = CaptureFile::open(&bench.path("not-contiguous")).unwrap();
    let noted = ["broadcast", "every.second", "fortran", "reversed", "transposed"];
    assert!(file.not_contiguous().iter().map(ToString::to_string).eq(noted));
    let expect = |name: &str, shape: &[usize], values: &[f32]| {
        let found = bench.tensor("not-contiguous", name);
        assert_eq!(found, Some(Tensor::from_f32(shape, values).unwrap()), "{name}");
    };
    expect("contiguous", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    expect("transposed", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    expect("fortran", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    expect("every.second", &[3], &[0.0, 2.0, 4.0]);
    expect("reversed", &[3], &[2.0, 1.0, 0.0]);
    expect("broadcast", &[3], &[1.0, 1.0, 1.0]);
}

#[test]
fn what_is_not_a_well_formed_capture_is_refused_by_name() {
    let expected: [(&str, &[&str]); 17] = [
        ("other-float", &["1 of 5 arrays", "'step0/logits'", "dtype float64", "expected float of f32"]),
        ("half", &["'x'", "dtype float16"]),
        ("int32", &["dtype int32", "int64"]),
        ("big-endian", &["dtype >f4", "little endian"]),
        ("objects", &["dtype object"]),
        ("structured", &["dtype [('a'"]),
        ("listed", &["found list; expected numpy.ndarray"]),
        ("masked", &["MaskedArray; expected numpy.ndarray"]),
        ("bad-name", &["'step01/x'", "not a tensor's name"]),
        ("reserved-name", &["'__metadata__'", "not a tensor's name"]),
        ("number-name", &["3: the name is int"]),
        ("surrogate-name", &["UnicodeEncodeError"]),
        ("many-wrong", &["8 of 12 arrays", "'wrong.0'", "'wrong.4'", "…"]),
        ("comes-twice", &["1 of 2 arrays", "'x': the name comes twice"]),
        ("fails-midway", &["ValueError: no more"]),
        ("nothing", &["no arrays"]),
        ("no-such-method", &["AttributeError"]),
    ];
    let cases: Vec<_> = expected.iter().map(|(case, _)| *case).collect();
    let bench = Bench::new(Precision::F32).run(&cases);
    let answer = bench.ask();
    assert_eq!(answer.output.status.code(), Some(0));
    assert_eq!(answer.events.len(), 1 + expected.len());
    for (job, (case, parts)) in expected.iter().enumerate() {
        answer.expect_failure(job, parts);
        assert!(!bench.path(case).exists());
    }
    let bench = Bench::new(Precision::F64).run(&["other-float"]);
    bench.ask().expect_failure(0, &["dtype float32", "expected float of f64"]);
}

#[test]
fn an_exception_fails_its_job_and_the_next_is_tried() {
    let bench = Bench::new(Precision::F32).run(&["raises", "exits", "unprintable", "good"]);
    let answer = bench.ask();
    let failed = |job, error: &str| Event::Failed { job, error: error.to_owned() };
    let message = "ValueError: token id 7 is outside the vocabulary of 1 tokens\nuse a smaller one";
    let unprintable = "trialplate_reference.Unprintable, whose message cannot be printed";
    let events = [
        ready(Precision::F32),
        failed(0, message),
        failed(1, "SystemExit: enough"),
        failed(2, unprintable),
        Event::Done { job: 3 },
    ];
    answer.expect(0, &events);
    assert!(answer.stderr().contains("Traceback (most recent call last)"), "{}", answer.stderr());
    assert!(answer.stderr().contains("in raises"), "{}", answer.stderr());
}

#[test]
fn a_stale_capture_does_not_outlive_a_failed_job() {
    let bench = Bench::new(Precision::F32).run(&["raises"]);
    std::fs::write(bench.path("raises"), "of an earlier run").unwrap();
    bench.ask().expect_failure(0, &["ValueError"]);
    assert!(!bench.path("raises").exists());
}

#[test]
fn nothing_printed_reaches_the_protocol() {
    let bench = Bench::new(Precision::F32).run(&["prints"]);
    let answer = bench.ask();
    answer.expect(0, &[ready(Precision::F32), Event::Done { job: 0 }]);
    let sources = ["print", "sys.__stdout__", "the descriptor", "C", "a program"];
    for text in sources.iter().map(|source| format!("from {source}\n")).chain(["at exit\n".to_owned()]) {
        assert!(answer.stderr().contains(&text), "`{text}` is not in: {}", answer.stderr());
    }
}

#[test]
fn a_crash_ends_the_worker_with_its_signal_and_leaves_a_traceback() {
    for (case, signal) in [("segfaults", 11), ("aborts", 6)] {
        let bench = Bench::new(Precision::F32).run(&["good", case, "not-contiguous"]);
        let answer = bench.ask();
        assert_eq!(answer.output.status.signal(), Some(signal), "{}", answer.stderr());
        assert_eq!(answer.events, [ready(Precision::F32), Event::Done { job: 0 }]);
        assert!(answer.stderr().contains(&format!("in {case}")), "{}", answer.stderr());
        assert!(bench.path("good").exists() && !bench.path(case).exists());
    }
}

#[test]
fn arrays_of_a_job_are_dropped_before_the_next() {
    let bench = Bench::new(Precision::F32).run(&["leaves", "is-gone"]);
    bench.ask().expect(0, &[ready(Precision::F32), Event::Done { job: 0 }, Event::Done { job: 1 }]);
}

#[test]
fn what_fails_midway_leaves_nothing() {
    let bench = Bench::new(Precision::F32).run(&["fails-midway", "good"]);
    bench.ask().expect_failure(0, &["no more"]);
    let left: Vec<_> =
        std::fs::read_dir(bench.folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(left, [bench.path("good")]);
}

#[test]
fn an_array_is_read_before_the_session_goes_on() {
    let bench = Bench::new(Precision::F32).run(&["written-over"]);
    bench.ask().expect(0, &[ready(Precision::F32), Event::Done { job: 0 }]);
    for (name, value) in [("a", 0.0), ("b", 1.0)] {
        let expected = Tensor::from_f32(&[3], &[value; 3]).unwrap();
        assert_eq!(bench.tensor("written-over", name), Some(expected));
    }
}

#[test]
fn memory_does_not_grow_with_the_capture() {
    let bench = Bench::new(Precision::F32).run(&["large"]);
    bench.ask().expect(0, &[ready(Precision::F32), Event::Done { job: 0 }]);
    let last = Tensor::from_i64(&[1 << 20], &[23; 1 << 20]).unwrap();
    assert_eq!(bench.tensor("large", "step23/x"), Some(last));
}

#[test]
fn the_environment_of_the_shell_does_not_reach_python() {
    let bench = Bench::new(Precision::F32).run(&["environment"]);
    let elsewhere = TempDir::new().unwrap();
    std::fs::write(elsewhere.path().join("numpy.py"), "raise SystemError('not the locked numpy')").unwrap();
    let mut command = worker();
    command
        .env("PYTHONPATH", elsewhere.path())
        .env("PYTHONHOME", "/nowhere")
        .env("LC_ALL", "C")
        .env("PATH", "/usr/bin:/bin");
    bench.ask_with(&mut command).expect(0, &[ready(Precision::F32), Event::Done { job: 0 }]);
}

#[test]
fn a_malformed_work_list_exits_64() {
    let answer = Answer::of(start(&mut worker(), b"{}").wait_with_output().unwrap());
    answer.expect_stop(64, &["malformed work list", "schema"]);
}

#[test]
fn any_argument_is_refused() {
    let answer = Answer::of(start(worker().arg("--help"), b"").wait_with_output().unwrap());
    answer.expect_stop(64, &["unexpected argument \"--help\""]);
}

#[test]
fn no_python_or_no_package_exits_70_and_says_what_to_do() {
    const SETUP: &str = "cargo xtask setup";
    let bench = Bench::new(Precision::F32).run(&["good"]);
    let unset = bench.ask_with(worker().env_remove("TRIALPLATE_PYTHON_ENV"));
    unset.expect_stop(70, &["TRIALPLATE_PYTHON_ENV is not set", SETUP]);
    let nowhere = bench.ask_with(worker().env("TRIALPLATE_REFERENCE", "/nowhere"));
    nowhere.expect_stop(70, &["TRIALPLATE_REFERENCE is /nowhere", SETUP]);
    let mut needy = Bench::new(Precision::F32);
    needy.list.implementation = "needs-a-package".to_owned();
    needy.ask().expect_stop(70, &["No module named 'no_such_package'", SETUP]);
}

#[test]
fn a_session_that_does_not_open_or_is_another_exits_70() {
    let mut bench = Bench::new(Precision::F32).run(&["good"]);
    bench.list.implementation = "broken".to_owned();
    bench.ask().expect_stop(70, &["`broken` could not be opened: OSError: the/model has no config.json"]);
    bench.list.implementation = "impostor".to_owned();
    bench.ask().expect_stop(70, &["says it is somebody-else@f32; expected impostor@f32"]);
}

#[test]
fn an_interrupt_kills_the_worker() {
    let answer = Bench::new(Precision::F32).run(&["interrupted", "good"]).ask();
    assert_eq!(answer.output.status.signal(), Some(2), "{}", answer.stderr());
    assert_eq!(answer.events, [ready(Precision::F32)]);
}

#[test]
fn the_worker_dies_with_its_reader() {
    let bench = Bench::new(Precision::F32).run(&["waits", "good"]);
    let mut child = bench.start(&mut worker());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "waiting\n");
    // As when the parent is killed: nobody reads either stream.
    drop(stderr);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}
