//! How the error grows from block to block, as a plot.

use checkpoint_spec::{Comparison, Measured, Mode, Results, StatisticsRecord};

use crate::figures;
use crate::text::plain;

/// The size of the drawing, and of what lies inside its axes.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 15.0;
const BOTTOM: f64 = 150.0;

/// The chained error of the subject after each block of the longest case.
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
    pub(super) line: String,
    /// What the f32 references' own errors allow, where it is known for every layer.
    pub(super) allowed: Option<String>,
    pub(super) points: Vec<Point>,
}

/// One layer.
pub(super) struct Point {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) layer: usize,
    pub(super) text: String,
}

/// The error after a layer, worst over the steps, and what it may be.
struct Layer {
    rmse: Measured,
    allowed: Option<Measured>,
}

impl Growth {
    /// None where there are not at least two layers, or where one has no finite error to draw.
    pub(super) fn new(results: &Results) -> Option<Self> {
        let longest = results.cases.iter().rev().max_by_key(|case| case.tokens)?;
        let layers: Vec<Layer> =
            (0..results.architecture.layers).map_while(|layer| after(results, &longest.id, layer)).collect();
        let drawable = layers.len() == results.architecture.layers && layers.len() > 1;
        let finite = |layer: &Layer| layer.rmse.0.is_finite();
        (drawable && layers.iter().all(finite)).then(|| Self::draw(&longest.id, &layers))
    }

    fn draw(case: &str, layers: &[Layer]) -> Self {
        let allowed: Option<Vec<f64>> =
            layers.iter().map(|l| l.allowed.map(|a| a.0).filter(|a| a.is_finite())).collect();
        let errors: Vec<f64> = layers.iter().map(|l| l.rmse.0).collect();
        let largest = errors.iter().chain(allowed.iter().flatten()).copied().fold(0.0, f64::max);
        let place = |layer, error| (x(layer, layers.len()), y(error, largest));
        let line = |errors: &[f64]| {
            let points = errors.iter().enumerate().map(|(layer, &error)| place(layer, error));
            points.map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")
        };
        let point = |(layer, described): (usize, &Layer)| {
            let (x, y) = place(layer, described.rmse.0);
            Point { x, y, layer, text: text(layer, described) }
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
            line: line(&errors),
            allowed: allowed.as_deref().map(line),
            points: layers.iter().enumerate().map(point).collect(),
        }
    }
}

fn after(results: &Results, case: &str, layer: usize) -> Option<Layer> {
    let name = format!("h.{layer}.out");
    let here = |c: &&Comparison| {
        c.mode == Mode::Run && c.name == name && c.case == case && c.reference.ends_with("@f64")
    };
    let comparisons = results.checkpoints.iter().flat_map(|c| &c.comparisons).filter(here);
    let steps = comparisons.filter_map(|c| Some((c.outcome.statistics()?, c.chained_allowed)));
    let layer = |(s, allowed): (&StatisticsRecord, _)| Layer { rmse: s.rmse, allowed };
    // Of several steps, the one with the largest error.
    steps.map(layer).reduce(|a, b| if a.rmse.or_worse(b.rmse) == a.rmse { a } else { b })
}

fn text(layer: usize, described: &Layer) -> String {
    let rmse = figures::error(described.rmse.0);
    let allowed = described.allowed.map(|a| format!(", {} allowed", figures::error(a.0)));
    format!("h.{layer}.out: rmse {rmse}{}", allowed.unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "no model has 2^52 layers")]
fn x(layer: usize, layers: usize) -> String {
    let share = layer as f64 / (layers.max(2) - 1) as f64;
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
    fn the_error_of_the_longest_case_is_drawn_over_the_layers() {
        let growth = Growth::new(&fixtures::growing()).unwrap();
        assert_eq!(growth.case, "batch-decode");
        assert_eq!(growth.line, "70.0,116.2 253.3,82.5 436.7,48.8 620.0,15.0");
        assert_eq!(growth.largest, "4.00e-8");
        assert_eq!(growth.points[3].text, "h.3.out: rmse 4.00e-8, 3.00e-8 allowed");
        assert!(growth.allowed.is_some());
    }

    #[test]
    fn what_has_no_place_on_the_plot_is_not_drawn() {
        assert!(Growth::new(&fixtures::passing()).is_none());
        let mut results = fixtures::growing();
        results.checkpoints[0].comparisons.remove(1);
        assert!(Growth::new(&results).is_none());
        let mut results = fixtures::growing();
        fixtures::set_rmse(&mut results.checkpoints[0].comparisons[0], f64::NAN);
        assert!(Growth::new(&results).is_none());
        let mut results = fixtures::growing();
        results.checkpoints[0].comparisons[0].chained_allowed = None;
        assert!(Growth::new(&results).unwrap().allowed.is_none());
    }
}
