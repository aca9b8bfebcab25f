//! Which crate uses which, against the design.

use std::collections::BTreeSet;

use super::{Broken, Place};
use crate::repository::{Dependency, Package};

/// Every crate has a place, and its arrows are those of its place.
pub(super) fn check(packages: &[Package], places: &[Place]) -> Vec<Broken> {
    let there: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut broken: Vec<Broken> = places
        .iter()
        .filter(|place| !there.contains(place.name))
        .map(|place| Broken::new(place.name, "is in the design and not in the workspace"))
        .collect();
    for package in packages {
        match places.iter().find(|place| place.name == package.name) {
            Some(place) => check_package(package, place, &mut broken),
            None => broken.push(Broken::new(&package.name, "has no place in the design (xtask/src/tidy.rs)")),
        }
    }
    broken
}

fn check_package(package: &Package, place: &Place, broken: &mut Vec<Broken>) {
    let within = |dependency: &&Dependency| dependency.path.is_some();
    let built: BTreeSet<&str> = package
        .dependencies
        .iter()
        .filter(within)
        .filter(|d| !for_tests(d))
        .map(|d| d.name.as_str())
        .collect();
    let tested: BTreeSet<&str> = package
        .dependencies
        .iter()
        .filter(within)
        .filter(|d| for_tests(d))
        .map(|d| d.name.as_str())
        .collect();
    let allowed = |name: &str| place.needs.contains(&name) || place.may.contains(&name);

    for needed in place.needs.iter().filter(|needed| !built.contains(**needed)) {
        broken.push(Broken::new(place.name, format!("stands on {needed} by design, and does not use it")));
    }
    for used in built.iter().filter(|used| !allowed(used)) {
        broken.push(Broken::new(place.name, format!("must not use {used}")));
    }
    let excused = |name: &str| place.tests_may.iter().any(|(excused, _)| *excused == name);
    for used in tested.iter().filter(|used| !allowed(used) && !excused(used)) {
        broken.push(Broken::new(place.name, format!("must not use {used}, not even in its tests")));
    }
    for (excused, _) in place.tests_may.iter().filter(|(excused, _)| !tested.contains(excused)) {
        broken.push(Broken::new(
            place.name,
            format!("is excused for using {excused} in its tests, and does not"),
        ));
    }
}

/// Whoever links Python cannot be trusted to run without it.
pub(super) fn check_python(packages: &[Package], interpreter: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    for package in packages.iter().filter(|package| package.name != interpreter) {
        for dependency in &package.dependencies {
            if dependency.name.starts_with("pyo3") || dependency.name == "numpy" {
                let why = format!("uses {}: only {interpreter} links Python", dependency.name);
                broken.push(Broken::new(&package.name, why));
            }
        }
    }
    broken
}

fn for_tests(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() == Some("dev")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCUSED: [Place; 2] = [
        Place { name: "low", needs: &[], may: &[], tests_may: &[("high", "reads its golden files")] },
        Place { name: "high", needs: &["low"], may: &["side"], tests_may: &[] },
    ];
    const PLACES: [Place; 2] = [
        Place { name: "low", needs: &[], may: &[], tests_may: &[] },
        Place { name: "high", needs: &["low"], may: &["side"], tests_may: &[] },
    ];

    /// `+name` for a test dependency, `=name` for one from a registry.
    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|written| Dependency {
                name: written.trim_start_matches(['+', '=']).into(),
                kind: written.starts_with('+').then(|| "dev".into()),
                path: (!written.starts_with('=')).then(|| "somewhere".into()),
            })
            .collect();
        Package { name: name.into(), dependencies }
    }

    fn said(packages: &[Package], places: &[Place]) -> Vec<String> {
        check(packages, places).iter().map(Broken::to_string).collect()
    }

    #[test]
    fn the_designed_arrows_pass() {
        let packages = [package("low", &["=serde"]), package("high", &["low", "side", "+low", "=low-level"])];
        assert!(said(&packages, &PLACES).is_empty());
    }

    #[test]
    fn an_arrow_against_the_design_is_seen() {
        let packages = [package("low", &["high"]), package("high", &["low"])];
        assert_eq!(said(&packages, &PLACES), ["low: must not use high"]);
    }

    #[test]
    fn an_arrow_of_the_design_that_is_not_there_is_seen() {
        let packages = [package("low", &[]), package("high", &["+low"])];
        assert_eq!(said(&packages, &PLACES), ["high: stands on low by design, and does not use it"]);
    }

    #[test]
    fn crates_without_a_place_and_places_without_a_crate_are_seen() {
        let packages = [package("low", &[]), package("new", &[])];
        assert_eq!(
            said(&packages, &PLACES),
            [
                "high: is in the design and not in the workspace",
                "new: has no place in the design (xtask/src/tidy.rs)"
            ]
        );
    }

    #[test]
    fn tests_are_wider_only_where_excused_and_excuses_do_not_outlive_their_use() {
        let wide = [package("low", &["+high"]), package("high", &["low"])];
        assert_eq!(said(&wide, &PLACES), ["low: must not use high, not even in its tests"]);
        assert!(said(&wide, &EXCUSED).is_empty());
        let narrow = [package("low", &[]), package("high", &["low"])];
        assert_eq!(said(&narrow, &EXCUSED), ["low: is excused for using high in its tests, and does not"]);
    }

    #[test]
    fn python_in_another_crate_is_seen() {
        let packages =
            [package("low", &["=pyo3"]), package("bridge", &["=pyo3", "=numpy"]), package("up", &["=numpy"])];
        let said: Vec<_> = check_python(&packages, "bridge").iter().map(Broken::to_string).collect();
        assert_eq!(
            said,
            ["low: uses pyo3: only bridge links Python", "up: uses numpy: only bridge links Python"]
        );
    }
}
