//! How fast a comparison reads: `cargo bench -p tensor-compare`. Prints GB/s over both tensors.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tensor_compare::{Criterion, MatchedPair, Tensor, Tolerance, compare};

const ELEMENTS: usize = 16 << 20;
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let expected: Vec<f32> = (0..ELEMENTS).map(|index| 1.0 + (index % 8191) as f32 / 8192.0).collect();
    let off_by = |share: f32| {
        expected
            .iter()
            .enumerate()
            .map(|(i, x)| x * (1.0 + share * ((i * 31 % 257) as f32 - 128.0)))
            .collect()
    };
    let (close, wrong): (Vec<f32>, Vec<f32>) = (off_by(1e-9), off_by(1e-4));
    let tensor = |values: &[f32]| Tensor::from_f32(&[ELEMENTS], values);
    let (expected, close, wrong) = (tensor(&expected)?, tensor(&close)?, tensor(&wrong)?);
    let classic = Criterion::Classic(Tolerance::new(1e-4, 1e-4)?);
    report("classic, close", MatchedPair::new(close.view(), expected.view())?, classic);
    report("classic, wrong", MatchedPair::new(wrong.view(), expected.view())?, classic);
    report("bit-exact, same", MatchedPair::new(expected.view(), expected.view())?, Criterion::BitExact);
    report("bit-exact, wrong", MatchedPair::new(wrong.view(), expected.view())?, Criterion::BitExact);
    Ok(())
}

fn report(name: &str, pair: MatchedPair<'_>, criterion: Criterion) {
    let time = || {
        let start = Instant::now();
        black_box(compare(black_box(pair), criterion));
        start.elapsed()
    };
    let best = (0..ROUNDS).map(|_| time()).min().unwrap_or(Duration::MAX);
    let bytes = pair.actual().bytes().len() + pair.expected().bytes().len();
    println!("{name:<18} {:6.2} GB/s", bytes as f64 / best.as_secs_f64() / 1e9);
}
