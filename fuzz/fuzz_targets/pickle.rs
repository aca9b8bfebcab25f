//! The reader of what `torch.save` pickles.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    capture::fuzzing::pickle(bytes);
});
