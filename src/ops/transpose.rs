//! `y[.., j, .., i, ..] = x[.., i, .., j, ..]`: two dimensions change places.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::slice::on_host;
use super::{Bound, Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// `x (.., A, .., B, ..)` to `y (.., B, .., A, ..)`: `x.transpose(a, b).contiguous()` of PyTorch.
///
/// Where that leaves every element in its place, as in exchanging a dimension with a neighbour of
/// extent 1, the result is a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// The two dimensions, in either order, counted from the outermost.
    pub axes: [usize; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    a: u32,
    mid: u32,
    b: u32,
    inner: u32,
}

impl Transpose {
    /// `[outer, A, mid, B, inner]`: the dimensions apart from the two, taken together.
    fn extents(&self, x: &TensorType) -> [u64; 5] {
        let [a, b] = [self.axes[0].min(self.axes[1]), self.axes[0].max(self.axes[1])];
        let product = |shape: &[u32]| TensorType::new(shape, x.dtype).len();
        if a == b {
            return [1, 1, 1, 1, x.len()];
        }
        let [outer, mid, inner] = [&x.shape[..a], &x.shape[a + 1..b], &x.shape[b + 1..]].map(product);
        [outer, x.shape[a].into(), mid, x.shape[b].into(), inner]
    }
}

impl Rule for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let mut y = inputs[0].clone();
        let [a, b] = self.axes;
        let fits = a.max(b) < y.shape.len();
        ShapeError::unless(fits, self.name(), || format!("x {} has no dimension {}", inputs[0], a.max(b)))?;
        y.shape.swap(a, b);
        Ok(vec![y])
    }

    fn gradient(&self, _: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![slope.outputs[0].map(|dy| out.emit_one(self.clone(), &[dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        let [_, a, mid, b, inner] = self.extents(&at.inputs[0]).map(clamp);
        vec![Dispatch {
            shader: shader!("transpose").with(&[("H", at.storage_to_move(Operand::Output(0)))]),
            params: bytes_of(&Params { len: clamp(len), a, mid, b, inner }).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [outer, a, mid, b, inner] = self.extents(&at.inputs[0]).map(on_host);
        let mut y = Vec::with_capacity(inputs[0].len());
        for (o, j, m, i) in (0..outer)
            .flat_map(|o| (0..b).flat_map(move |j| (0..mid).flat_map(move |m| (0..a).map(move |i| (o, j, m, i)))))
        {
            let from = (((o * a + i) * mid + m) * b + j) * inner;
            y.extend_from_slice(&inputs[0][from..from + inner]);
        }
        vec![y]
    }

    // Elements keep their order where at most one of the three dimensions concerned is not 1.
    fn view(&self, inputs: &[TensorType]) -> Option<u64> {
        let [_, a, mid, b, _] = self.extents(&inputs[0]);
        ([a, mid, b].iter().filter(|&&d| d != 1).count() <= 1).then_some(0)
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        Bound::same()
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |shape: &[u32], axes| Specimen::new(Transpose { axes }, &[shape]).differentiable(&[0]);
        vec![
            of(&[1, 1], [0, 1]),
            of(&[7, 13], [0, 1]),
            of(&[3, 5, 17], [1, 0]),
            of(&[2, 3, 5, 7], [3, 1]),
            of(&[257, 1], [0, 1]),
        ]
    }
}
