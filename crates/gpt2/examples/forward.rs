//! Times a plain forward pass: `cargo run --release -p gpt2 --example forward -- DIRECTORY TOKENS [REPETITIONS]`.
//! Prints one line of JSON with the best and the median time in seconds.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use gpt2::Gpt2;
use ndarray::Array2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, tokens, repetitions @ ..] = &arguments[..] else {
        return Err("usage: forward DIRECTORY TOKENS [REPETITIONS]".into());
    };
    let tokens: usize = tokens.parse()?;
    let repetitions: usize = repetitions.first().map_or(Ok(10), |text| text.parse())?;
    let model = Gpt2::load(Path::new(directory))?;
    let vocabulary = model.config.vocabulary;
    // Any ids will do; the time does not depend on them.
    let ids = Array2::from_shape_fn((1, tokens), |(_, position)| (position * 7919 % vocabulary) as i64);
    model.logits(ids.view())?;
    let mut seconds = Vec::new();
    for _ in 0..repetitions.max(1) {
        let start = Instant::now();
        model.logits(ids.view())?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds[0],
            "median": seconds[seconds.len() / 2],
            "tokens": tokens,
            "threads": rayon::current_num_threads(),
        })
    );
    Ok(())
}
