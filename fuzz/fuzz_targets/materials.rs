//! The reader of the record of materials.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    proof_bundle::fuzzing::materials(bytes);
});
