//! A small valid file, damaged in thousands of ways: opening it is an error, or what it holds is consistent.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use super::{identity, place, read_all, sample};
use crate::fuzzing::assert_consistent;
use crate::{CaptureFile, write};

/// A linear congruential generator (Knuth's MMIX), its better bits folded down.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ (self.0 >> 29)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What a header is made of.
const TOKENS: [&str; 16] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "0",
    "16",
    "-1",
    "18446744073709551615",
    "null",
    "\"F32\"",
    "\\u0000",
    " ",
    "step0/",
];

/// Damages the header most often, where there is most to destroy; the data at most in its bits.
fn mutate(bytes: &mut Vec<u8>, header: usize, random: &mut Random) {
    if random.below(2) == 0 {
        // Half of the bits flipped are of the data.
        let area = [0..header, header..bytes.len()][random.below(2)].clone();
        if let Some(byte) = bytes.get_mut(area.start + random.below(area.len())) {
            *byte ^= 1 << random.below(8);
        }
        return;
    }
    let at = random.below(header);
    let length = random.below(12.min(bytes.len() - at)) + 1;
    match random.below(8) {
        0 => bytes[at] = random.next() as u8,
        1 => drop(bytes.drain(at..at + length)),
        2 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].bytes())),
        3 => drop(bytes.splice(at..at + 1, TOKENS[random.below(TOKENS.len())].bytes())),
        4 => bytes.truncate(at),
        5 => {
            let copied = bytes[at..at + length].to_vec();
            let to = random.below(header);
            drop(bytes.splice(to..to, copied));
        }
        _ => {
            // Another digit: another size, offset, step or length.
            let digits: Vec<usize> = (8..header).filter(|&index| bytes[index].is_ascii_digit()).collect();
            if let Some(&index) = digits.get(random.below(digits.len())) {
                bytes[index] = b'0' + random.below(10) as u8;
            }
        }
    }
}

/// Makes the length field say where the data of the original began, so that damage to the header is not just damage to
/// that length.
fn mend_length(bytes: &mut [u8], data: usize) {
    if bytes.len() >= data + 8 {
        let length = (bytes.len() - data - 8) as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
    }
}

#[test]
fn damage_is_an_error_or_harmless() {
    let (_directory, path) = place();
    write(&path, &identity(), &sample()).unwrap();
    let original = fs::read(&path).unwrap();
    let data = 40;
    let header = original.len() - data;
    let mut random = Random(20);
    let (mut opened, mut rejected) = (0, 0);
    // Overwritten in place: some file systems wait for the disk when a file is emptied and written again.
    let damaged = OpenOptions::new().write(true).open(&path).unwrap();
    for round in 0..6000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(2) {
            if !bytes.is_empty() {
                let header = header.min(bytes.len());
                mutate(&mut bytes, header, &mut random);
            }
        }
        if round % 2 == 0 {
            mend_length(&mut bytes, data);
        }
        damaged.write_all_at(&bytes, 0).unwrap();
        damaged.set_len(bytes.len() as u64).unwrap();
        match CaptureFile::open(&path) {
            Ok(file) => {
                opened += 1;
                assert_consistent(&file, &bytes);
                // Writing waits for the disk: not each time.
                if opened % 64 == 0 {
                    assert_written_alike(&file);
                }
            }
            Err(error) => {
                rejected += 1;
                assert!(error.to_string().contains("capture.safetensors"), "{error}");
            }
        }
    }
    assert!(opened > 1000, "{opened} of the damaged files were opened: the test damages too much");
    assert!(rejected > 2000, "{rejected} of the damaged files were rejected: the test damages too little");
}

fn assert_written_alike(file: &CaptureFile) {
    if let Ok(capture) = read_all(file) {
        let (_directory, path) = place();
        write(&path, file.identity(), &capture).unwrap();
        assert_eq!(read_all(&CaptureFile::open(&path).unwrap()).unwrap(), capture);
    }
}
