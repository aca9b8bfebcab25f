//! Laws: what one implementation computes for one case says what it must compute for another.
//!
//! Cases are derived from one small case, run as any other, and compared part by part. Produces numbers; what they mean
//! is the judge's.

mod parts;
mod plan;

use std::collections::BTreeMap;

use capture::{Case, Precision, TensorName, TensorSource};
use oracle::Model;
use tensor_compare::{Criterion, Element, MatchedPair, Tensor, Tolerance, compare};

pub(crate) use plan::context;

use crate::assay::{AssayError, replica_bounds, scaled_tolerance};
use crate::budget::half_format;
use crate::registry::adds_up_in_one_order;
use crate::results::{LawBound, LawNumbers, LawPlace};
use crate::spec::{ActivationSpec, Arithmetic, Kind, LawId, LawSpec, SpecError, SpecSet};
use crate::{Architecture, Measured};
use parts::{Part, Side, parts};
use plan::law_plan;

/// How close the two sides of a law must be in an implementation, `rust@f32`.
pub fn law_bound(law: &LawSpec, implementation: &str) -> LawBound {
    match law.arithmetic {
        Arithmetic::Same => LawBound::Bits,
        Arithmetic::OtherShapes if adds_up_in_one_order(implementation) => LawBound::Bits,
        Arithmetic::OtherShapes if precision(implementation) == Precision::F64 => LawBound::Quorum,
        Arithmetic::OtherShapes => LawBound::Replicas,
    }
}

/// What an implementation, `rust@f32`, computes in.
fn precision(implementation: &str) -> Precision {
    if implementation.ends_with("@f64") { Precision::F64 } else { Precision::F32 }
}

/// The cases that laws ask an implementation to run, each once.
pub fn law_cases<'a>(laws: impl IntoIterator<Item = &'a LawSpec>, architecture: &Architecture) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for law in laws {
        let agreements = law_plan(law.id, architecture).agreements;
        for case in agreements.into_iter().flat_map(|agreement| [agreement.expected, agreement.actual]) {
            if !cases.contains(&case) {
                cases.push(case);
            }
        }
    }
    cases
}

/// The case that a law asks an implementation to refuse.
pub fn refused_case(law: LawId, architecture: &Architecture) -> Option<Case> {
    law_plan(law, architecture).refused
}

/// Parts that a law compares; from specs, architecture and law alone. None where the context has no room for any.
pub(crate) fn required_parts(
    specs: &SpecSet,
    architecture: &Architecture,
    law: &LawSpec,
    implementation: &str,
) -> Result<u64, SpecError> {
    let plan = law_plan(law.id, architecture);
    let demand = (law_bound(law, implementation), precision(implementation));
    let mut count = u64::from(plan.refused.is_some());
    for agreement in &plan.agreements {
        count += parts(specs, architecture, agreement, demand)?.len() as u64;
    }
    Ok(count)
}

/// Measures a law. `capture` gives the capture of a case; `answer` is what was said to the case that must be refused:
/// nothing where it was not asked, `Ok` where it was accepted. The model says how far two correct implementations may be
/// apart; without it, the bits must be the same.
///
/// # Errors
/// If the specs do not fit the model, or the oracle cannot run a case.
pub fn measure_law<'a>(
    (specs, architecture, model): (&SpecSet, &Architecture, Option<&Model>),
    law: &LawSpec,
    implementation: &str,
    capture: impl Fn(&str) -> Option<&'a dyn TensorSource>,
    answer: Option<&Result<(), String>>,
) -> Result<LawNumbers, AssayError> {
    let plan = law_plan(law.id, architecture);
    let bound = law_bound(law, implementation);
    let required = required_parts(specs, architecture, law, implementation)?;
    let mut numbers = LawNumbers::none(law.id, implementation, bound, required);
    if let (Some(case), Some(answer)) = (&plan.refused, answer) {
        numbers.take_answer(case, answer, context(architecture));
    }
    let half = Precision::parse(implementation.rsplit_once('@').map_or("", |(_, precision)| precision))
        .and_then(half_format);
    let mut replicas: BTreeMap<String, BTreeMap<TensorName, f64>> = BTreeMap::new();
    for agreement in &plan.agreements {
        let case = &agreement.expected;
        if let (LawBound::Replicas, Some(model)) = (bound, model)
            && !replicas.contains_key(&case.id)
        {
            replicas.insert(case.id.clone(), replica_bounds(specs, model, case, half)?);
        }
        for part in parts(specs, architecture, agreement, (bound, precision(implementation)))? {
            let tensor = |side: &Side<'_>| capture(&side.case.id)?.tensor(&side.name).ok()?;
            let (Some(actual), Some(expected)) = (tensor(&part.actual), tensor(&part.expected)) else {
                continue;
            };
            let apart = replicas.get(&case.id).and_then(|bounds| bounds.get(&part.expected.name)).copied();
            let criterion = |expected: &Tensor| criterion(specs, bound, part.activation, expected, apart);
            numbers.take(&part, part.actual.cut(&actual), part.expected.cut(&expected), criterion);
        }
    }
    Ok(numbers)
}

/// Whether a refusal names the context limit.
pub(crate) fn names_limit(refusal: &str, limit: usize) -> bool {
    refusal.split(|c: char| !c.is_ascii_digit()).any(|number| number == limit.to_string())
}

/// `apart` is what two correct implementations may be apart; where nothing says so, the bits must be the same.
fn criterion(
    specs: &SpecSet,
    bound: LawBound,
    activation: &ActivationSpec,
    expected: &Tensor,
    apart: Option<f64>,
) -> Criterion {
    match bound {
        LawBound::Bits => Criterion::BitExact,
        // Tokens are what they are.
        _ if activation.kind != Kind::Float => Criterion::BitExact,
        LawBound::Quorum => scaled_tolerance(expected, specs.judging.quorum.roundings),
        LawBound::Replicas => apart
            .and_then(|apart| Tolerance::new(apart, 0.0).ok())
            .map_or(Criterion::BitExact, Criterion::Classic),
    }
}

impl LawNumbers {
    fn take_answer(&mut self, case: &Case, answer: &Result<(), String>, limit: usize) {
        self.compared += 1;
        self.refusal = answer.as_ref().err().cloned();
        let message = match answer {
            Err(refusal) if names_limit(refusal, limit) => return,
            Err(refusal) => {
                format!("refused with an error that does not name the limit of {limit}: {refusal}")
            }
            Ok(()) => {
                format!("accepted, though the context limit is {limit}; an error that names it is expected")
            }
        };
        let place = LawPlace { case: case.id.clone(), tensor: "case".to_owned(), position: None, message };
        self.violations += 1;
        self.first = Some(place);
    }

    fn take(
        &mut self,
        part: &Part<'_>,
        actual: Result<Tensor, String>,
        expected: Result<Tensor, String>,
        criterion: impl Fn(&Tensor) -> Criterion,
    ) {
        let statistics = actual.and_then(|actual| {
            let expected = expected?;
            let pair = MatchedPair::new(actual.view(), expected.view()).map_err(|error| error.to_string())?;
            Ok(compare(pair, criterion(&expected)))
        });
        let statistics = match statistics {
            Ok(statistics) if statistics.elements == 0 => return,
            Ok(statistics) => statistics,
            Err(message) => {
                self.compared += 1;
                return self.violated(part.place(None, message));
            }
        };
        self.compared += 1;
        let place = || part.place(statistics.worst.first(), String::new());
        let max_abs = Measured(statistics.max_abs);
        if max_abs.0 > self.max_abs.0 || max_abs.0.is_nan() {
            self.worst = Some(place());
        }
        self.max_abs = self.max_abs.or_worse(max_abs);
        if !statistics.satisfied() {
            self.violated(place());
        }
    }

    fn violated(&mut self, place: LawPlace) {
        self.violations += 1;
        self.first.get_or_insert(place);
    }
}

impl Part<'_> {
    /// A place in the capture of the case that is held to the law: indices there, not in the part.
    fn place(&self, element: Option<&Element>, problem: String) -> LawPlace {
        let Side { case, name, ranges, .. } = &self.actual;
        let index: Option<Vec<usize>> = element
            .map(|element| element.index.iter().zip(ranges).map(|(at, range)| at + range.start).collect());
        let position =
            self.positions.and_then(|(axis, past)| index.as_ref()?.get(axis).map(|index| index + past));
        let message = match (element, &index) {
            (Some(element), Some(index)) => format!(
                "{:?} found at {index:?}, {:?} in {} {}; apart by {:.3e}, allowed {:.3e}",
                element.actual,
                element.expected,
                self.expected.case.id,
                self.expected.name,
                element.error,
                element.allowed
            ),
            _ => problem,
        };
        LawPlace { case: case.id.clone(), tensor: name.to_string(), position, message }
    }
}
