//! Sizes as families write them: a symbol, a number, or a product or quotient of two of them.

use std::collections::BTreeMap;

/// The value of `D`, `4*D`, `D/H` or `3`; none where a symbol has no size, a quotient leaves a rest, or a product does
/// not fit.
pub(crate) fn evaluate(text: &str, sizes: &BTreeMap<String, usize>) -> Option<usize> {
    let atom = |text: &str| {
        let text = text.trim();
        sizes.get(text).copied().or_else(|| text.parse().ok())
    };
    if let Some((a, b)) = text.split_once('*') {
        return atom(a)?.checked_mul(atom(b)?);
    }
    if let Some((a, b)) = text.split_once('/') {
        let (a, b) = (atom(a)?, atom(b)?);
        return (b > 0 && a % b == 0).then(|| a / b);
    }
    atom(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_quotients_are_exact_or_nothing() {
        let sizes: BTreeMap<String, usize> = [("D".to_owned(), 12), ("H".to_owned(), 4)].into();
        let found = |text| evaluate(text, &sizes);
        assert_eq!(
            (found("D"), found("3*D"), found("D/H"), found("7")),
            (Some(12), Some(36), Some(3), Some(7))
        );
        assert_eq!(
            (found("D/5"), found("D/0"), found("X"), found("D*18446744073709551615")),
            (None, None, None, None)
        );
    }
}
