//! The reader of manifests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    proof_bundle::fuzzing::manifest(bytes);
});
