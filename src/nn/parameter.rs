//! A tensor that training changes: its name, how it starts, and where it lies.

use std::ops::Range;

use super::init::Init;
use crate::plan::layout::{alignment, round_up};
use crate::target::Target;
use crate::tensor::TensorType;

/// A tensor that training changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `LAYER.TENSOR`, as PyTorch would name it in a module of that layer name.
    pub name: String,
    /// Its shape.
    pub ty: TensorType,
    /// How it starts.
    pub init: Init,
    /// Elements that start as a number of their own, whatever is drawn.
    pub fixed: Vec<(Range<u64>, f32)>,
    /// Which of the optimizer's groups it belongs to; those of one group lie side by side.
    pub update: usize,
    /// Which slot of parameters it lies in, and where.
    pub group: usize,
    /// Bytes from the slot's start.
    pub offset: u64,
}

impl Parameter {
    /// A parameter that lies nowhere yet.
    pub fn new(name: &str, ty: TensorType, init: Init) -> Self {
        Self { name: name.to_string(), ty, init, fixed: Vec::new(), update: 0, group: 0, offset: 0 }
    }

    /// The layer it belongs to, whose own name may have dots in it.
    pub fn layer(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(layer, _)| layer)
    }

    /// Its first numbers; the same for the same seed and name, whatever else the model has.
    pub fn draw(&self, seed: u64) -> Vec<f32> {
        let mut numbers = self.init.draw(seed, &self.name, &self.ty.shape);
        for (elements, number) in &self.fixed {
            let index = |n: u64| usize::try_from(n).expect("what is drawn fits in memory");
            numbers[index(elements.start)..index(elements.end)].fill(*number);
        }
        numbers
    }
}

/// Lays parameters side by side in slots that fit a buffer, those of one group of the optimizer
/// together; returns the slots' sizes.
pub(super) fn arrange(parameters: &mut [Parameter], target: &Target) -> Vec<u64> {
    let align = alignment(target);
    let mut order: Vec<usize> = (0..parameters.len()).collect();
    order.sort_by_key(|&i| parameters[i].update);
    let mut sizes: Vec<u64> = Vec::new();
    for i in order {
        let parameter = &mut parameters[i];
        let bytes = round_up(parameter.ty.bytes(), align);
        match sizes.last() {
            Some(&size) if size.saturating_add(bytes) <= target.limits.max_buffer_size => {}
            _ => sizes.push(0),
        }
        parameter.group = sizes.len() - 1;
        let size = sizes.last_mut().expect("a group was just opened");
        parameter.offset = *size;
        *size = size.saturating_add(bytes);
    }
    sizes
}
