//! Token ids for models without a tokenizer.

/// Rows of token ids below `vocabulary` that follow from the seed, the case and the row, and from nothing else.
pub(super) fn rows(case: &str, batch: usize, tokens: usize, vocabulary: usize, seed: u64) -> Vec<Vec<i64>> {
    let of_case = case.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)));
    (0..batch as u64)
        .map(|row| {
            let of_row = mix(of_case ^ row);
            (0..tokens as u64).map(|position| token(mix(of_row.wrapping_add(position)), vocabulary)).collect()
        })
        .collect()
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014), as in Java's `SplittableRandom`.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A uniform draw from `0..vocabulary` by the high half of the product.
fn token(random: u64, vocabulary: usize) -> i64 {
    let scaled = (u128::from(random) * vocabulary as u128) >> 64;
    // Below the vocabulary, which is far below 2⁶³ wherever there are embeddings for it.
    i64::try_from(scaled).unwrap_or(i64::MAX)
}
