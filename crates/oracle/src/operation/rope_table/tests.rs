use super::*;
use crate::test_support::{rules, used};

const LLAMA3: Scaling = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, positions: 8192.0 };

fn table(width: usize, theta: f64, scaling: Scaling) -> [RopeTable; 2] {
    [false, true].map(|sine| RopeTable { sine, width, theta, scaling })
}

#[test]
fn every_way_stays_within_its_bound_at_every_position() {
    for (width, theta) in [(8, 1e4), (64, 1e4), (128, 5e5), (256, 1e6)] {
        for scaling in [Scaling::None, Scaling::Linear { factor: 3.0 }, LLAMA3] {
            for table in table(width, theta, scaling) {
                for past in [0, 500, 8000, 131_000] {
                    let bounded = table.bounded(&rules(), 1, past, 40);
                    for way in Way::REPLICAS {
                        let share = used(&table.replica(&way, 1, past, 40), &bounded);
                        assert!(share < 0.6, "{table:?} {past} {way:?}: {share}");
                    }
                }
            }
        }
    }
}

#[test]
fn both_halves_and_all_rows_have_the_same_angles() {
    let [cos, sin] = table(6, 1e4, Scaling::None).map(|table| table.value(2, 3, 2));
    assert_eq!((cos.shape.as_slice(), sin.shape.as_slice()), (&[2, 2, 6][..], &[2, 2, 6][..]));
    for (index, (c, s)) in cos.values.iter().zip(&sin.values).enumerate() {
        let (position, pair) = ((3 + index / 6 % 2) as f64, (index % 3) as f64);
        let angle = position / 1e4_f64.powf(pair / 3.0);
        assert!((c - angle.cos()).abs() < 1e-15 && (s - angle.sin()).abs() < 1e-15, "{index}");
    }
}

/// Transformers' `_compute_llama3_parameters`, by wavelengths.
#[test]
fn frequencies_of_llama_3_are_those_of_its_authors() {
    let [table, _] = table(128, 5e5, LLAMA3);
    let mut seen = [0; 3];
    for pair in 0..64 {
        let plain = 1.0 / 5e5_f64.powf(f64::from(pair) / 64.0);
        let wavelength = TAU / plain;
        let (expected, side) = if wavelength > 8192.0 {
            (plain / 8.0, 0)
        } else if wavelength < 2048.0 {
            (plain, 1)
        } else {
            let smooth = (8192.0 / wavelength - 1.0) / 3.0;
            ((1.0 - smooth) * plain / 8.0 + smooth * plain, 2)
        };
        seen[side] += 1;
        let found = table.exact(pair as usize).value;
        assert!((found / expected - 1.0).abs() < 1e-14, "{pair}: {found} {expected}");
    }
    assert!(seen.iter().all(|&count| count > 3), "{seen:?}");
}

#[test]
fn what_is_computed_otherwise_is_outside() {
    let [right, _] = table(64, 5e5, LLAMA3);
    let bounded = right.bounded(&rules(), 1, 0, 64);
    let share = |wrong: RopeTable, past| used(&wrong.replica(&Way::PLAIN, 1, past, 64), &bounded);
    assert!(share(RopeTable { theta: 1e4, ..right }, 0) > 1000.0);
    assert!(share(RopeTable { scaling: Scaling::None, ..right }, 0) > 1000.0);
    assert!(share(right, 1) > 1000.0);
    assert!(share(RopeTable { sine: true, ..right }, 0) > 1000.0);
}

#[test]
fn an_angle_is_off_in_proportion_to_its_position_and_never_by_more_than_everything() {
    let [_, sin] = table(64, 1e4, Scaling::None);
    let error = |past| sin.bounded(&rules(), 1, past, 1).error.unwrap_or_default();
    assert!(error(0).iter().all(|&error| error <= 4.0 + FLUSHED));
    let [near, far] = [100, 10_000].map(|past| error(past).into_iter().fold(0.0, f64::max));
    assert!(far > 50.0 * near && far < 200.0 * near, "{near} {far}");
    assert!(error(usize::pow(10, 12)).iter().all(|&error| error <= 2.0 / UNIT + 5.0));
}

#[test]
fn angles_in_half_precision_are_outside_and_stored_cosines_are_not() {
    use crate::test_support::stored_rules;
    let [cos, _] = table(64, 1e4, Scaling::None);
    let rounding = stored_rules(&[crate::Rounds::Output]);
    let Some(format) = rounding.half(crate::Rounds::Output) else { panic!("results are stored") };
    let bounded = cos.bounded(&rounding, 1, 0, 300);
    let mut stored = cos.replica(&Way::PLAIN, 1, 0, 300);
    stored.values.iter_mut().for_each(|x| *x = format.rounded(*x));
    let share = used(&stored, &bounded);
    assert!(share < 0.6 && share > 0.2, "{share}");
    let of_half = cos.each([1, 0, 300], |pair, position| {
        let angle = position as f32 * cos.replica_frequency(&Way::PLAIN, pair);
        format.rounded(libm::cosf(format.rounded(angle)))
    });
    assert!(used(&of_half, &bounded) > 10.0);
}
