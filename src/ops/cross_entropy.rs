//! `loss = scale * sum over rows of (ln sum e^logits - logits[target])`, with its gradient at once.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, index, scattered, start};
use super::sum::dispatch as sum_dispatch;
use super::{
    Data, Dispatch, Emit, IGNORE, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope, Specimen, Sum, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// The cross entropy of `softmax(logits)` and whole-number targets.
///
/// From `(logits (N, V), targets u32 (N), scale f32[1])`, where N may be several dimensions, to
/// `(loss f32[1], dlogits (N, V), rows f32 (N))`:
///
/// ```text
/// rows[n]    = scale * (ln sum over v of e^logits[n, v] - logits[n, targets[n]])
/// loss       = sum of rows                                    and loss_old, where it accumulates
/// dlogits[n] = scale * (softmax(logits[n]) - onehot(targets[n]))
/// ```
///
/// Rows whose target is [`IGNORE`], or anything else not below V, count as 0 and have no gradient;
/// it is the caller's `scale` that makes a mean. After `scale` come `weights f32 (V)`, where there are
/// any, `seed f32[1]`, which `dlogits` is multiplied by where it is there, and last `loss_old f32[1]`.
///
/// With weights and smoothing (Szegedy et al. 2016), where `d[v] = ln sum e^logits - logits[v]`:
///
/// ```text
/// rows[n] = scale * ((1 - smoothing) * weights[t] * d[t] + smoothing / V * sum over v of weights[v] * d[v])
/// ```
///
/// Equal to `torch.nn.CrossEntropyLoss` with its mean where `scale` is one over the sum of the
/// weights of the valid targets, which is their number where there are no weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Share of each target that is spread evenly over all classes; 0 for none.
    pub label_smoothing: f32,
    /// Whether there are weights.
    pub weighted: bool,
    /// Whether there is a `seed` by which `dlogits` is multiplied.
    pub seeded: bool,
    /// Whether there is a `loss_old`.
    pub accumulate: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    gradient: u32,
    seeded: u32,
    smoothing: f32,
}

/// `dy * slope`, where `slope` is output 1 at `at`, the gradient of a loss whose own gradient is `dy`.
///
/// A loss that is `seeded` reads `dy` at position `seed` and multiplies before anything is stored: halves
/// might not hold what comes before. Where `dy` is there from the start, the loss itself becomes such a one;
/// where it is made on the way back, as that of a loss among several is, the slope is worked out anew.
pub(super) fn scaled(at: &Site, dy: ValueId, seed: usize, seeded: impl Fn(bool) -> Op, out: &mut dyn Emit) -> ValueId {
    let slope = at.outputs[1];
    if out.is_one(dy) {
        return slope;
    }
    let accumulates = at.inputs.len() > seed;
    if out.is_given(dy) {
        out.refit(slope, seeded(accumulates), seed, dy);
        return slope;
    }
    let inputs: Vec<ValueId> = at.inputs[..seed].iter().copied().chain([dy]).collect();
    out.emit(seeded(false), &inputs)[1]
}

impl CrossEntropy {
    /// Where the seed stands among the inputs, if it is there.
    fn seed(&self) -> usize {
        3 + usize::from(self.weighted)
    }
}

impl Rule for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross entropy"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (logits, targets) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "logits", logits)?;
        ShapeError::unless(targets.dtype == DType::U32, self.name(), || format!("targets {targets} (N) must be u32"))?;
        let rows = logits.shape.split_last().map(|(_, rows)| rows);
        ShapeError::unless(rows == Some(&targets.shape), self.name(), || {
            format!("logits {logits} (N, V) and targets {targets} (N) differ in N")
        })?;
        let loss = TensorType::f32(&[1]);
        ShapeError::unless_is(self.name(), "scale", &inputs[2], &loss)?;
        if self.weighted {
            let classes = logits.shape.last().copied().unwrap_or_default();
            ShapeError::unless_is(self.name(), "weights", &inputs[3], &TensorType::f32(&[classes]))?;
        }
        if self.seeded {
            ShapeError::unless_is(self.name(), "seed", &inputs[self.seed()], &loss)?;
        }
        check_old(self.name(), self.accumulate, inputs, &loss)?;
        Ok(vec![loss, logits.clone(), TensorType::f32(&targets.shape)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let dy = slope.outputs[0];
        let seeded = |accumulate| CrossEntropy { seeded: true, accumulate, ..*self }.into();
        let dlogits = dy.filter(|_| slope.wanted[0]).map(|dy| scaled(at, dy, self.seed(), seeded, out));
        let old = self.accumulate.then_some(dy);
        let others = vec![None; self.seed() + usize::from(self.seeded) - 1];
        [dlogits].into_iter().chain(others).chain(old).collect()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.inputs[0].as_matrix();
        let gradient = at.wanted[1];
        let params = Params {
            rows: clamp(rows),
            cols: clamp(cols),
            gradient: gradient.into(),
            seeded: self.seeded.into(),
            smoothing: self.label_smoothing,
        };
        let weights = if self.weighted { at.read(3) } else { at.read(2) };
        let seed = at.read(if self.seeded { self.seed() } else { 2 });
        let dlogits = if gradient { at.write(1) } else { at.read(0) };
        let by_row = Dispatch {
            shader: shader!("cross_entropy").with(&[
                ("H", at.storage(Operand::Input(0))),
                ("V", Lowering::width(cols)),
                ("W", self.weighted.into()),
            ]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(rows, 64),
            bindings: vec![at.read(0), at.read(1), at.read(2), weights, dlogits, at.write(2), seed],
            tile: None,
        };
        let sum = Sum { scale: 1.0, accumulate: self.accumulate };
        vec![by_row, sum_dispatch(&sum, at, at.read_again(2))]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (_, cols) = at.inputs[0].as_matrix();
        let (cols, scale, smoothing) = (clamp(cols) as usize, inputs[2][0], f64::from(self.label_smoothing));
        let weights = if self.weighted { inputs[3].to_vec() } else { vec![1.0; cols] };
        let slope = if self.seeded { scale * inputs[self.seed()][0] } else { scale };
        let (mut dlogits, mut rows) = (Vec::new(), Vec::new());
        for (row, &target) in inputs[0].chunks(cols).zip(inputs[1]) {
            let target = index(target);
            if target >= cols {
                rows.push(0.0);
                dlogits.extend(row.iter().map(|_| 0.0));
                continue;
            }
            let greatest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = greatest + row.iter().map(|x| (x - greatest).exp()).sum::<f64>().ln();
            // What each class counts: all of it for the target, and its part of what is spread.
            let counts: Vec<f64> = (0..cols)
                .map(|v| {
                    let onehot = f64::from(u8::from(v == target));
                    weights[v] * ((1.0 - smoothing) * onehot + smoothing / cols as f64)
                })
                .collect();
            let mass: f64 = counts.iter().sum();
            rows.push(scale * row.iter().zip(&counts).map(|(x, count)| count * (log_sum - x)).sum::<f64>());
            dlogits.extend(row.iter().zip(&counts).map(|(x, count)| slope * (mass * (x - log_sum).exp() - count)));
        }
        let loss = start(self.accumulate, inputs, 1)[0] + rows.iter().sum::<f64>();
        vec![vec![loss], dlogits, rows]
    }

    fn in_place(&self) -> Vec<InPlace> {
        let over_old = self.accumulate.then(|| InPlace::must(0, self.seed() + usize::from(self.seeded)));
        [InPlace::may(1, 0)].into_iter().chain(over_old).collect()
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| CrossEntropy { accumulate: true, ..*self }.into())
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(1)]]
    }

    fn specimens() -> Vec<Specimen> {
        let plain = CrossEntropy::default();
        let adding = CrossEntropy { accumulate: true, ..plain };
        let smooth = CrossEntropy { label_smoothing: 0.1, ..plain };
        let weighted = CrossEntropy { weighted: true, ..plain };
        let all = CrossEntropy { label_smoothing: 0.3, weighted: true, accumulate: true, seeded: false };
        let seeded = CrossEntropy { seeded: true, ..plain };
        let seeded_all = CrossEntropy { seeded: true, ..all };
        let of = |op: &CrossEntropy, rows: &[u32], v: u32, spread: f64| {
            let logits = [rows, &[v]].concat();
            let n = rows.iter().product();
            let mut shapes: Vec<&[u32]> = vec![&logits, rows, &[1]];
            let classes = [v];
            shapes.extend(op.weighted.then_some(&classes[..]));
            shapes.extend(op.seeded.then_some(&[1][..]));
            shapes.extend(op.accumulate.then_some(&[1][..]));
            let specimen = Specimen::new(op.clone(), &shapes)
                .filled(0, Data::Uniform(-spread, spread))
                .ids(1, &scattered(n, v))
                .filled(2, Data::Values(vec![1.0 / f64::from(n)]));
            if op.weighted { specimen.filled(3, Data::Uniform(0.1, 2.0)) } else { specimen }
        };
        let ignored: Vec<u32> = (0..13).map(|n| [n, IGNORE, 0, 17, 16][n as usize % 5]).collect();
        vec![
            of(&plain, &[1], 1, 1.0).differentiable(&[0]),
            of(&plain, &[7], 13, 1.0).differentiable(&[0]),
            of(&plain, &[65], 5, 1.0).differentiable(&[0]),
            of(&plain, &[3, 2], 97, 1.0).differentiable(&[0]),
            of(&adding, &[7], 13, 1.0).differentiable(&[0, 3]),
            of(&plain, &[13], 17, 1.0).ids(1, &ignored).differentiable(&[0]),
            of(&plain, &[67], 12, 1.0).differentiable(&[0]),
            of(&weighted, &[7], 16, 1.0).differentiable(&[0]),
            of(&all, &[5], 8, 1.0),
            of(&plain, &[13], 16, 1.0).ids(1, &ignored).differentiable(&[0]),
            of(&smooth, &[7], 13, 1.0).differentiable(&[0]),
            of(&weighted, &[13], 17, 1.0).ids(1, &ignored).differentiable(&[0]),
            of(&all, &[13], 17, 1.0).ids(1, &ignored).differentiable(&[0, 4]),
            of(&seeded, &[7], 13, 1.0).filled(3, Data::Values(vec![64.0])),
            of(&seeded_all, &[13], 17, 1.0).ids(1, &ignored).filled(4, Data::Values(vec![64.0])),
            // So far apart that e^logits is past every f32.
            of(&plain, &[7], 13, 200.0),
            of(&smooth, &[7], 13, 200.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_target_is_refused_with_both_shapes() {
        let inputs = [TensorType::f32(&[6, 5]), TensorType::u32(&[7]), TensorType::f32(&[1])];
        assert_eq!(
            CrossEntropy::default().outputs(&inputs).unwrap_err().to_string(),
            "cross entropy: logits f32[6, 5] (N, V) and targets u32[7] (N) differ in N"
        );
    }

    /// `tests/golden/rules.json`, made by `make_rules.py` there.
    #[test]
    fn weights_smoothing_and_ignored_rows_together_are_as_in_pytorch() {
        let rules: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/rules.json")).unwrap();
        let list = |of: &serde_json::Value| -> Vec<f64> { serde_json::from_value(of.clone()).unwrap() };
        let losses = &rules["losses"];
        let [logits, mut targets, weights] = ["logits", "targets", "weights"].map(|name| list(&losses[name]));
        targets.iter_mut().filter(|t| **t < 0.0).for_each(|t| *t = f64::from(IGNORE));
        let valid = targets.iter().filter(|t| **t != f64::from(IGNORE));
        let mass: f64 = valid.clone().map(|&t| weights[index(t)]).sum();
        let count = valid.count() as f64;
        let target = crate::target::Target::profile("webgpu-default").unwrap();
        let cases =
            [("smooth", 0.25, false, count), ("weighted", 0.0, true, mass), ("weighted_smooth", 0.25, true, mass)];
        for (name, label_smoothing, weighted, divisor) in cases {
            let op = CrossEntropy { label_smoothing, weighted, ..CrossEntropy::default() };
            let mut types = vec![TensorType::f32(&[6, 5]), TensorType::u32(&[6]), TensorType::f32(&[1])];
            let scale = [1.0 / divisor];
            let mut inputs: Vec<&[f64]> = vec![&logits, &targets, &scale];
            if weighted {
                types.push(TensorType::f32(&[5]));
                inputs.push(&weights);
            }
            let outputs = op.outputs(&types).unwrap();
            let at = Lowering { inputs: &types, outputs: &outputs, wanted: &[true; 3], target: &target };
            let made = op.reference(&inputs, &at);
            let wanted = [vec![losses[name]["loss"].as_f64().unwrap()], list(&losses[name]["gradient"])].concat();
            for (found, wanted) in made[0].iter().chain(&made[1]).zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{name}: {found}, PyTorch's {wanted}");
            }
        }
    }
}
