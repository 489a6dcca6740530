//! A tensor training engine on wgpu that plans every byte before the first dispatch.
//!
//! A [`Training`] says what is to be done. From it comes a plan, without a device:
//!
//! ```
//! use plimsoll::{Bytes, Model, Target, Task, Training};
//!
//! let model = Model::new().embedding(64).rnn(128).output();
//! let training = Training::new(model, Task::next_token(100), 16).window(32);
//! let planned = training.plan(&Target::profile("webgpu-default")?)?;
//! assert!(planned.fits());
//! println!("it will take {}", Bytes(planned.plan.planned_bytes()));
//! # Ok::<(), plimsoll::Error>(())
//! ```
//!
//! On a [`Device`] it becomes a [`Session`], which takes exactly that memory, and trains. A text is
//! read through [`Text`] and [`Streams`], and a trained model becomes a [`Writer`].
//!
//! A module imports only those below it (see `ARCHITECTURE.md`), and only [`device`] names wgpu.

// No input may bring the library down: see `clippy.toml`.
#![warn(clippy::unwrap_used)]

pub mod autodiff;
pub mod bytes;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod config;
pub mod data;
pub mod device;
pub mod engine;
pub mod error;
pub mod graph;
pub mod host;
pub mod ids;
pub mod memory;
pub mod narrow;
pub mod nn;
pub mod ops;
pub mod plan;
pub mod random;
pub mod refusal;
pub mod run;
pub mod schedule;
pub mod shader;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod storage;
pub mod target;
pub mod tensor;
pub mod text;
pub mod training;

pub use bytes::Bytes;
pub use device::Device;
pub use error::Error;
pub use ids::ValueId;
pub use nn::Model;
pub use plan::Plan;
pub use target::Target;
pub use text::{Streams, Text, Unit};
pub use training::{Batch, Custom, Data, Optimizer, Sampling, Session, Task, Training, Writer};

/// The library's example there must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
