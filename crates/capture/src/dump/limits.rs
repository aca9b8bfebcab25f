//! How much a dump may hold.

/// Bounds of time and memory that a file's own words cannot move.
///
/// A reader never allocates more than the file has bytes, but where it unpacks: there `expansion` and `total_bytes` hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tensors of a dump, and files of a folder.
    pub tensors: usize,
    /// Bytes of one tensor.
    pub tensor_bytes: u64,
    /// Bytes of all tensors together.
    pub total_bytes: u64,
    /// How many times its size a compressed archive may unpack to, where that is more than `free_expansion`.
    pub expansion: u64,
    /// Bytes that any archive may unpack to, however small it is: caches and masks of zeros are small.
    pub free_expansion: u64,
    /// Bytes of what describes tensors: a pickle, a tree of modules, an array's header.
    pub description_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tensors: 1 << 18,
            tensor_bytes: 64 << 30,
            total_bytes: 64 << 30,
            expansion: 64,
            free_expansion: 256 << 20,
            description_bytes: 64 << 20,
        }
    }
}
