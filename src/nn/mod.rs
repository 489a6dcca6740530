//! Networks: layers, losses, parameters and how those start. Writes them into a graph.

mod builder;
mod fields;
mod init;
mod layers;
mod losses;
mod model;
mod network;
mod parameter;
mod recurrent;
mod segment;
mod task;

pub use builder::{Builder, CarriedState, Feeds, LayerError, Phase, Used};
pub use fields::{Count, Field, Values};
pub use init::{Init, gain};
pub use model::{Layer, LayerKind, Model};
pub use network::{Answer, Custom, Network};
pub use parameter::Parameter;
pub use recurrent::{Cell, Recurrent};
pub use segment::{Ends, Segment};
pub use task::{Inputs, Loss, Targets, Task, Time};

pub use crate::data::{INPUTS, TARGETS};
