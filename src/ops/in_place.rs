//! Outputs that lie where an input lay.

/// An output that may or must take the bytes of an input.
///
/// Only for kernels in which the thread that writes an element is the only one to read that
/// element, and reads it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Position of the output.
    pub output: usize,
    /// Position of the input, which nothing may read afterwards.
    pub input: usize,
    /// Whether the op works no other way.
    pub must: bool,
}

impl InPlace {
    /// Output `output` may take the bytes of input `input` when nothing else needs that.
    pub fn may(output: usize, input: usize) -> Self {
        Self { output, input, must: false }
    }

    /// Output `output` lies on input `input`.
    pub fn must(output: usize, input: usize) -> Self {
        Self { output, input, must: true }
    }
}
