use std::process::{Command, Stdio};

use super::*;
use crate::fixtures::Run;
use crate::{Demands, verify_as};

/// A key of `ssh-keygen`'s, and a file that allows its owner.
fn key(folder: &Path, kind: &str) -> (PathBuf, PathBuf) {
    let key = folder.join(kind);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", "auditor", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let signers = folder.join(format!("{kind}.allowed"));
    fs::write(&signers, format!("# ours\nauditor@example.org namespaces=\"other,{NAMESPACE}\" {public}"))
        .unwrap();
    (key, signers)
}

/// `ssh-keygen`'s own verdict.
fn stranger_accepts(bundle: &Path, signers: &Path) -> bool {
    let message = File::open(bundle.join(TAG_MANIFEST)).unwrap();
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-n", NAMESPACE, "-I", "auditor@example.org", "-f"]).arg(signers);
    verify.arg("-s").arg(signature_path(bundle)).stdin(message).stdout(Stdio::null()).stderr(Stdio::null());
    verify.status().unwrap().success()
}

/// Problems when a signature by one of these is required.
fn problems(bundle: &Path, signers: &Path) -> Vec<String> {
    let signers = AllowedSigners::read(signers).unwrap();
    let demands =
        Demands { signers: Some(&signers), signature_required: true, partial: true, ..Demands::default() };
    let verification = verify_as(bundle, &demands).unwrap();
    verification.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn ssh_keygen_accepts_our_signatures_and_we_accept_its() {
    for kind in ["ed25519", "ecdsa"] {
        let run = Run::new();
        let bundle = run.write();
        let (key, signers) = key(run.folder.path(), kind);
        let path = sign(&bundle, &key).unwrap();
        assert!(stranger_accepts(&bundle, &signers), "{kind}");
        assert_eq!(problems(&bundle, &signers), [""; 0], "{kind}");
        let signed = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", NAMESPACE, "-f"])
            .arg(&key)
            .stdin(File::open(bundle.join(TAG_MANIFEST)).unwrap())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        fs::write(path, signed.stdout).unwrap();
        assert_eq!(problems(&bundle, &signers), [""; 0], "{kind}");
    }
}

#[test]
fn a_signature_that_is_none_of_theirs_is_refused() {
    let run = Run::new();
    let bundle = run.write();
    let (key, signers) = key(run.folder.path(), "ed25519");
    assert!(problems(&bundle, &signers)[0].contains("no signature"));
    let path = sign(&bundle, &key).unwrap();
    let good = fs::read_to_string(&path).unwrap();

    let other = run.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let (other_key, other_signers) = self::key(&other, "ed25519");
    assert!(problems(&bundle, &other_signers)[0].contains("no allowed signer has"));

    let signed_for = |namespace: &str, message: &[u8]| {
        let private = PrivateKey::from_openssh(fs::read(&key).unwrap()).unwrap();
        private.sign(namespace, HashAlg::Sha512, message).unwrap().to_pem(LineEnding::LF).unwrap()
    };
    let tag_manifest = fs::read(bundle.join(TAG_MANIFEST)).unwrap();
    for (text, part) in [
        (signed_for("file", &tag_manifest), "made for `file`"),
        (signed_for(NAMESPACE, b"another bundle"), "not a signature of this bundle"),
        (good.replace("SIGNATURE", "MESSAGE"), "not an SSH signature"),
        (good[..good.len() / 2].to_owned(), "not an SSH signature"),
        (String::new(), "not an SSH signature"),
    ] {
        fs::write(&path, text).unwrap();
        let found = problems(&bundle, &signers);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
        assert!(!stranger_accepts(&bundle, &signers), "{part}");
    }
    sign(&bundle, &other_key).unwrap();
    assert!(!stranger_accepts(&bundle, &signers));
    assert_eq!(problems(&bundle, &signers).len(), 1);
}

#[test]
fn options_of_a_signer_are_restrictions() {
    let run = Run::new();
    let bundle = run.write();
    let (key, signers) = key(run.folder.path(), "ed25519");
    sign(&bundle, &key).unwrap();
    let line = fs::read_to_string(&signers).unwrap();
    for options in ["namespaces=\"file\"", "cert-authority", "valid-before=\"20200101\""] {
        let restricted = line.replace(&format!("namespaces=\"other,{NAMESPACE}\""), options);
        fs::write(&signers, restricted).unwrap();
        assert!(problems(&bundle, &signers)[0].contains("may not sign here"), "{options}");
    }
    fs::write(&signers, "auditor@example.org").unwrap();
    assert!(AllowedSigners::read(&signers).unwrap_err().to_string().contains("line 1: expected"));
}

#[test]
fn a_bundle_that_is_written_again_loses_the_signature_of_its_predecessor() {
    let run = Run::new();
    let bundle = run.write();
    let (key, _) = key(run.folder.path(), "ed25519");
    let path = sign(&bundle, &key).unwrap();
    run.write();
    assert!(!path.exists());
}
