//! The order of summation, and that no element is lost in it.

use proptest::prelude::*;

use super::super::points::Terms;
use super::*;

#[derive(Clone, Copy, Debug)]
struct Scaled(f64);

impl Terms<2> for Scaled {
    fn of(self, point: Point) -> [f64; 2] {
        [self.0 * point.y, point.weight]
    }
}

/// Element by element: within a run, the element at `i` is added to lane `i mod 8`; of columns, all to one lane.
fn in_order(points: &[Point], layout: Layout, terms: &[Scaled]) -> Vec<[f64; 2]> {
    let mut totals = vec![[0.0; 2]; layout.indices];
    for (number, run) in points.chunks(layout.run).enumerate() {
        let (index, mut lanes) = (number % layout.indices, [[0.0; 8]; 2]);
        for (position, point) in run.iter().enumerate() {
            for (lanes, term) in lanes.iter_mut().zip(terms[index].of(*point)) {
                lanes[position % 8] += term;
            }
        }
        for (total, [a, b, c, d, e, f, g, h]) in totals[index].iter_mut().zip(lanes) {
            *total += ((a + e) + (c + g)) + ((b + f) + (d + h));
        }
    }
    totals
}

proptest! {
    #[test]
    fn sums_have_every_element_once_in_the_documented_order(
        dimensions in proptest::collection::vec(1usize..20, 1..=3),
        choice in 0usize..4,
        seed in any::<u64>(),
    ) {
        let shape = Shape::new(dimensions.clone()).unwrap();
        let slice = [Slice::Tensor, Slice::Axis(0), Slice::Axis(dimensions.len() - 1), Slice::Pair(0)][choice];
        let Some(layout) = Layout::of(slice, &shape) else { return Ok(()) };
        let elements: Vec<Point> = noise(seed)
            .take(shape.elements())
            .map(|y| Point::new(y + 1e-7, y, if y.abs() < 0.1 { 0.0 } else { 1.0 + y.abs() }))
            .collect();
        let mut points = Points::new(shape.elements());
        points.put(0, elements.len(), |index| elements[index]);
        let terms: Vec<Scaled> = noise(seed ^ 1).take(layout.indices).map(Scaled).collect();
        prop_assert_eq!(sums(&points, layout, &terms), in_order(&elements, layout, &terms));
    }
}
