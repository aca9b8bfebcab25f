use ndarray::{Array1, Array3, Axis, array};
use proptest::prelude::*;

use super::{LayerNorm, Linear};
use crate::Scope;

fn norm(width: usize) -> LayerNorm {
    LayerNorm { weight: Array1::ones(width).into(), bias: Array1::zeros(width).into(), epsilon: 1e-5 }
}

proptest! {
    #[test]
    fn normalized_rows_have_mean_zero_and_variance_one(
        row in proptest::collection::vec(-10.0f32..10.0, 16..200), offset in -1000.0f32..1000.0,
    ) {
        let width = row.len();
        let row = Array1::from(row) + offset;
        let x = row.into_shape_with_order((1, 1, width)).unwrap();
        let out = norm(width).normalize(x.view());
        let mean = out.mapv(f64::from).sum() / width as f64;
        let variance = out.mapv(|x| f64::from(x).powi(2)).sum() / width as f64;
        prop_assert!(mean.abs() < 1e-6);
        prop_assert!((variance - 1.0).abs() < 1e-4, "{variance}");
    }
}

#[test]
fn variance_is_biased_and_epsilon_is_added_to_it() {
    let x = array![[[1.0f32, 3.0]]];
    let mut norm = norm(2);
    assert_eq!(norm.normalize(x.view()), array![[[-1.0 / 1.00001f32.sqrt(), 1.0 / 1.00001f32.sqrt()]]]);
    norm.epsilon = 3.0;
    assert_eq!(norm.normalize(x.view()), array![[[-0.5, 0.5]]]);
}

#[test]
fn scale_comes_before_shift() {
    let norm = LayerNorm { weight: array![2.0, 3.0].into(), bias: array![10.0, 20.0].into(), epsilon: 3.0 };
    let out = norm.forward(array![[[1.0, 3.0]]].view(), "ln", &mut Scope::unobserved());
    assert_eq!(out, array![[[9.0, 21.5]]]);
}

#[test]
fn linear_maps_the_last_axis() {
    let linear = Linear {
        weight: array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].into(),
        bias: array![0.5, 0.25, 0.0].into(),
    };
    let x = array![[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [2.0, 0.0]]];
    let out = linear.forward(x.view());
    assert_eq!(out.index_axis(Axis(0), 0), array![[1.5, 2.25, 3.0], [4.5, 5.25, 6.0]]);
    assert_eq!(out.index_axis(Axis(0), 1), array![[5.5, 7.25, 9.0], [2.5, 4.25, 6.0]]);
    let reversed = x.slice(ndarray::s![..;-1, .., ..]);
    assert_eq!(linear.forward(reversed).index_axis(Axis(0), 1), out.index_axis(Axis(0), 0));
    assert_eq!(
        Array3::<f32>::zeros((1, 1, 3)).dim(),
        linear.forward(x.slice(ndarray::s![..1, ..1, ..])).dim()
    );
}
