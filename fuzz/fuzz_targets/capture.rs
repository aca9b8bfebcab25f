//! The reader of captures, beside its peer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    capture::fuzzing::reader(bytes);
});
