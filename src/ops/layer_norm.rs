//! `y = (x - mean) / sqrt(var + eps) * weight + bias`, row by row.
//!
//! Mean and variance are taken of `x - x[0]`, each row less its own first element, so that rows whose
//! mean is large beside their spread lose no digits in `f32`:
//!
//! ```text
//! mean[r]  = mean over c of (x[r, c] - x[r, 0])
//! rstd[r]  = 1 / sqrt(mean over c of (x[r, c] - x[r, 0] - mean[r])^2 + eps)
//! ```

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, start};
use super::{
    ColumnSum, Data, Dispatch, Emit, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// Normalises over the last dimension with the biased variance, as `torch.nn.LayerNorm` (Ba et al. 2016).
///
/// From `x (.., F)`, then `weight (F)` and `bias (F)` as far as there are any, to `y (.., F)` and, for
/// the gradients, `stats f32 (.., 2)`: the mean less the row's first element, and rstd.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// What is added to the variance.
    pub eps: f32,
    /// Whether there is a weight.
    pub weight: bool,
    /// Whether there is a bias.
    pub bias: bool,
}

/// From `(x (.., F), stats f32 (.., 2), dy (.., F))`, then `weight (F)` if there is one, to `dx (.., F)`:
///
/// ```text
/// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)),  g = dy * weight,  xhat = (x - mean) * rstd
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormGradient {
    /// Whether there is a weight.
    pub weight: bool,
}

/// From `(x (.., F), stats f32 (.., 2), dy (.., F))` to `dweight f32 (F)`, the sum of `dy * xhat` over all
/// rows in ascending order; where it accumulates, a last input `old f32 (F)` is added. The bias's
/// gradient is [`ColumnSum`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormWeightGradient {
    /// Whether there is an `old`.
    pub accumulate: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    flags: u32,
    eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    rows: u32,
    cols: u32,
    flags: u32,
}

/// The type of `stats` for this `x`, if it is a tensor of rows.
fn stats_of(op: &'static str, x: &TensorType) -> Result<TensorType, ShapeError> {
    ShapeError::unless_floats(op, "x", x)?;
    let rows = x.shape.split_last().filter(|(cols, _)| **cols > 0).map(|(_, rows)| rows);
    let rows = rows.ok_or_else(|| ShapeError { op, reason: format!("x {x} (.., F) has no F") })?;
    Ok(TensorType::f32(&[rows, &[2]].concat()))
}

/// The type of a weight or bias for this `x`.
fn per_column(x: &TensorType) -> TensorType {
    TensorType::new(&x.shape[x.shape.len() - 1..], x.dtype)
}

/// Rows and columns as the host counts them.
fn extents(x: &TensorType) -> [usize; 2] {
    let (rows, cols) = x.as_matrix();
    [rows, cols].map(|n| clamp(n) as usize)
}

/// Each element's `xhat`, told from `x` and `stats`.
fn normalised(x: &[f64], stats: &[f64], cols: usize) -> Vec<f64> {
    let rows = x.chunks(cols).zip(stats.chunks(2));
    rows.flat_map(|(x, stats)| x.iter().map(|v| (v - x[0] - stats[0]) * stats[1])).collect()
}

impl Rule for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let stats = stats_of(self.name(), &inputs[0])?;
        let named = ["the weight (F)", "the bias (F)"].into_iter().zip([self.weight, self.bias]);
        for ((name, _), input) in named.filter(|(_, there)| *there).zip(&inputs[1..]) {
            ShapeError::unless_is(self.name(), name, input, &per_column(&inputs[0]))?;
        }
        Ok(vec![inputs[0].clone(), stats])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let Some(dy) = slope.outputs[0] else { return vec![None; at.inputs.len()] };
        let from = [at.inputs[0], at.outputs[1], dy];
        let mut answer = vec![None; at.inputs.len()];
        // The sums first: the gradient for x may then lie on dy.
        if self.weight && slope.wanted[1] {
            answer[1] = Some(out.emit_one(LayerNormWeightGradient { accumulate: false }, &from));
        }
        let bias = 1 + usize::from(self.weight);
        if self.bias && slope.wanted[bias] {
            answer[bias] = Some(out.emit_one(ColumnSum { accumulate: false }, &[dy]));
        }
        if slope.wanted[0] {
            let op = LayerNormGradient { weight: self.weight };
            let weight = self.weight.then(|| at.inputs[1]);
            answer[0] = Some(out.emit_one(op, &from.into_iter().chain(weight).collect::<Vec<_>>()));
        }
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.inputs[0].as_matrix();
        let flags = u32::from(self.weight) | u32::from(self.bias) << 1;
        let params = Params { rows: clamp(rows), cols: clamp(cols), flags, eps: self.eps };
        // Something has to be bound, even though it is not read.
        let weight = at.read(usize::from(self.weight));
        let bias = at.read(if self.bias { 1 + usize::from(self.weight) } else { 0 });
        vec![Dispatch {
            shader: shader!("layer_norm").with(&[("H", at.storage(Operand::Input(0)))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(rows, 1),
            bindings: vec![at.read(0), weight, bias, at.write(0), at.write(1)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [_, cols] = extents(&at.inputs[0]);
        let mean = |row: &mut dyn Iterator<Item = f64>| row.sum::<f64>() / cols as f64;
        let stats: Vec<f64> = inputs[0]
            .chunks(cols)
            .flat_map(|x| {
                let offset = mean(&mut x.iter().map(|v| v - x[0]));
                let variance = mean(&mut x.iter().map(|v| (v - x[0] - offset).powi(2)));
                [offset, 1.0 / (variance + f64::from(self.eps)).sqrt()]
            })
            .collect();
        let weight = |c: usize| if self.weight { inputs[1][c] } else { 1.0 };
        let bias = |c: usize| if self.bias { inputs[1 + usize::from(self.weight)][c] } else { 0.0 };
        let xhat = normalised(inputs[0], &stats, cols);
        let y = xhat.iter().enumerate().map(|(i, v)| v * weight(i % cols) + bias(i % cols)).collect();
        vec![y, stats]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0)]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |weight: bool, bias: bool, shape: &[u32]| {
            let cols = &shape[shape.len() - 1..];
            let shapes: Vec<&[u32]> =
                [Some(shape), weight.then_some(cols), bias.then_some(cols)].into_iter().flatten().collect();
            let all: Vec<usize> = (0..shapes.len()).collect();
            Specimen::new(LayerNorm { eps: 1e-5, weight, bias }, &shapes).differentiable(&all)
        };
        vec![
            of(true, true, &[1, 1]),
            of(true, true, &[3, 5, 7]),
            of(true, true, &[5, 65]),
            of(true, false, &[67, 3]),
            of(false, true, &[2, 64]),
            of(false, false, &[7, 131]),
            // A mean a thousand times the spread.
            of(true, true, &[5, 257]).filled(0, Data::Uniform(999.0, 1001.0)),
        ]
    }
}

/// Shapes of x, stats and dy, then of whatever else there is for each column.
fn gradient_shapes(rows: u32, cols: u32, more: bool) -> Vec<Vec<u32>> {
    let all = [vec![rows, cols], vec![rows, 2], vec![rows, cols], vec![cols]];
    all.into_iter().take(3 + usize::from(more)).collect()
}

fn check_gradient(op: &'static str, inputs: &[TensorType]) -> Result<(), ShapeError> {
    ShapeError::unless_is(op, "stats (.., 2)", &inputs[1], &stats_of(op, &inputs[0])?)?;
    ShapeError::unless_is(op, "dy (.., F)", &inputs[2], &inputs[0])
}

impl Rule for LayerNormGradient {
    fn name(&self) -> &'static str {
        "layer norm gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the rows, to normalise them again",
            1 => "mean and deviation of each row",
            _ => "the gradient that is handed to it",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        check_gradient(self.name(), inputs)?;
        if self.weight {
            ShapeError::unless_is(self.name(), "the weight (F)", &inputs[3], &per_column(&inputs[0]))?;
        }
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.inputs[0].as_matrix();
        let params = GradientParams { rows: clamp(rows), cols: clamp(cols), flags: self.weight.into() };
        // Something has to be bound as the weight, even though it is not read.
        let weight = at.read(if self.weight { 3 } else { 1 });
        vec![Dispatch {
            shader: shader!("layer_norm_gradient").with(&[("H", at.storage(Operand::Input(0)))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(rows, 1),
            bindings: vec![at.read(0), at.read(1), at.read(2), weight, at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [_, cols] = extents(&at.inputs[0]);
        let xhat = normalised(inputs[0], inputs[1], cols);
        let mut dx = Vec::new();
        for ((xhat, dy), stats) in xhat.chunks(cols).zip(inputs[2].chunks(cols)).zip(inputs[1].chunks(2)) {
            let g: Vec<f64> = (0..cols).map(|c| if self.weight { dy[c] * inputs[3][c] } else { dy[c] }).collect();
            let mean = g.iter().sum::<f64>() / cols as f64;
            let along = g.iter().zip(xhat).map(|(g, x)| g * x).sum::<f64>() / cols as f64;
            dx.extend(g.iter().zip(xhat).map(|(g, xhat)| stats[1] * (g - mean - xhat * along)));
        }
        vec![dx]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 2), InPlace::may(0, 0)]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Input(2), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |weight, rows, cols| {
            let shapes = gradient_shapes(rows, cols, weight);
            let shapes: Vec<&[u32]> = shapes.iter().map(Vec::as_slice).collect();
            Specimen::new(LayerNormGradient { weight }, &shapes)
        };
        vec![of(true, 1, 1), of(true, 7, 65), of(false, 67, 5), of(true, 3, 131)]
    }
}

impl Rule for LayerNormWeightGradient {
    fn name(&self) -> &'static str {
        "layer norm weight gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the rows, to normalise them again",
            1 => "mean and deviation of each row",
            _ => "the gradient that is handed to it",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        check_gradient(self.name(), inputs)?;
        let dw = TensorType::f32(&per_column(&inputs[0]).shape);
        check_old(self.name(), self.accumulate, inputs, &dw)?;
        Ok(vec![dw])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.inputs[0].as_matrix();
        let params = GradientParams { rows: clamp(rows), cols: clamp(cols), flags: self.accumulate.into() };
        vec![Dispatch {
            shader: shader!("layer_norm_weight_gradient").with(&[("H", at.storage(Operand::Input(0)))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(cols, 64),
            bindings: vec![at.read(0), at.read(1), at.read(2), at.write_or_add(self.accumulate)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [_, cols] = extents(&at.inputs[0]);
        let mut dw = start(self.accumulate, inputs, cols);
        let xhat = normalised(inputs[0], inputs[1], cols);
        for (i, (xhat, dy)) in xhat.iter().zip(inputs[2]).enumerate() {
            dw[i % cols] += xhat * dy;
        }
        vec![dw]
    }

    fn in_place(&self) -> Vec<InPlace> {
        self.accumulate.then(|| InPlace::must(0, 3)).into_iter().collect()
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| LayerNormWeightGradient { accumulate: true }.into())
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Input(2)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate, rows, cols| {
            let shapes = gradient_shapes(rows, cols, accumulate);
            let shapes: Vec<&[u32]> = shapes.iter().map(Vec::as_slice).collect();
            Specimen::new(LayerNormWeightGradient { accumulate }, &shapes)
        };
        vec![of(false, 1, 1), of(false, 7, 65), of(true, 67, 5)]
    }
}
