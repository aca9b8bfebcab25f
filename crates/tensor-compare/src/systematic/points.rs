//! The elements that take part in a regression, quantity by quantity.

/// All elements of a tensor. Those that take no part have a weight of 0, and nothing else either: they add nothing.
pub(crate) struct Points {
    y: Vec<f64>,
    error: Vec<f64>,
    bound: Vec<f64>,
    weight: Vec<f64>,
}

/// One of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Point {
    /// The oracle's value.
    pub(super) y: f64,
    /// `actual − y`.
    pub(super) error: f64,
    /// `M`.
    pub(super) bound: f64,
    /// `1/M²`.
    pub(super) weight: f64,
}

/// Some of them, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Range<'a> {
    y: &'a [f64],
    error: &'a [f64],
    bound: &'a [f64],
    weight: &'a [f64],
}

/// What is summed over the points of an index.
pub(super) trait Terms<const N: usize>: Copy {
    /// The terms of one point.
    fn of(self, point: Point) -> [f64; N];
}

impl Point {
    /// Elements that are not finite, or to which nothing is allowed, are left to the bound on the worst element.
    #[inline(always)]
    pub(crate) fn new(actual: f64, y: f64, bound: f64) -> Self {
        let (error, weight) = (actual - y, 1.0 / (bound * bound));
        let usable = error.is_finite() & (bound > 0.0) & (weight > 0.0) & (weight < f64::INFINITY);
        let or_nothing = |value: f64| if usable { value } else { 0.0 };
        Self {
            y: or_nothing(y),
            error: or_nothing(error),
            bound: or_nothing(bound),
            weight: or_nothing(weight),
        }
    }
}

impl Points {
    /// Of that many elements, none of which takes part yet.
    pub(crate) fn new(elements: usize) -> Self {
        let [y, error, bound, weight] = std::array::from_fn(|_| vec![0.0; elements]);
        Self { y, error, bound, weight }
    }

    /// Puts points in the places from `start` on.
    #[inline(always)]
    pub(crate) fn put(&mut self, start: usize, length: usize, point: impl Fn(usize) -> Point) {
        let range = start..start + length;
        let (y, error) = (&mut self.y[range.clone()], &mut self.error[range.clone()]);
        let (bound, weight) = (&mut self.bound[range.clone()], &mut self.weight[range]);
        for index in 0..length {
            let point = point(index);
            y[index] = point.y;
            error[index] = point.error;
            bound[index] = point.bound;
            weight[index] = point.weight;
        }
    }

    #[inline(always)]
    pub(super) fn length(&self) -> usize {
        self.y.len()
    }

    #[inline(always)]
    pub(super) fn range(&self, start: usize, length: usize) -> Range<'_> {
        let range = start..start + length;
        Range {
            y: &self.y[range.clone()],
            error: &self.error[range.clone()],
            bound: &self.bound[range.clone()],
            weight: &self.weight[range],
        }
    }
}

impl Range<'_> {
    #[inline(always)]
    pub(super) fn length(self) -> usize {
        self.y.len()
    }

    #[inline(always)]
    pub(super) fn at(self, index: usize) -> Point {
        Point {
            y: self.y[index],
            error: self.error[index],
            bound: self.bound[index],
            weight: self.weight[index],
        }
    }

    /// Adds the terms of as many points as there are lanes, from `start` on, each to its lane.
    #[inline(always)]
    pub(super) fn add<T: Terms<N>, const N: usize, const LANES: usize>(
        self,
        start: usize,
        terms: [T; LANES],
        lanes: &mut [[f64; LANES]; N],
    ) {
        let part = |values: &'_ [f64]| -> [f64; LANES] { std::array::from_fn(|lane| values[start + lane]) };
        let (y, error, bound, weight) = (part(self.y), part(self.error), part(self.bound), part(self.weight));
        for lane in 0..LANES {
            let point = Point { y: y[lane], error: error[lane], bound: bound[lane], weight: weight[lane] };
            let added = terms[lane].of(point);
            for quantity in 0..N {
                lanes[quantity][lane] += added[quantity];
            }
        }
    }

    /// Adds the terms of one point to one lane.
    #[inline(always)]
    pub(super) fn add_one<T: Terms<N>, const N: usize, const LANES: usize>(
        self,
        index: usize,
        lane: usize,
        terms: T,
        lanes: &mut [[f64; LANES]; N],
    ) {
        for (sums, added) in lanes.iter_mut().zip(terms.of(self.at(index))) {
            sums[lane] += added;
        }
    }
}
