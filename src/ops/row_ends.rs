//! `y[b] = x[lengths[b] - 1, b]`: each row's last timestep, and its mirror image, zeros around it.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::index;
use super::{Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// Of `x (T, B, F)` each row's last timestep, by `lengths u32 (B)`: `y (B, F)`. A row of length 0 gives
/// its first timestep, and one longer than T the last there is.
#[derive(Clone, Debug, PartialEq)]
pub struct RowEnds;

/// `dy (B, F)` and `lengths u32 (B)` to `dx (T, B, F)`, which holds `dy` at each row's last timestep and
/// zeros elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct RowEndsGradient {
    /// T.
    pub time: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    time: u32,
    rows: u32,
    cols: u32,
}

/// The params of a kernel that makes `len` elements, between (T, B, F) and (B, F).
fn params(len: u64, time: u32, ends: &TensorType) -> Vec<u8> {
    bytes_of(&Params { len: clamp(len), time, rows: ends.shape[0], cols: ends.shape[1] }).to_vec()
}

/// The timestep that a row of this length ends with, on the host.
fn end(length: f64, time: u32) -> usize {
    index(length).clamp(1, time as usize) - 1
}

fn check_lengths(op: &'static str, lengths: &TensorType, rows: u32) -> Result<(), ShapeError> {
    ShapeError::unless_is(op, "lengths u32 (B)", lengths, &TensorType::new(&[rows], DType::U32))
}

impl Rule for RowEnds {
    fn name(&self) -> &'static str {
        "row ends"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let x = &inputs[0];
        ShapeError::unless_floats(self.name(), "x", x)?;
        let &[time, rows, cols] = &x.shape[..] else {
            return Err(ShapeError { op: self.name(), reason: format!("x {x} must be (T, B, F)") });
        };
        ShapeError::unless(time > 0, self.name(), || format!("x {x} (T, B, F) has no timestep"))?;
        check_lengths(self.name(), &inputs[1], rows)?;
        Ok(vec![TensorType::new(&[rows, cols], x.dtype)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let time = out.type_of(at.inputs[0]).shape[0];
        let dx = slope.outputs[0].map(|dy| out.emit_one(RowEndsGradient { time }, &[dy, at.inputs[1]]));
        vec![dx, None]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        vec![Dispatch {
            shader: shader!("row_ends").with(&[("H", at.storage_to_move(Operand::Output(0)))]),
            params: params(len, at.inputs[0].shape[0], &at.outputs[0]),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.read(1), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (rows, cols) = (inputs[1].len(), at.outputs[0].shape[1] as usize);
        let time = at.inputs[0].shape[0];
        let ends = inputs[1].iter().enumerate().map(|(row, &length)| (end(length, time) * rows + row) * cols);
        vec![ends.flat_map(|from| &inputs[0][from..from + cols]).copied().collect()]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |shape: [u32; 3], lengths: &[u32]| {
            Specimen::new(RowEnds, &[&shape, &[shape[1]]]).ids(1, lengths).differentiable(&[0])
        };
        vec![of([1, 1, 1], &[1]), of([4, 5, 7], &[4, 1, 0, 9, 2]), of([2, 3, 131], &[1, 2, 2])]
    }
}

impl Rule for RowEndsGradient {
    fn name(&self) -> &'static str {
        "row ends gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let dy = &inputs[0];
        ShapeError::unless_floats(self.name(), "dy", dy)?;
        let &[rows, cols] = &dy.shape[..] else {
            return Err(ShapeError { op: self.name(), reason: format!("dy {dy} must be (B, F)") });
        };
        ShapeError::unless(self.time > 0, self.name(), || "there is no timestep".into())?;
        check_lengths(self.name(), &inputs[1], rows)?;
        Ok(vec![TensorType::new(&[self.time, rows, cols], dy.dtype)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        vec![Dispatch {
            shader: shader!("row_ends_gradient").with(&[("H", at.storage_to_move(Operand::Output(0)))]),
            params: params(len, self.time, &at.inputs[0]),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.read(1), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (rows, cols) = (inputs[1].len(), at.inputs[0].shape[1] as usize);
        let mut dx = vec![0.0; self.time as usize * rows * cols];
        for (row, (&length, dy)) in inputs[1].iter().zip(inputs[0].chunks(cols)).enumerate() {
            let from = (end(length, self.time) * rows + row) * cols;
            dx[from..from + cols].copy_from_slice(dy);
        }
        vec![dx]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |time, shape: [u32; 2], lengths: &[u32]| {
            Specimen::new(RowEndsGradient { time }, &[&shape, &[shape[0]]]).ids(1, lengths)
        };
        vec![of(1, [1, 1], &[1]), of(4, [5, 7], &[4, 1, 0, 9, 2]), of(2, [3, 131], &[1, 2, 2])]
    }
}
