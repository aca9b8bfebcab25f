//! What a pickle of tensors is made of.

use crate::dump::tensor::DumpDtype;

/// A value's place in the [`Graph`]. Values refer to each other, and may do so in a circle.
pub(super) type Ref = usize;

/// All values of a pickle.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) values: Vec<Value>,
    pub(super) root: Ref,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    /// A list or tuple.
    Sequence(Vec<Ref>),
    Map(Vec<(Ref, Ref)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
    /// Something that holds no tensor, named for a note.
    Other(&'static str),
}

/// What a pickle may name. Nothing else is understood, and nothing of it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    Tensor,
    /// `torch._utils._rebuild_tensor_v3`, whose storage is of bytes.
    TypedTensor,
    /// `torch._utils._rebuild_parameter`.
    Parameter,
    Size,
    Device,
    /// `torch.FloatStorage` and its like.
    Storage(DumpDtype),
    /// A storage of bytes.
    Bytes,
    /// `torch.float32` and its like.
    Dtype(DumpDtype),
}

/// A member of the archive that holds numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    /// None where it is of bytes.
    pub(super) dtype: Option<DumpDtype>,
    pub(super) elements: u64,
    pub(super) element_size: u64,
}

/// A tensor: where its elements lie in a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) storage: Storage,
    pub(super) dtype: DumpDtype,
    /// In elements, as the strides are.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Storage {
    /// Bytes that it must have; none where that is no number.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.elements.checked_mul(self.element_size)
    }
}

impl Value {
    /// What it is, for a note or a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Text(_) => "text",
            Self::Sequence(_) => "a list",
            Self::Map(_) => "a dict",
            Self::Global(_) => "a type",
            Self::Storage(_) => "a storage without a shape",
            Self::Tensor(_) => "a tensor",
            Self::Other(kind) => kind,
        }
    }
}
