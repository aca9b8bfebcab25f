//! The laws' cases, run by the scene's models.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use capture::{Capture, Precision, TensorSource};
use checkpoint_spec::{LawNumbers, SpecSet, law_cases, measure_law};

use super::model::{How, architecture, tiny};

/// The captures of the laws' cases, by case.
pub(crate) type LawCaptures = BTreeMap<String, Capture>;

/// What a lawful implementation leaves and says, measured as the subject and as both references.
pub(crate) static KEPT: LazyLock<Vec<LawNumbers>> = LazyLock::new(|| {
    let [f32, f64] = [Precision::F32, Precision::F64].map(|precision| run(How::correct(precision)));
    let everyone = [("subject@f32", &f32), ("first@f64", &f64), ("second@f64", &f64)];
    everyone.iter().flat_map(|(who, captures)| measured(who, captures, Some(&refused()))).collect()
});

/// Runs the cases of every law.
pub(crate) fn run(how: How) -> LawCaptures {
    let specs = SpecSet::bundled("gpt2").unwrap();
    let model = tiny(specs.graph());
    let cases = law_cases(specs.laws(), &architecture());
    cases.into_iter().map(|case| (case.id.clone(), how.run(&model, &case))).collect()
}

/// An error that names the limit.
pub(crate) fn refused() -> Result<(), String> {
    Err(format!("the context limit is {}", architecture().sizes["C"]))
}

/// The numbers of every law.
pub(crate) fn measured(
    implementation: &str,
    captures: &LawCaptures,
    answer: Option<&Result<(), String>>,
) -> Vec<LawNumbers> {
    let specs = SpecSet::bundled("gpt2").unwrap();
    let model = tiny(specs.graph());
    let capture = |case: &str| captures.get(case).map(|capture| capture as &dyn TensorSource);
    let of = (&specs, &model.architecture, Some(&model));
    let measure = |law| measure_law(of, law, implementation, capture, answer).unwrap();
    specs.laws().map(measure).collect()
}
