//! How numbers are written for people.

/// A count with thousands marked: `12,345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut marked = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            marked.push(',');
        }
        marked.push(digit);
    }
    marked
}

/// An error, three digits: `1.32e-4`. Zero is `0`, for it says more than `0.00e0`.
pub(crate) fn error(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.2e}") }
}

/// A value with all its digits, as short as its own precision allows: an f32 reads as an f32.
pub(crate) fn value(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "whether it loses anything is what is asked")]
    let narrow = value as f32;
    if f64::from(narrow).to_bits() == value.to_bits() { format!("{narrow:?}") } else { format!("{value:?}") }
}

/// A share of what is allowed: `31.0 %`, beyond all of it `1.39×`. Never reads as 100 % on the wrong side of it.
pub(crate) fn share(used: f64) -> String {
    if !used.is_finite() {
        return format!("{used}");
    }
    let percent = format!("{:.1}", used * 100.0);
    match used {
        0.0 => "0 %".to_owned(),
        _ if percent == "0.0" => "<0.1 %".to_owned(),
        _ if used < 1.0 && percent == "100.0" => "<100 %".to_owned(),
        _ if used <= 1.0 => format!("{percent} %"),
        _ if used < 1.005 => ">1.00×".to_owned(),
        _ if used < 10.0 => format!("{used:.2}×"),
        _ if used < 100.0 => format!("{used:.1}×"),
        _ if used < 10_000.0 => format!("{used:.0}×"),
        _ => format!("{used:.1e}×"),
    }
}

/// The range of absolute errors that a bucket counts; see `tensor_compare::Statistics::buckets`.
pub(crate) fn bucket(index: usize) -> String {
    const LAST: usize = tensor_compare::Statistics::BUCKETS - 1;
    match index {
        0 => "0".to_owned(),
        1 => "<1e-11".to_owned(),
        // The exponent is that of the lower edge, 10^(i−13).
        i if i < 13 => format!("1e-{}", 13 - i),
        i if i < LAST => format!("1e{}", i - 13),
        i => format!("≥1e{}", i - 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_mark_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn shares_never_round_across_the_bound() {
        let shares = [0.0, 1e-9, 0.1234, 0.99999, 1.0, 1.00001, 1.39, 12.4, 1e7];
        let read = ["0 %", "<0.1 %", "12.3 %", "<100 %", "100.0 %", ">1.00×", "1.39×", "12.4×", "1.0e7×"];
        assert_eq!(shares.map(share), read);
        assert_eq!([f64::NAN, f64::INFINITY].map(share), ["NaN", "inf"]);
    }

    #[test]
    fn values_keep_the_digits_of_their_precision() {
        assert_eq!(value(f64::from(0.1_f32)), "0.1");
        assert_eq!(value(0.1), "0.1");
        assert_eq!(value(1.0 / 3.0), "0.3333333333333333");
        assert_eq!([-0.0, f64::NEG_INFINITY].map(value), ["-0.0", "-inf"]);
    }

    #[test]
    fn buckets_are_named_by_their_lower_edge() {
        assert_eq!(
            [0, 1, 2, 12, 13, 14, 15].map(bucket),
            ["0", "<1e-11", "1e-11", "1e-1", "1e0", "1e1", "≥1e2"]
        );
    }
}
