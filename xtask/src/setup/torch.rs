//! PyTorch's other builds: `UV_TORCH_BACKEND=cpu` saves 4 GB of GPU libraries. They come from PyTorch's own index under
//! other digests than the lock file knows, so PyTorch alone is then held by its version only.

/// The installer's own variable for it.
pub(super) const BACKEND: &str = "UV_TORCH_BACKEND";

/// The lock file without PyTorch and what only it needs, and PyTorch's requirement.
pub(super) fn set_apart(lock: &str) -> (String, Option<String>) {
    let mut rest = String::new();
    let mut torch = None;
    let mut keep = true;
    for line in lock.lines() {
        if line.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            let requirement = line.split([' ', ';']).next().unwrap_or_default();
            let name = requirement.split("==").next().unwrap_or_default();
            if name == "torch" {
                torch = Some(requirement.to_owned());
            }
            keep = !belongs_to_torch(name);
        }
        if keep {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    (rest, torch)
}

fn belongs_to_torch(name: &str) -> bool {
    matches!(name, "torch" | "triton") || name.starts_with("nvidia-") || name.starts_with("cuda-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytorch_and_its_gpu_libraries_are_set_apart() {
        let lock = "# made by uv\nnumpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n    # via torch\n\
                    nvidia-cublas==13.4 ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n\
                    torch==2.15.0 \\\n    --hash=sha256:cc\ntriton==3.9.0 ; x \\\n    --hash=sha256:dd\n\
                    tqdm==4.70 \\\n    --hash=sha256:ee\n";
        let (rest, torch) = set_apart(lock);
        assert_eq!(torch.as_deref(), Some("torch==2.15.0"));
        assert_eq!(
            rest,
            "# made by uv\nnumpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n    # via torch\n\
             tqdm==4.70 \\\n    --hash=sha256:ee\n"
        );
    }
}
