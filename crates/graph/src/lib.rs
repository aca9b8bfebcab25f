//! Families of models as data: what an activation is computed from and by which operation, and what follows from that.
//!
//! A family is a folder: `family.toml` (how `config.json` and weights are read) and one file per checkpoint, in which
//! every activation states its operation. From these follow inputs, the order of execution and shapes. What only some
//! models of a family have is told by features, which `config.json` decides. How an operation is computed is not known here.
//!
//! Architecture invariant: no arithmetic, no tensors, no files but those that are compiled in.
#![forbid(unsafe_code)]

mod architecture;
mod config;
mod error;
mod expression;
mod family;
mod feature;
mod graph;
mod mutation;
mod operation;
mod order;
mod shape;
mod template;

pub use architecture::Architecture;
pub use config::Condition;
pub use error::{FamilyError, Refused};
pub use family::{ConstantSource, Family, OptionSpec, Roles, SizeSource, WeightSpec};
pub use feature::{Conditional, FeatureSpec, Features};
pub use graph::{Graph, GraphError, Step};
pub use mutation::{
    ArrayChange, Change, Computation, ElementChange, Format, Handed, InputChange, Mutation, MutationProblem,
    RESULT, Roll, SliceChange, WeightChange, Which, WhichElement,
};
pub use operation::{
    Constant, GeluForm, Layout, NamedScale, Operation, Pairs, Part, RopeScaling, ScoreScale, Wave,
};
pub use order::{Circle, Node, execution_order};
pub use shape::{ShapeProblem, is_split_of, output_shape};
pub use template::{Input, InputTemplate, in_layer};

/// One activation of a family: what it is called, what it is computed from, and the shape it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// The name; `{l}` stands for every layer.
    pub name: String,
    /// Dimensions: symbols of the architecture, `B`, `S`, `P`, `K`, `T`, `N` of case and step, or numbers.
    pub shape: Vec<String>,
    /// How it is computed; none for what is given, or follows from a whole case.
    pub op: Option<Operation>,
}

impl Activation {
    /// Whether there is one in every layer.
    pub fn is_layered(&self) -> bool {
        self.name.contains("{l}")
    }
}
