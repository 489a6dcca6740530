//! `y[n] = sum of x[.., n]`: the gradient of a bias.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, start};
use super::streams::{Source, Streams, WHOLE};
use super::{
    Binary, Binding, Bound, Dispatch, Emit, Fill, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope,
    Specimen, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::target::{DeviceKind, Target};
use crate::tensor::{DType, TensorType};

/// `x (.., N)` to `y f32 (N)`, summed over all other dimensions in an order that depends on the shapes,
/// where they lie and the kind of device alone; where it accumulates, the sum is added to a last input `y_old f32 (N)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSum {
    /// Whether there is a `y_old`.
    pub accumulate: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    stride: u32,
    accumulate: u32,
    /// Elements bound in front of what is written.
    y_from: u32,
}

/// Sums the first `cols` columns of input `x` to `y`, or adds them to it.
pub(super) fn dispatch(at: &Lowering, x: usize, cols: u32, y: Binding, accumulate: bool) -> Dispatch {
    let (rows, stride) = at.inputs[x].as_matrix();
    let (rows, stride) = (clamp(rows), clamp(stride));
    let (y, y_from) = at.aligned(y);
    let params = Params { rows, cols, stride, accumulate: accumulate.into(), y_from };
    let width = if [cols, stride, y_from].iter().all(|n| n.is_multiple_of(4)) { 4 } else { 1 };
    let Walk { threads, times, parts } = walk(at.target, cols / width, width);
    let one = Streams { read: 1, written: 0 };
    let by_fours = parts == 1 && width == 4 && at.inputs[x].dtype == DType::F32;
    let len = at.inputs[x].len();
    let textured = by_fours && len <= most(at.target) && one.are_quicker_in_a_texture(at.target, len, len);
    let source = Source::new(textured, at.inputs[x].bytes());
    let storage = source.storage(at.storage(Operand::Input(x)));
    let constants = [("H", storage), ("V", width), ("W", threads), ("Q", times), ("G", parts)];
    Dispatch {
        shader: shader!("column_sum").with(&constants),
        params: bytes_of(&params).to_vec(),
        groups: at.cover((cols / width).into(), threads / parts * times),
        bindings: vec![source.operand(0, at.read(x)), y],
        tile: None,
    }
}

/// Numbers that are summed in the texture, at most. Most are a gradient that is a factor of products too, for which a texture
/// that products are read from has at least as much room.
fn most(target: &Target) -> u64 {
    let of_products = target.rates.and_then(|rates| rates.textures?.tiles);
    if of_products.is_some() { 8 * WHOLE } else { WHOLE }
}

/// Who sums what.
struct Walk {
    /// Threads of a workgroup.
    threads: u32,
    /// How many of the accesses to a row each takes.
    times: u32,
    /// Threads that share the rows of a column.
    parts: u32,
}

/// Who sums columns of so many `accesses` to a row, of `width` elements each.
fn walk(target: &Target, accesses: u32, width: u32) -> Walk {
    if target.device_kind == DeviceKind::Cpu {
        // A software adapter runs the subgroups of a workgroup one after the other, from the first row to
        // the last, so that a workgroup of one reads each row once; of many columns, long stretches.
        let threads = target.fixed_subgroup().unwrap_or(64);
        return Walk { threads, times: if accesses >= 8 * threads { 4 } else { 1 }, parts: 1 };
    }
    // A graphics processor has far more threads than there are columns; a row is read by 128 bytes.
    Walk { threads: 256, times: 1, parts: if width == 4 { 32 } else { 8 } }
}

impl Rule for ColumnSum {
    fn name(&self) -> &'static str {
        "column sum"
    }

    fn need(&self, _input: usize) -> &'static str {
        "its sum over rows is a bias's gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let x = &inputs[0];
        ShapeError::unless_floats(self.name(), "x", x)?;
        ShapeError::unless(!x.shape.is_empty(), self.name(), || format!("x {x} (.., N) has no N"))?;
        let y = TensorType::f32(&x.shape[x.shape.len() - 1..]);
        check_old(self.name(), self.accumulate, inputs, &y)?;
        Ok(vec![y])
    }

    // Each row of x has the gradient of y: zeros, to each row of which that is added.
    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let dy = slope.outputs[0];
        let dx = dy.filter(|_| slope.wanted[0]).map(|dy| {
            let shape = out.type_of(at.inputs[0]).shape.clone();
            let zeros = out.emit_one(Fill { value: 0.0, shape }, &[]);
            out.emit_one(Binary::Add, &[zeros, dy])
        });
        [dx, dy].into_iter().take(at.inputs.len()).collect()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (_, cols) = at.inputs[0].as_matrix();
        vec![dispatch(at, 0, clamp(cols), at.write_or_add(self.accumulate), self.accumulate)]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let cols = clamp(at.outputs[0].len()) as usize;
        let mut y = start(self.accumulate, inputs, cols);
        for row in inputs[0].chunks(cols) {
            y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
        }
        vec![y]
    }

    fn in_place(&self) -> Vec<InPlace> {
        self.accumulate.then(|| InPlace::must(0, 1)).into_iter().collect()
    }

    fn bound(&self, inputs: &[TensorType], _: usize) -> Option<Bound> {
        if self.accumulate { None } else { Bound::rows(inputs[0].as_matrix().0, &[0]) }
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| ColumnSum { accumulate: true }.into())
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 8] = [&[1, 1], &[7, 13], &[257, 5], &[3, 5, 65], &[7], &[19, 68], &[5, 268], &[300, 36]];
        let plain = sizes.map(|s| Specimen::new(ColumnSum { accumulate: false }, &[s]).differentiable(&[0]));
        let adding = sizes
            .map(|s| Specimen::new(ColumnSum { accumulate: true }, &[s, &s[s.len() - 1..]]).differentiable(&[0, 1]));
        plain.into_iter().chain(adding).collect()
    }
}
