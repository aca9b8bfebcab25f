//! Room on the disk.

use std::path::Path;

/// What the environment takes with the default build of PyTorch, which carries its GPU libraries.
pub(crate) const ENVIRONMENT: u64 = 7_000_000_000;
/// What building the workspace takes.
pub(crate) const BUILD: u64 = 3_000_000_000;

/// Bytes that an ordinary user may still write beside `path`; `None` when the system does not say.
pub(crate) fn free(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

/// `73.1 GB`.
pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(gigabytes(73_149_000_000), "73.1 GB");
        assert_eq!(gigabytes(40_000_000), "0.0 GB");
    }

    #[test]
    fn a_folder_that_is_there_has_a_figure() {
        assert!(free(Path::new(".")).is_some());
        assert!(free(Path::new("no/such/folder")).is_none());
    }
}
