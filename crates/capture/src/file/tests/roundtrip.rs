//! Any capture is read as it was written.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{place, read_all};
use crate::{Capture, CaptureFile, DType, Identity, Precision, Shape, Tensor, TensorName, write};

fn name() -> impl Strategy<Value = TensorName> {
    let step = prop_oneof![Just(None), (0usize..20).prop_map(Some), Just(Some(usize::MAX))];
    (step, "[a-z!-~]{1,12}")
        .prop_map(|(step, activation)| TensorName { step, activation })
        .prop_filter("a name that comes back", |name| {
            TensorName::parse(&name.to_string()).as_ref() == Some(name)
        })
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let dtype = prop::sample::select(DType::ALL.to_vec());
    (dtype, prop::collection::vec(0usize..4, 0..5)).prop_flat_map(|(dtype, dimensions)| {
        let shape = Shape::new(dimensions).unwrap();
        let byte = if dtype == DType::Bool { 0..=1 } else { 0..=u8::MAX };
        prop::collection::vec(byte, shape.elements() * dtype.size())
            .prop_map(move |bytes| Tensor::new(dtype, shape.clone(), bytes).unwrap())
    })
}

fn capture() -> impl Strategy<Value = Capture> {
    prop::collection::btree_map(name(), (tensor(), any::<bool>()), 0..12).prop_map(|tensors| {
        let not_contiguous: BTreeSet<_> =
            tensors.iter().filter(|(_, (_, listed))| *listed).map(|(name, _)| name.clone()).collect();
        let tensors = tensors.into_iter().map(|(name, (tensor, _))| (name, tensor)).collect();
        Capture { tensors, not_contiguous }
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    (any::<[String; 3]>(), prop::sample::select(vec![Precision::F32, Precision::F64]))
        .prop_map(|([name, version, device], precision)| Identity { name, version, precision, device })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn captures_come_back(capture in capture(), identity in identity()) {
        let (_directory, path) = place();
        write(&path, &identity, &capture).unwrap();
        let file = CaptureFile::open(&path).unwrap();
        prop_assert_eq!(file.identity(), &identity);
        prop_assert_eq!(read_all(&file).unwrap(), capture.clone());
    }
}
