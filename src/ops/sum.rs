//! `y = scale * sum(x)`, and its mirror image `y[i] = scale * x`.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, start};
use super::{Binding, Dispatch, Emit, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::target::DeviceKind;
use crate::tensor::TensorType;

/// `y f32[1] = scale * sum(x)` for `x` of any shape, and `y_old + ...` where it accumulates.
///
/// Summed in an order that depends on the length and the device alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// What the sum is multiplied by.
    pub scale: f32,
    /// Whether a last input `f32[1]` is added.
    pub accumulate: bool,
}

/// `y[i] = scale * x`: one number, `f32[1]`, in every place of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The type of `y`.
    pub to: TensorType,
    /// What the number is multiplied by.
    pub scale: f32,
}

impl Sum {
    /// The mean of `len` elements.
    pub fn mean(len: u64) -> Self {
        Self { scale: 1.0 / len as f32, accumulate: false }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumParams {
    len: u32,
    scale: f32,
    accumulate: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SpreadParams {
    len: u32,
    scale: f32,
}

/// Sums all of the value `x` is bound to into output 0; also the last dispatch of every loss.
pub(super) fn dispatch(sum: &Sum, at: &Lowering, x: Binding) -> Dispatch {
    let of = at.type_bound(&x);
    let storage = at.target.storage(of.dtype);
    let params = SumParams { len: clamp(of.len()), scale: sum.scale, accumulate: sum.accumulate.into() };
    // A graphics processor has many threads to hide how far away memory is, and few places to hide it in.
    let limits = &at.target.limits;
    let most = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    let many = at.target.device_kind != DeviceKind::Cpu;
    let threads = if many && most >= 1024 { 1024 } else { 256 };
    let width = if many && of.len().is_multiple_of(4) && x.bytes.start == 0 { 4 } else { 1 };
    Dispatch {
        shader: shader!("sum").with(&[("H", storage), ("V", width), ("W", threads)]),
        params: bytes_of(&params).to_vec(),
        groups: [1, 1, 1],
        bindings: vec![x, at.write_or_add(sum.accumulate)],
        tile: None,
    }
}

impl Rule for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless_floats(self.name(), "x", &inputs[0])?;
        let y = TensorType::f32(&[1]);
        check_old(self.name(), self.accumulate, inputs, &y)?;
        Ok(vec![y])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let dy = slope.outputs[0];
        let spread = Spread { to: out.type_of(at.inputs[0]).clone(), scale: self.scale };
        let dx = dy.filter(|_| slope.wanted[0]).map(|dy| out.emit_one(spread, &[dy]));
        [dx, dy].into_iter().take(at.inputs.len()).collect()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        vec![dispatch(self, at, at.read(0))]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let old = start(self.accumulate, inputs, 1)[0];
        vec![vec![old + f64::from(self.scale) * inputs[0].iter().sum::<f64>()]]
    }

    fn in_place(&self) -> Vec<InPlace> {
        self.accumulate.then(|| InPlace::must(0, 1)).into_iter().collect()
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| Sum { accumulate: true, ..*self }.into())
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 5] = [&[1], &[7, 13], &[257], &[3, 1031], &[41, 200]];
        let plain = Sum { scale: 0.37, accumulate: false };
        let adding = Sum { scale: -2.0, accumulate: true };
        let sums = sizes.map(|s| Specimen::new(plain.clone(), &[s]).differentiable(&[0]));
        let onto = sizes.map(|s| Specimen::new(adding.clone(), &[s, &[1]]).differentiable(&[0, 1]));
        let mean = Specimen::new(Sum::mean(91), &[&[7, 13]]).differentiable(&[0]);
        sums.into_iter().chain(onto).chain([mean]).collect()
    }
}

impl Rule for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless_is(self.name(), "x", &inputs[0], &TensorType::f32(&[1]))?;
        ShapeError::unless_floats(self.name(), "y", &self.to)?;
        Ok(vec![self.to.clone()])
    }

    fn gradient(&self, _: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let sum = Sum { scale: self.scale, accumulate: false };
        vec![slope.outputs[0].map(|dy| out.emit_one(sum, &[dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = self.to.len();
        vec![Dispatch {
            shader: shader!("spread").with(&[("H", at.storage(Operand::Output(0)))]),
            params: bytes_of(&SpreadParams { len: clamp(len), scale: self.scale }).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let y = f64::from(self.scale) * inputs[0][0];
        vec![vec![y; clamp(self.to.len()) as usize]]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        sizes
            .map(|s| Spread { to: TensorType::f32(s), scale: -1.5 })
            .map(|spread| Specimen::new(spread, &[&[1]]).differentiable(&[0]))
            .to_vec()
    }
}
