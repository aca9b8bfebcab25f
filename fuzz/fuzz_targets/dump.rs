//! The readers of dumps.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    capture::fuzzing::dump(bytes);
});
