//! The comparer, beside a comparison element by element.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tensor_compare::fuzzing::comparer(bytes);
});
