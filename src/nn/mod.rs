//! Networks as people describe them: layers, their parameters, and how those start.

mod builder;
mod init;
mod model;

pub use builder::{Builder, Inputs, LayerError, Parameter, Phase};
pub use init::{Init, gain};
pub use model::{Layer, LayerKind, Model};
