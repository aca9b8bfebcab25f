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
