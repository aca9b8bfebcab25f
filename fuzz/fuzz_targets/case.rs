//! The reader of cases.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    proof_bundle::fuzzing::case(bytes);
});
