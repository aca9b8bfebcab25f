#![expect(clippy::float_cmp, reason = "these values are exact")]

use sha2::{Digest, Sha256};

use super::{OUTLIER, Stored, SyntheticSpec, write, write_altered};

fn spec(text: &str) -> SyntheticSpec {
    text.parse().unwrap()
}

#[test]
fn specs_are_read_and_written() {
    let gpt2 = spec("gpt2");
    assert_eq!(
        (gpt2.config.layers, gpt2.config.width, gpt2.config.vocabulary, gpt2.seed),
        (12, 768, 50257, 0)
    );
    assert_eq!(spec("gpt2-xl@7").config.heads, 25);
    for text in ["2,64,4,512,96@7", "1,8,1,3,2@0+outlier"] {
        assert_eq!(spec(text).to_string(), text);
        assert_eq!(spec(&spec(text).to_string()), spec(text));
    }
    assert_eq!(spec("2, 64, 4, 512, 96"), spec("2,64,4,512,96@0"));
}

#[test]
fn what_is_no_spec_says_why() {
    for (text, why) in [
        ("gpt3", "not five sizes"),
        ("1,2,3,4", "not five sizes"),
        ("1,2,3,4,5,6", "not five sizes"),
        ("2,64,5,512,96", "n_embd 64 is not a multiple of n_head 5"),
        ("0,64,4,512,96", "n_layer is 0"),
        ("gpt2@", "the seed `` is no whole number"),
        ("gpt2@-1", "the seed `-1` is no whole number"),
        ("", "not five sizes"),
    ] {
        let error = text.parse::<SyntheticSpec>().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("L,D,H,V,C"), "{error}");
    }
}

#[test]
fn the_same_spec_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &spec("1,8,2,16,8@3")).unwrap();
    let bytes = std::fs::read(directory.path().join("model.safetensors")).unwrap();
    let digest = hex(&Sha256::digest(&bytes));
    assert_eq!(digest, "7a670d8fdf27d1daeb991b73478cd93e623edeb35871243682f475930a09bb9e");
    let files: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn values_have_the_spread_they_should() {
    let spec = spec("2,64,4,512,96@7");
    let values = spec.values("wte.weight", &[512, 64]);
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt();
    assert!(mean.abs() < 0.003 && (deviation - 0.14).abs() < 0.003, "{mean} {deviation}");
    let norm = spec.values("h.1.ln_2.weight", &[64]);
    assert!(norm.iter().all(|w| (0.5..1.5).contains(w)) && norm.iter().any(|&w| w != norm[0]));
    assert_ne!(spec.values("h.0.ln_1.bias", &[64]), spec.values("h.1.ln_1.bias", &[64]));
    let other = SyntheticSpec { seed: 8, ..spec.clone() };
    assert_ne!(other.values("wte.weight", &[512, 64]), values);
}

#[test]
fn outlier_is_one_channel() {
    let (plain, outlier) = (spec("1,12,1,5,4@1"), spec("1,12,1,5,4@1+outlier"));
    let (plain, outlier) = (plain.values("wpe.weight", &[4, 12]), outlier.values("wpe.weight", &[4, 12]));
    let differing: Vec<usize> = (0..48).filter(|&i| plain[i] != outlier[i]).collect();
    assert_eq!(differing, [4, 16, 28, 40]);
    assert_eq!(outlier[4], OUTLIER * 0.05);
}

#[test]
fn weights_can_be_altered_and_stored_in_half_precision() {
    let folder = tempfile::tempdir().unwrap();
    let alter = |name: &str, values: &mut [f32]| {
        if name == "ln_f.bias" {
            values.fill(0.3);
        }
    };
    write_altered(folder.path(), &"1,8,2,11,4".parse().unwrap(), Stored::F16, &alter).unwrap();
    let model = crate::Gpt2::load(folder.path()).unwrap();
    let rounded = half::f16::from_f32(0.3).to_f32().to_bits();
    assert!(model.ln_f.bias.iter().all(|bias| bias.to_bits() == rounded));
    assert!(
        model
            .ln_f
            .weight
            .iter()
            .all(|weight| half::f16::from_f32(*weight).to_f32().to_bits() == weight.to_bits())
    );
}
