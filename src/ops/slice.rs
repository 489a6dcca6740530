//! `y = x[.., start..start + len, ..]` along one axis, and its mirror image, zeros around it.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Binding, Bound, Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// `x (.., N, ..)` to `y (.., len, ..)`: `x.narrow(axis, start, len)` of PyTorch.
///
/// Where no dimension outside `axis` is greater than 1 the elements lie in one piece, and the
/// result is a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The dimension, counted from the outermost.
    pub axis: usize,
    /// The first index that is taken.
    pub start: u32,
    /// How many are taken, at least one.
    pub len: u32,
}

/// `x (.., len, ..)` to `y (.., to, ..)`, which holds `x` from `start` on along `axis` and zeros
/// elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// The dimension, counted from the outermost.
    pub axis: usize,
    /// Where along it `x` begins.
    pub start: u32,
    /// The extent of `y` along it.
    pub to: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CopyParams {
    len: u32,
    cols: u32,
    x_stride: u32,
    x_start: u32,
    y_stride: u32,
    y_start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct PadParams {
    len: u32,
    cols: u32,
    y_cols: u32,
    start: u32,
}

/// Equally long runs of elements in a tensor, one a row.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    /// Elements from one row's start to the next.
    pub(super) stride: u64,
    /// Where in each row the run begins.
    pub(super) start: u64,
}

/// How many rows there are outside `axis`, and elements in each step along it.
pub(super) fn around(ty: &TensorType, axis: usize) -> (u64, u64) {
    let product = |shape: &[u32]| TensorType::new(shape, ty.dtype).len();
    (product(&ty.shape[..axis]), product(&ty.shape[axis + 1..]))
}

/// Copies `rows` runs of `cols` elements from input `input` to output 0.
pub(super) fn copy_rows(at: &Lowering, input: usize, [rows, cols]: [u64; 2], from: Runs, to: Runs) -> Dispatch {
    let len = rows.saturating_mul(cols);
    let params = CopyParams {
        len: clamp(len),
        cols: clamp(cols),
        x_stride: clamp(from.stride),
        x_start: clamp(from.start),
        y_stride: clamp(to.stride),
        y_start: clamp(to.start),
    };
    Dispatch {
        shader: shader!("copy_rows").with(&[("H", at.storage_to_move(Operand::Output(0)))]),
        params: bytes_of(&params).to_vec(),
        groups: at.cover(len, 256),
        bindings: vec![at.read(input), at.write(0)],
        tile: None,
    }
}

/// Copies the range `from`, element by element, to the range `to` of an output, which has as many.
pub(super) fn copy_run(at: &Lowering, from: Binding, to: Binding) -> Dispatch {
    let of = to.writes.expect("what is copied to is written");
    let len = (to.bytes.end - to.bytes.start) / at.type_of(of).dtype.bytes();
    let ((from, x_start), (to, y_start)) = (at.aligned(from), at.aligned(to));
    let params = CopyParams { len: clamp(len), cols: clamp(len), x_stride: 0, x_start, y_stride: 0, y_start };
    Dispatch {
        shader: shader!("copy_rows").with(&[("H", at.storage_to_move(of))]),
        params: bytes_of(&params).to_vec(),
        groups: at.cover(len, 256),
        bindings: vec![from, to],
        tile: None,
    }
}

/// A count as the index of a slice on the host.
pub(super) fn on_host(n: u64) -> usize {
    usize::try_from(n).expect("a tensor on the host fits in memory")
}

impl dyn Emit + '_ {
    /// The `range` of `x` along `axis`: `x` itself where that is all of it.
    pub fn slice(&mut self, x: ValueId, axis: usize, range: Range<u32>) -> ValueId {
        if range == (0..self.type_of(x).shape[axis]) {
            return x;
        }
        self.emit_one(Slice { axis, start: range.start, len: range.end - range.start }, &[x])
    }
}

impl Rule for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let x = &inputs[0];
        let end = u64::from(self.start) + u64::from(self.len);
        let fits = self.len > 0 && x.shape.get(self.axis).is_some_and(|&d| end <= u64::from(d));
        ShapeError::unless(fits, self.name(), || {
            format!("{}..{end} of dimension {} is not within x {x}, or empty", self.start, self.axis)
        })?;
        let mut y = x.clone();
        y.shape[self.axis] = self.len;
        Ok(vec![y])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let to = out.type_of(at.inputs[0]).shape[self.axis];
        let pad = Pad { axis: self.axis, start: self.start, to };
        vec![slope.outputs[0].map(|dy| out.emit_one(pad, &[dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, step) = around(&at.inputs[0], self.axis);
        let extent = u64::from(at.inputs[0].shape[self.axis]);
        let cols = step * u64::from(self.len);
        let from = Runs { stride: step * extent, start: step * u64::from(self.start) };
        vec![copy_rows(at, 0, [rows, cols], from, Runs { stride: cols, start: 0 })]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (_, step) = around(&at.inputs[0], self.axis);
        let row = on_host(step * u64::from(at.inputs[0].shape[self.axis]));
        let [start, len] = [self.start, self.len].map(|n| on_host(step * u64::from(n)));
        vec![inputs[0].chunks(row).flat_map(|row| &row[start..start + len]).copied().collect()]
    }

    fn view(&self, inputs: &[TensorType]) -> Option<u64> {
        let (rows, step) = around(&inputs[0], self.axis);
        (rows == 1).then(|| step * u64::from(self.start) * inputs[0].dtype.bytes())
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        Bound::same()
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |shape: &[u32], axis, start, len| Specimen::new(Slice { axis, start, len }, &[shape]);
        vec![
            of(&[1], 0, 0, 1).differentiable(&[0]),
            of(&[7, 13], 0, 2, 3).differentiable(&[0]),
            of(&[7, 13], 1, 5, 8).differentiable(&[0]),
            of(&[3, 5, 257], 1, 4, 1).differentiable(&[0]),
            of(&[2, 4], 1, 1, 2).ids(0, &[9, 0, u32::MAX, 9, 9, 1, 0x7f80_0001, 9]),
        ]
    }
}

impl Rule for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let x = &inputs[0];
        let end = x.shape.get(self.axis).map(|&d| u64::from(self.start) + u64::from(d));
        ShapeError::unless(end.is_some_and(|end| end <= u64::from(self.to)), self.name(), || {
            format!("x {x} from {} on does not fit in {} of dimension {}", self.start, self.to, self.axis)
        })?;
        let mut y = x.clone();
        y.shape[self.axis] = self.to;
        Ok(vec![y])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let len = out.type_of(at.inputs[0]).shape[self.axis];
        let slice = Slice { axis: self.axis, start: self.start, len };
        vec![slope.outputs[0].map(|dy| out.emit_one(slice, &[dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (_, step) = around(&at.inputs[0], self.axis);
        let len = at.outputs[0].len();
        let cols = step * u64::from(at.inputs[0].shape[self.axis]);
        let [y_cols, start] = [self.to, self.start].map(|n| clamp(step * u64::from(n)));
        let params = PadParams { len: clamp(len), cols: clamp(cols), y_cols, start };
        vec![Dispatch {
            shader: shader!("pad").with(&[("H", at.storage_to_move(Operand::Output(0)))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (_, step) = around(&at.inputs[0], self.axis);
        let len = on_host(step * u64::from(at.inputs[0].shape[self.axis]));
        let [start, to] = [self.start, self.to].map(|n| on_host(step * u64::from(n)));
        let row = |x: &[f64]| [&vec![0.0; start], x, &vec![0.0; to - start - len]].concat();
        vec![inputs[0].chunks(len).flat_map(row).collect()]
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        Bound::same()
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |shape: &[u32], axis, start, to| Specimen::new(Pad { axis, start, to }, &[shape]);
        vec![
            of(&[1], 0, 0, 1).differentiable(&[0]),
            of(&[7, 13], 0, 2, 10).differentiable(&[0]),
            of(&[7, 13], 1, 5, 18).differentiable(&[0]),
            of(&[3, 1, 257], 1, 1, 3).differentiable(&[0]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    #[test]
    fn a_slice_is_a_view_where_its_elements_lie_in_one_piece() {
        let of = |shape: &[u32], axis| Slice { axis, start: 2, len: 1 }.view(&[TensorType::f32(shape)]);
        assert_eq!(of(&[4, 3, 5], 0), Some(2 * 15 * 4));
        assert_eq!(of(&[1, 3, 5], 1), Some(2 * 5 * 4));
        assert_eq!(of(&[4, 3, 5], 1), None);
        let halves = Slice { axis: 0, start: 3, len: 1 }.view(&[TensorType::new(&[4, 5], DType::F16)]);
        assert_eq!(halves, Some(3 * 5 * 2));
    }
}
