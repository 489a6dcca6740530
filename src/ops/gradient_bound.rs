//! Whether gradients will be finite, told from a bound of their squares before they are made.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::squares::{self, PARTIALS};
use super::{Binding, Data, Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// From values `v_1, .., v_N` of any shapes, the step's `loss f32[1]` and the `scaler f32[4]` of [`LossScaler`], to `norm
/// f32[2]` and a scratch `partials f32[N * 64]`:
///
/// ```text
/// bound   = sum over terms of times * |v_a|^2 * |v_b|^2        or times * |v_a|^2
/// norm[0] = 0
/// norm[1] = 1 / scale      -1 where the bound is past 1e38, or it or the loss is not finite
/// ```
///
/// The values are what gradients of the loss times the scale are bounded by, [`Rule::bound`]. It is what
/// [`GradientNorm`] of no gradient would be whose factor is of gradients to come: others come after it.
///
/// The bound is past 1e38 where no gradient is: where values are long whose products would have cancelled, or are squared
/// here only.
///
/// [`GradientNorm`]: super::GradientNorm
/// [`LossScaler`]: super::LossScaler
#[derive(Clone, Debug, PartialEq)]
pub struct GradientBound {
    /// What is added up; at least one.
    pub terms: Vec<Term>,
}

/// A summand of a bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What the squares are multiplied by.
    pub times: f32,
    /// Which values' squares are multiplied by one another, one or two.
    pub factors: Vec<usize>,
}

/// What the bound may be. The sums of up to 2^23 rows are as far from exact as to be half as long again at worst, and so is
/// the sum of their squares: below the greatest number of `f32` by more than that.
const MOST: f32 = 1e38;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    a: u32,
    b: u32,
    two: u32,
    first: u32,
    last: u32,
    times: f32,
    most: f32,
}

impl GradientBound {
    /// How many of the inputs are measured.
    fn values(inputs: usize) -> usize {
        inputs.saturating_sub(2)
    }
}

impl Rule for GradientBound {
    fn name(&self) -> &'static str {
        "gradient bound"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let values = Self::values(inputs.len());
        let known = |term: &Term| matches!(term.factors.len(), 1 | 2) && term.factors.iter().all(|f| *f < values);
        ShapeError::unless(!self.terms.is_empty() && self.terms.iter().all(known), self.name(), || {
            format!("its terms are of one or two of {values} values, and at least one")
        })?;
        for (i, value) in inputs[..values].iter().enumerate() {
            ShapeError::unless_floats(self.name(), &format!("v_{}", i + 1), value)?;
        }
        for (i, (name, len)) in [("loss", 1), ("scaler", 4)].into_iter().enumerate() {
            ShapeError::unless_is(self.name(), name, &inputs[values + i], &TensorType::f32(&[len]))?;
        }
        Ok(vec![TensorType::f32(&[2]), TensorType::f32(&[clamp(values as u64 * u64::from(PARTIALS))])])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let values = Self::values(at.inputs.len());
        let squares = (0..values).flat_map(|i| squares::dispatches(at, i));
        let index = |i: usize| clamp(i as u64);
        let terms = self.terms.iter().enumerate().map(|(i, Term { times, factors })| {
            let (first, last) = (i == 0, i + 1 == self.terms.len());
            let params = Params {
                a: index(factors[0]),
                b: index(factors[factors.len() - 1]),
                two: u32::from(factors.len() == 2),
                first: first.into(),
                last: last.into(),
                times: *times,
                most: MOST,
            };
            let norm = Operand::Output(0);
            let bytes = 0..at.outputs[0].bytes();
            let norm = if first { Binding::write(norm, bytes) } else { Binding::update(norm, norm, bytes) };
            Dispatch {
                shader: shader!("gradient_bound"),
                params: bytes_of(&params).to_vec(),
                groups: [1, 1, 1],
                bindings: vec![at.read_again(1), at.read(values), at.read(values + 1), norm],
                tile: None,
            }
        });
        squares.chain(terms).collect()
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let values = &inputs[..Self::values(inputs.len())];
        let partials: Vec<Vec<f64>> = values.iter().map(|v| squares::reference(at, v)).collect();
        let squares: Vec<f64> = partials.iter().map(|of_one| of_one.iter().sum()).collect();
        let of = |term: &Term| term.factors.iter().map(|&f| squares[f]).product::<f64>() * f64::from(term.times);
        let bound: f64 = self.terms.iter().map(of).sum();
        let (loss, factor) = (inputs[values.len()][0], 1.0 / inputs[values.len() + 1][0]);
        let good = bound <= MOST.into() && loss.is_finite() && factor.abs() <= f32::MAX.into();
        vec![vec![0.0, if good { factor } else { -1.0 }], partials.concat()]
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        (0..Self::values(inputs)).map(|i| vec![Operand::Input(i)]).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        vec![0]
    }

    fn specimens() -> Vec<Specimen> {
        let term = |times: f32, factors: &[usize]| Term { times, factors: factors.to_vec() };
        let of = |terms: &[Term], shapes: &[&[u32]], scale: f64| {
            let values = shapes.len();
            let op = GradientBound { terms: terms.to_vec() };
            Specimen::new(op, &[shapes, &[&[1], &[4]]].concat())
                .filled(values, Data::Values(vec![2.0]))
                .filled(values + 1, Data::Values(vec![scale, 0.0, 3.0, 1.0]))
        };
        let product = [term(1.0, &[0, 1]), term(7.0, &[1])];
        let shapes: [&[u32]; 2] = [&[7, 13], &[7, 12]];
        let spoilt = (0..84).map(|at| if at == 29 { f64::INFINITY } else { 1.0 }).collect();
        vec![
            of(&product, &shapes, 64.0),
            of(&[term(3.0, &[0])], &[&[1]], 1.0),
            of(&[term(1.0, &[0, 0]), term(0.5, &[1, 2]), term(2.0, &[2])], &[&[257], &[3, 1031], &[65, 1024]], 8.0),
            of(&product, &shapes, 64.0).filled(1, Data::Values(spoilt)),
            // Each is in range, and the product is not.
            of(&product, &shapes, 64.0).filled(0, Data::Values(vec![1e9; 91])).filled(1, Data::Values(vec![1e11; 84])),
            of(&product, &shapes, 64.0).filled(0, Data::Values(vec![1e7; 91])).filled(1, Data::Values(vec![1e8; 84])),
            of(&product, &shapes, 64.0).filled(2, Data::Values(vec![f64::INFINITY])),
        ]
    }
}
