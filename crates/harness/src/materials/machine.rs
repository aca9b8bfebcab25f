//! The machine of a run: processor, operating system, compiler.

use std::collections::BTreeSet;
use std::process::Command;

use proof_bundle::{Build, Cpu, Known};

const CPUINFO: &str = "/proc/cpuinfo";

/// Features that choose between ways to multiply, and so how products are rounded.
const ROUNDING: [&str; 14] = [
    "fma",
    "fma4",
    "avx",
    "avx2",
    "avx512f",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "asimd",
    "asimdhp",
    "sve",
];

/// How this program was compiled, and with it the Rust GPT-2.
pub(crate) fn build() -> Build {
    let features = env!("TRIALPLATE_BUILD_FEATURES").split(',').filter(|feature| !feature.is_empty());
    Build {
        profile: env!("TRIALPLATE_BUILD_PROFILE").to_owned(),
        rustc: env!("TRIALPLATE_BUILD_RUSTC").to_owned(),
        target: env!("TRIALPLATE_BUILD_TARGET").to_owned(),
        opt_level: env!("TRIALPLATE_BUILD_OPT_LEVEL").to_owned(),
        target_features: features.map(str::to_owned).collect(),
    }
}

/// The processor.
pub fn cpu() -> Cpu {
    match std::fs::read_to_string(CPUINFO) {
        Ok(info) => described(&info),
        Err(error) => {
            let reason = format!("{CPUINFO}: {error}");
            Cpu { model: Known::Unknown(reason.clone()), features: Known::Unknown(reason) }
        }
    }
}

/// The compiler that is here.
pub fn toolchain() -> Known<String> {
    first_line(Command::new("rustc").arg("-V"))
}

/// Name and release of the operating system.
pub(crate) fn operating_system() -> Known<String> {
    first_line(Command::new("uname").arg("-sr"))
}

fn described(info: &str) -> Cpu {
    let value = |label: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(label)?.split_once(':'));
        line.map(|(_, value)| value.trim())
    };
    let model = value("model name").map(str::to_owned);
    let flags = value("flags").or_else(|| value("Features"));
    let those_of_rounding = |flags: &str| -> BTreeSet<String> {
        flags.split_whitespace().filter(|flag| ROUNDING.contains(flag)).map(str::to_owned).collect()
    };
    Cpu {
        model: Known::or_unknown(model, &format!("{CPUINFO} has no model name")),
        features: Known::or_unknown(flags.map(those_of_rounding), &format!("{CPUINFO} has no flags")),
    }
}

fn first_line(command: &mut Command) -> Known<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Known::Unknown(format!("{program}: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned);
    Known::or_unknown(line, &format!("{program} printed nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_its_name_and_what_rounds_otherwise() {
        let cpu =
            described("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu fma sse2 avx2 avx512f\n");
        assert_eq!(cpu.model, Known::Value("A CPU @ 2 GHz".to_owned()));
        let features = ["fma", "avx2", "avx512f"].map(str::to_owned).into();
        assert_eq!(cpu.features, Known::Value(features));
    }

    #[test]
    fn what_a_machine_does_not_tell_has_a_reason() {
        let cpu = described("processor: 0\nFeatures : fp asimd\n");
        assert_eq!(cpu.model, Known::Unknown("/proc/cpuinfo has no model name".to_owned()));
        assert_eq!(cpu.features, Known::Value(["asimd".to_owned()].into()));
        assert!(matches!(described("").features, Known::Unknown(_)));
        let gone = first_line(&mut Command::new("/gone"));
        assert!(matches!(gone, Known::Unknown(reason) if reason.starts_with("/gone: ")));
        let silent = first_line(&mut Command::new("true"));
        assert_eq!(silent, Known::Unknown("true printed nothing".to_owned()));
    }

    #[test]
    fn this_program_knows_how_it_was_compiled() {
        let build = build();
        assert!(build.rustc.starts_with("rustc 1."), "{build:?}");
        assert!(build.target.contains(std::env::consts::ARCH), "{build:?}");
        assert!(!build.profile.is_empty() && !build.opt_level.is_empty(), "{build:?}");
    }
}
