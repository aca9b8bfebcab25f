//! Elements that do not lie in row-major order, brought into it.

/// Copies elements of `size` bytes into row-major order. The element at an index lies at `offset` plus the sum of index times
/// stride, in elements of `storage`.
///
/// `elements` is the product of `shape`; the caller has allowed that much memory.
///
/// # Errors
/// If an element lies outside of `storage`.
pub(super) fn gather(
    storage: &[u8],
    size: usize,
    shape: &[usize],
    strides: &[usize],
    offset: usize,
) -> Result<Vec<u8>, String> {
    let elements: usize = shape.iter().product();
    if elements == 0 {
        return Ok(Vec::new());
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |sum, (&extent, &stride)| sum.checked_add((extent - 1).checked_mul(stride)?));
    let stored = storage.len() / size;
    if last.is_none_or(|last| last >= stored) {
        return Err(format!(
            "shape {shape:?} with strides {strides:?} from element {offset} on leads out of a storage of {stored} elements"
        ));
    }
    if is_row_major(shape, strides) {
        return Ok(storage[offset * size..(offset + elements) * size].to_vec());
    }
    let mut bytes = Vec::with_capacity(elements * size);
    let mut index = vec![0; shape.len()];
    let mut position = offset;
    for _ in 0..elements {
        bytes.extend_from_slice(&storage[position * size..][..size]);
        step(&mut index, &mut position, shape, strides);
    }
    Ok(bytes)
}

/// The strides of an array whose first axis varies fastest.
pub(super) fn column_major(shape: &[usize]) -> Vec<usize> {
    let grow = |stride: &mut usize, &extent: &usize| {
        let this = *stride;
        *stride = this.saturating_mul(extent);
        Some(this)
    };
    shape.iter().scan(1, grow).collect()
}

/// Advances to the next index in row-major order, and its position with it.
fn step(index: &mut [usize], position: &mut usize, shape: &[usize], strides: &[usize]) {
    for axis in (0..shape.len()).rev() {
        index[axis] += 1;
        // The stride of an axis of extent 1 is any number; what it adds is taken away again.
        *position = position.wrapping_add(strides[axis]);
        if index[axis] < shape[axis] {
            return;
        }
        *position = position.wrapping_sub(shape[axis].wrapping_mul(strides[axis]));
        index[axis] = 0;
    }
}

fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&extent, &stride)| {
        let fits = extent == 1 || stride == expected;
        expected *= extent;
        fits
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{column_major, gather};

    /// Every element of the shape by its own sum; none where one lies outside.
    fn one_by_one(storage: &[u8], shape: &[usize], strides: &[usize], offset: usize) -> Option<Vec<u8>> {
        (0..shape.iter().product())
            .map(|flat| {
                let mut rest = flat;
                let mut place = offset;
                for (extent, stride) in shape.iter().zip(strides).rev() {
                    place += rest % extent * stride;
                    rest /= extent;
                }
                storage.chunks_exact(2).nth(place)
            })
            .collect::<Option<Vec<_>>>()
            .map(|elements| elements.concat())
    }

    proptest! {
        #[test]
        fn elements_are_those_of_their_indices(
            axes in vec((0usize..4, 0usize..6), 0..5),
            offset in 0usize..8,
            storage in vec(any::<u8>(), 0..80),
        ) {
            let (shape, strides): (Vec<usize>, Vec<usize>) = axes.into_iter().unzip();
            let expected = one_by_one(&storage, &shape, &strides, offset);
            prop_assert_eq!(gather(&storage, 2, &shape, &strides, offset).ok(), expected);
        }

        #[test]
        fn no_strides_lead_to_a_crash(
            axes in vec((0usize..3, any::<usize>()), 0..5),
            offset in any::<usize>(),
        ) {
            let (shape, strides): (Vec<usize>, Vec<usize>) = axes.into_iter().unzip();
            if let Ok(bytes) = gather(&[7; 16], 2, &shape, &strides, offset) {
                prop_assert_eq!(bytes.len(), 2 * shape.iter().product::<usize>());
            }
        }
    }

    #[test]
    fn the_first_axis_of_fortran_varies_fastest() {
        assert_eq!(column_major(&[2, 3, 4]), [1, 2, 6]);
        assert!(column_major(&[]).is_empty());
    }
}
