//! How chained errors grow along the stream, as a plot.

use std::collections::BTreeMap;

use checkpoint_spec::{GrowthRow, Measured, Results};

use crate::figures;
use crate::text::plain;

/// The size of the drawing, and of what lies inside its axes.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 15.0;
const BOTTOM: f64 = 150.0;
/// Layers that are named below the axis, at most about so many.
const NAMED: usize = 16;

/// The chained errors of subject and peers along the stream of the longest case.
pub(super) struct Growth {
    pub(super) case: String,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) axes: String,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) left: f64,
    /// The largest error drawn.
    pub(super) largest: String,
    /// The subject's first.
    pub(super) series: Vec<Series>,
    /// The subject's errors.
    pub(super) points: Vec<Point>,
    /// Where layers end.
    pub(super) layers: Vec<(String, usize)>,
}

/// One implementation.
pub(super) struct Series {
    pub(super) implementation: String,
    pub(super) line: String,
    /// Where it stands in the legend.
    pub(super) legend: f64,
}

/// An error of the subject.
pub(super) struct Point {
    pub(super) x: String,
    pub(super) y: String,
    /// The errors of everyone there.
    pub(super) text: String,
}

/// A place of the stream, with the worst error over the steps of everyone who is drawn.
struct Place<'a> {
    name: &'a str,
    layer: Option<usize>,
    errors: BTreeMap<&'a str, Measured>,
}

impl Growth {
    /// None where there are not at least two places, or where the subject has no finite error at one of them.
    pub(super) fn new(results: &Results) -> Option<Self> {
        let longest = results.cases.iter().rev().max_by_key(|case| case.tokens)?;
        let places = stream(results.growth.iter().filter(|row| row.case == longest.id));
        let subject = results.subject.to_string();
        let first = places.first()?;
        let is_drawn = |name: &&str| {
            places.iter().all(|place| place.errors.get(name).is_some_and(|error| error.0.is_finite()))
        };
        let mut drawn: Vec<&str> = first.errors.keys().copied().filter(is_drawn).collect();
        // In the order of the record, in which the subject is the first.
        let order = |name: &str| results.peers.iter().position(|peer| peer.implementation == name);
        drawn.sort_by_key(|name| (*name != subject, order(name)));
        let has_subject = drawn.first().is_some_and(|name| *name == subject);
        (has_subject && places.len() > 1).then(|| Self::draw(&longest.id, &places, &drawn))
    }

    fn draw(case: &str, places: &[Place<'_>], drawn: &[&str]) -> Self {
        let error = |place: &Place<'_>, name: &str| place.errors.get(name).map_or(f64::NAN, |error| error.0);
        let all = places.iter().flat_map(|place| drawn.iter().map(move |name| error(place, name)));
        let largest = all.fold(0.0, f64::max);
        let at =
            |index, place: &Place<'_>, name: &str| (x(index, places.len()), y(error(place, name), largest));
        let line = |name: &str| {
            let points = places.iter().enumerate().map(|(index, place)| at(index, place, name));
            points.map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")
        };
        let series = |(rank, name): (usize, &&str)| Series {
            implementation: plain(name),
            line: line(name),
            legend: TOP + 10.0 + 16.0 * f64::from(u32::try_from(rank).unwrap_or(0)),
        };
        let point = |(index, place): (usize, &Place<'_>)| {
            let (x, y) = at(index, place, drawn[0]);
            let errors = drawn.iter().map(|name| format!("{name} {}", figures::error(error(place, name))));
            let errors = errors.collect::<Vec<_>>().join(", ");
            Point { x, y, text: plain(&format!("{}: rmse {errors}", place.name)) }
        };
        Self {
            case: plain(case),
            width: WIDTH,
            height: HEIGHT,
            axes: format!("{LEFT},{TOP} {LEFT},{BOTTOM} {RIGHT},{BOTTOM}"),
            top: TOP + 5.0,
            bottom: BOTTOM,
            left: LEFT - 8.0,
            largest: figures::error(largest),
            series: drawn.iter().enumerate().map(series).collect(),
            points: places.iter().enumerate().map(point).collect(),
            layers: ends(places),
        }
    }
}

/// The places up to the last layer in execution order; of several steps, the largest error of each implementation.
fn stream<'a>(rows: impl Iterator<Item = &'a GrowthRow>) -> Vec<Place<'a>> {
    let mut places: Vec<Place<'a>> = Vec::new();
    for row in rows {
        let index = places.iter().position(|place| place.name == row.name).unwrap_or_else(|| {
            places.push(Place { name: &row.name, layer: row.layer, errors: BTreeMap::new() });
            places.len() - 1
        });
        for error in &row.errors {
            let worst = places[index].errors.entry(&error.implementation).or_insert(error.rmse);
            *worst = worst.or_worse(error.rmse);
        }
    }
    let after_last = places.iter().rposition(|place| place.layer.is_some()).map_or(0, |last| last + 1);
    places.truncate(after_last);
    places
}

/// The x and the number of the layers that are named, each at its last place.
fn ends(places: &[Place<'_>]) -> Vec<(String, usize)> {
    let next = |index: usize| places.get(index + 1).and_then(|place| place.layer);
    let ends = places.iter().enumerate().filter_map(|(index, place)| Some((index, place.layer?)));
    let ends: Vec<(usize, usize)> = ends.filter(|&(index, layer)| next(index) != Some(layer)).collect();
    let every = ends.len().div_ceil(NAMED).max(1);
    let named = ends.into_iter().filter(|(_, layer)| layer.is_multiple_of(every));
    named.map(|(index, layer)| (x(index, places.len()), layer)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no model has 2^52 layers")]
fn x(index: usize, places: usize) -> String {
    let share = index as f64 / (places.max(2) - 1) as f64;
    format!("{:.1}", LEFT + share * (RIGHT - LEFT))
}

fn y(error: f64, largest: f64) -> String {
    let share = if largest > 0.0 { error / largest } else { 0.0 };
    format!("{:.1}", BOTTOM - share * (BOTTOM - TOP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_errors_of_everyone_in_the_longest_case_are_drawn_along_the_stream() {
        let growth = Growth::new(&fixtures::growing()).unwrap();
        assert_eq!(growth.case, "batch-decode");
        let names: Vec<&str> = growth.series.iter().map(|series| series.implementation.as_str()).collect();
        assert_eq!(names, ["rust@f32", "torch@f32"]);
        assert_eq!(growth.series[0].line, "70.0,136.5 253.3,123.0 436.7,109.5 620.0,96.0");
        assert_eq!(growth.series[1].line, "70.0,116.2 253.3,82.5 436.7,48.8 620.0,15.0");
        assert_eq!(growth.largest, "1.00e-7");
        assert_eq!(growth.points[3].text, "h.1.out: rmse rust@f32 4.00e-8, torch@f32 1.00e-7");
        assert_eq!(growth.layers, [("253.3".to_owned(), 0), ("620.0".to_owned(), 1)]);
    }

    #[test]
    fn what_has_no_place_on_the_plot_is_not_drawn() {
        assert!(Growth::new(&fixtures::passing()).is_none());
        let mut results = fixtures::growing();
        results.growth[1].errors.pop();
        assert_eq!(Growth::new(&results).unwrap().series.len(), 1, "a peer with a gap");
        let mut results = fixtures::growing();
        results.growth[1].errors[0].rmse = Measured(f64::NAN);
        assert!(Growth::new(&results).is_none());
    }

    #[test]
    fn of_many_layers_some_are_named() {
        let place = |layer| Place { name: "", layer: Some(layer), errors: BTreeMap::new() };
        let places: Vec<Place<'_>> = (0..24).flat_map(|layer| [place(layer), place(layer)]).collect();
        let named: Vec<usize> = ends(&places).into_iter().map(|(_, layer)| layer).collect();
        assert_eq!(named, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]);
    }
}
