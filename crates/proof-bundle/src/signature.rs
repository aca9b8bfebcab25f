//! SSH signatures of bundles, with the key people have.
//!
//! What is signed is the bytes of `tagmanifest-sha256.txt`, which stand for every other file, in the namespace
//! [`NAMESPACE`]. The signature stands beside the bundle's folder, `<folder>.sig`, and needs no tool of ours:
//!
//! ```text
//! ssh-keygen -Y sign -n checkpoint-proof -f KEY < BUNDLE/tagmanifest-sha256.txt > BUNDLE.sig
//! ssh-keygen -Y verify -n checkpoint-proof -f ALLOWED_SIGNERS -I WHO -s BUNDLE.sig < BUNDLE/tagmanifest-sha256.txt
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use crate::layout::TAG_MANIFEST;

/// The namespace of the signatures, so that none made for something else can serve.
pub const NAMESPACE: &str = "checkpoint-proof";

/// Bytes of a signature or of a file of allowed signers.
const LARGEST: u64 = 1 << 20;

/// Why a bundle cannot be signed, or a list of signers not be read.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The key cannot sign.
    #[error(
        "{path}: {problem}; `ssh-keygen -Y sign -n {NAMESPACE} -f KEY < tagmanifest-sha256.txt` signs with any key, also one in an agent"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Not the form of `ssh-keygen`'s allowed signers.
    #[error("{path}, line {line}: {problem}")]
    Signers {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Whose signatures count, as `ssh-keygen -Y verify` reads them.
#[derive(Clone, Debug)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
}

#[derive(Clone, Debug)]
struct Signer {
    principals: String,
    /// Why a signature in our namespace is not his to give, whatever the key.
    excluded: Option<String>,
    key: PublicKey,
}

/// Where the signature of a bundle is.
pub fn signature_path(bundle: &Path) -> PathBuf {
    let bundle = bundle.canonicalize().unwrap_or_else(|_| bundle.to_owned());
    let mut path = OsString::from(bundle);
    path.push(".sig");
    path.into()
}

/// Signs a bundle with a private key in OpenSSH's format and gives the path of the signature.
///
/// # Errors
/// [`SignatureError`].
pub fn sign(bundle: &Path, key: &Path) -> Result<PathBuf, SignatureError> {
    let problem = |problem: String| SignatureError::Key { path: key.to_owned(), problem };
    let private = PrivateKey::from_openssh(read(key)?).map_err(|error| problem(error.to_string()))?;
    if private.is_encrypted() {
        return Err(problem("the key has a passphrase, which is not asked for here".to_owned()));
    }
    let message = read(&bundle.join(TAG_MANIFEST))?;
    let signature = private.sign(NAMESPACE, HashAlg::Sha512, &message);
    let text = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
    let text = text.map_err(|error| problem(error.to_string()))?;
    let path = signature_path(bundle);
    write(&path, &(text.trim_end().to_owned() + "\n"))?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<(), SignatureError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(io_at(path))
}

impl AllowedSigners {
    /// Reads a file of allowed signers: `principals [options] keytype key [comment]` on each line.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let signers =
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(line, text)| {
                let problem = |problem| SignatureError::Signers { path: path.to_owned(), line, problem };
                Signer::parse(text).map_err(problem)
            });
        Ok(Self { signers: signers.collect::<Result<_, _>>()? })
    }

    /// Who signed, if the signature is one of theirs and of this message.
    ///
    /// # Errors
    /// What is wrong with the signature, in words.
    pub(crate) fn check(&self, signature: &[u8], message: &[u8]) -> Result<&str, String> {
        let signature =
            SshSig::from_pem(signature).map_err(|error| format!("not an SSH signature: {error}"))?;
        if signature.namespace() != NAMESPACE {
            return Err(format!("made for `{}`, expected `{NAMESPACE}`", signature.namespace()));
        }
        let of_key = |signer: &&Signer| signer.key.key_data() == signature.public_key();
        let fingerprint = signature.public_key().fingerprint(HashAlg::Sha256);
        let mut signers = self.signers.iter().filter(of_key).peekable();
        if signers.peek().is_none() {
            return Err(format!("made with the key {fingerprint}, which no allowed signer has"));
        }
        let signer = signers.clone().find(|signer| signer.excluded.is_none());
        let Some(signer) = signer else {
            let why = signers.find_map(|signer| signer.excluded.clone()).unwrap_or_default();
            return Err(format!("made with the key {fingerprint}, which may not sign here: {why}"));
        };
        let verified = signer.key.verify(NAMESPACE, message, &signature);
        verified.map_err(|_| format!("not a signature of this bundle's {TAG_MANIFEST}"))?;
        Ok(&signer.principals)
    }
}

impl Signer {
    fn parse(line: &str) -> Result<Self, String> {
        let expected = "expected `principals [options] keytype key [comment]`";
        let (principals, rest) = line.split_once(char::is_whitespace).ok_or(expected)?;
        let rest = rest.trim_start();
        let is_key = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start));
        let (options, key) = if is_key(rest) {
            ("", rest)
        } else {
            let end = end_of_options(rest).ok_or(expected)?;
            (&rest[..end], rest[end..].trim_start())
        };
        let key = PublicKey::from_openssh(key).map_err(|error| format!("the key: {error}; {expected}"))?;
        Ok(Self { principals: principals.to_owned(), excluded: excluded(options), key })
    }
}

/// Options end at the first space outside quotation marks.
fn end_of_options(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c.is_whitespace() && !quoted).then_some(at)
    })
}

/// Options are restrictions: one that is not understood excludes.
fn excluded(options: &str) -> Option<String> {
    if options.is_empty() {
        return None;
    }
    let namespaces = options.strip_prefix("namespaces=\"").and_then(|rest| rest.strip_suffix('"'));
    match namespaces {
        Some(list) if list.split(',').any(|namespace| namespace == NAMESPACE) => None,
        Some(list) => Some(format!("its namespaces are `{list}`, not `{NAMESPACE}`")),
        None => Some(format!("the options `{options}` are for `ssh-keygen -Y verify` to judge")),
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SignatureError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_at(path))?;
    file.take(LARGEST).read_to_end(&mut bytes).map_err(io_at(path))?;
    Ok(bytes)
}

/// The signature beside a bundle, if there is one.
pub(crate) fn beside(bundle: &Path) -> Result<Option<Vec<u8>>, SignatureError> {
    let path = signature_path(bundle);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(&path)(error)),
        // A folder or a pipe of that name is no signature, and reading it might not end.
        Ok(metadata) if !metadata.is_file() => Ok(Some(Vec::new())),
        Ok(_) => read(&path).map(Some),
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> SignatureError {
    let path = path.to_owned();
    move |source| SignatureError::Io { path, source }
}

#[cfg(test)]
mod tests;
