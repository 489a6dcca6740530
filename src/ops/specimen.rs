//! Small uses of an op, with data, which every test of ops loops over.

use super::{Dispatch, Lowering, Op, Operand};
use crate::target::Target;
use crate::tensor::{DType, TensorType};

/// How an input of a specimen is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Evenly spread numbers between the two.
    Uniform(f64, f64),
    /// Just these.
    Values(Vec<f64>),
}

/// A small use of an op, with data, for the tests.
#[derive(Clone, Debug, PartialEq)]
pub struct Specimen {
    /// The op.
    pub op: Op,
    /// Types of its inputs.
    pub inputs: Vec<TensorType>,
    /// What the inputs hold.
    pub data: Vec<Data>,
    /// Inputs for which central differences are compared with the gradient rule.
    pub differentiable: Vec<usize>,
    /// Outputs through which the loss of that comparison flows.
    pub through: Vec<usize>,
}

impl Specimen {
    /// `op` on `f32` inputs of these shapes, all filled from -1 to 1, with no gradient to check.
    pub fn new(op: impl Into<Op>, shapes: &[&[u32]]) -> Self {
        Self {
            op: op.into(),
            inputs: shapes.iter().map(|s| TensorType::f32(s)).collect(),
            data: vec![Data::Uniform(-1.0, 1.0); shapes.len()],
            differentiable: Vec::new(),
            through: vec![0],
        }
    }

    /// The same with the input at `i` given in full as whole numbers.
    pub fn ids(mut self, i: usize, ids: &[u32]) -> Self {
        self.inputs[i].dtype = DType::U32;
        self.data[i] = Data::Values(ids.iter().map(|&id| f64::from(id)).collect());
        self
    }

    /// The same with the input at `i` filled otherwise.
    pub fn filled(mut self, i: usize, data: Data) -> Self {
        self.data[i] = data;
        self
    }

    /// The same with the gradients of these inputs to be checked.
    pub fn differentiable(mut self, inputs: &[usize]) -> Self {
        self.differentiable = inputs.to_vec();
        self
    }

    /// The same with the loss flowing through these outputs instead of the first.
    pub fn through(mut self, outputs: &[usize]) -> Self {
        self.through = outputs.to_vec();
        self
    }

    /// What it dispatches on `target`, all of its outputs wanted; with all floats that its kernels can have in
    /// halves so, if `halves`.
    pub fn dispatches(&self, target: &Target, halves: bool) -> Vec<Dispatch> {
        let narrowed = if halves { self.op.rule().halves(self.inputs.len()) } else { Vec::new() };
        self.lower(target, &narrowed.concat())
    }

    /// What it dispatches on `target` in every mixture of floats in full and in halves that its kernels can have, the
    /// two of [`Specimen::dispatches`] among them.
    pub fn mixed_dispatches(&self, target: &Target) -> Vec<Dispatch> {
        let groups = self.op.rule().halves(self.inputs.len());
        let narrowed = |mixture: u32| {
            let chosen = groups.iter().enumerate().filter(move |(i, _)| mixture >> i & 1 == 1);
            chosen.flat_map(|(_, group)| group.iter().copied()).collect::<Vec<_>>()
        };
        (0..1 << groups.len()).flat_map(|mixture| self.lower(target, &narrowed(mixture))).collect()
    }

    fn lower(&self, target: &Target, narrowed: &[Operand]) -> Vec<Dispatch> {
        let rule = self.op.rule();
        let mut inputs = self.inputs.clone();
        let mut outputs = rule.outputs(&inputs).expect("a specimen fits its op");
        for operand in narrowed {
            let ty = match *operand {
                Operand::Input(i) => &mut inputs[i],
                Operand::Output(i) => &mut outputs[i],
            };
            if ty.dtype == DType::F32 {
                ty.dtype = DType::F16;
            }
        }
        let wanted = vec![true; outputs.len()];
        rule.lower(&Lowering { inputs: &inputs, outputs: &outputs, wanted: &wanted, target })
    }
}
