//! The worst elements of a comparison.

use std::cmp::Ordering;

use crate::Shape;
use crate::statistics::{Criterion, Element, Statistics};

/// Why an element is among the worst; later is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// It has an error, and satisfies the criterion.
    Satisfied,
    /// It does not satisfy the criterion.
    Violation,
    /// One value is not finite, and the other is not the same infinity.
    NonFinite,
}

/// An element at its row-major position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) class: Class,
    /// What orders candidates of one class: higher is worse. Never NaN.
    pub(crate) rank: f64,
    pub(crate) position: usize,
    pub(crate) actual: f64,
    pub(crate) expected: f64,
    pub(crate) error: f64,
    pub(crate) allowed: f64,
}

/// At most [`Statistics::WORST`] candidates, worst first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worst {
    kept: Vec<Candidate>,
}

/// `error / base` ; 0 for 0/0. One that overflowed is infinitely more than any base.
#[inline(always)]
pub(crate) fn share(error: f64, base: f64) -> f64 {
    if error == 0.0 {
        0.0
    } else if error == f64::INFINITY {
        f64::INFINITY
    } else {
        error / base
    }
}

impl Candidate {
    /// Worse first, the earlier of equals first. The order is total, so the five worst of a tensor are the five worst
    /// among the five worst of each of its parts.
    fn order(&self, other: &Self) -> Ordering {
        (other.class.cmp(&self.class))
            .then(other.rank.total_cmp(&self.rank))
            .then(self.position.cmp(&other.position))
    }
}

impl Worst {
    /// The rank below which no finite element gets in; 0 while there is room.
    pub(crate) fn threshold(&self) -> f64 {
        match self.kept.get(Statistics::WORST - 1) {
            None => 0.0,
            Some(last) if last.class == Class::NonFinite => f64::INFINITY,
            Some(last) => last.rank,
        }
    }

    /// Keeps the candidate if it is among the worst so far.
    #[inline(always)]
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        // Where most errors are equal, most offers end here.
        let last = self.kept.get(Statistics::WORST - 1);
        if last.is_none_or(|last| candidate.order(last).is_lt()) {
            self.insert(candidate);
        }
    }

    fn insert(&mut self, candidate: Candidate) {
        let place = self.kept.partition_point(|kept| kept.order(&candidate).is_lt());
        self.kept.truncate(Statistics::WORST - 1);
        self.kept.insert(place, candidate);
    }

    /// The worst of both.
    pub(crate) fn merge(&mut self, other: Self) {
        other.kept.into_iter().for_each(|candidate| self.offer(candidate));
    }

    /// With the multi-index that each position has in the shape.
    pub(crate) fn elements(self, shape: &Shape) -> Vec<Element> {
        let element = |kept: Candidate| Element {
            index: shape.multi_index(kept.position),
            actual: kept.actual,
            expected: kept.expected,
            error: kept.error,
            allowed: kept.allowed,
        };
        self.kept.into_iter().map(element).collect()
    }
}

/// What an error is divided by to rank it: the error allowed. Where none is, errors are ranked as they are.
#[inline(always)]
pub(crate) fn rank_base(criterion: Criterion, expected: f64) -> f64 {
    match criterion {
        Criterion::BitExact => 1.0,
        Criterion::Classic(tolerance) => tolerance.allowed(expected),
    }
}

/// Whether an error above 0 may be the given share of `base`, or more. Never wrongly false: where the exact product is at
/// most `error`, so is the rounded one, for `error` itself is representable. What cannot be compared (0·∞) is reached.
#[inline(always)]
pub(crate) fn reaches(error: f64, base: f64, share: f64) -> bool {
    let below = error < share * base;
    error > 0.0 && !below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(class: Class, rank: f64, position: usize) -> Candidate {
        Candidate { class, rank, position, actual: 0.0, expected: 0.0, error: 0.0, allowed: 0.0 }
    }

    #[test]
    fn the_threshold_is_the_rank_of_the_last_that_is_kept() {
        let mut worst = Worst::default();
        for rank in 1..5 {
            worst.offer(candidate(Class::Violation, f64::from(rank), 0));
            assert_eq!(worst.threshold().to_bits(), 0, "there is room");
        }
        worst.offer(candidate(Class::Violation, 9.0, 1));
        assert_eq!(worst.threshold().to_bits(), 1f64.to_bits());
        worst.offer(candidate(Class::Violation, 7.0, 2));
        assert_eq!(worst.threshold().to_bits(), 2f64.to_bits());
        (0..5).for_each(|position| worst.offer(candidate(Class::NonFinite, 0.0, position)));
        assert!(worst.threshold().is_infinite());
    }
}
