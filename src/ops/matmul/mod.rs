//! `c = f(a b + bias)`, either factor read transposed where the layout says so.

pub mod kernel;

use super::common::{check_old, start};
use super::{
    ActivationGradient, Binding, Bound, ColumnSum, Dispatch, Emit, Function, InPlace, Lowering, Op, Operand, Rule,
    ShapeError, Site, Slope, Specimen, clamp,
};
use crate::ids::ValueId;
use crate::tensor::TensorType;

use kernel::{Epilogue, Extra, Product};
pub use kernel::{Layout, Tile};

/// Matrix product. Leading dimensions of `a` count as rows, except with [`Layout::Tn`], where
/// those of both factors are summed over.
///
/// | layout | a | b | c |
/// |---|---|---|---|
/// | `Nn` | (.., K) | (K, N) | (.., N) |
/// | `Nt` | (.., K) | (N, K) | (.., N) |
/// | `Tn` | (.., M) | (.., N) | (M, N) |
///
/// Inputs are `a`, `b`, then the bias `(N)` if there is one, then the old `c` if it accumulates.
#[derive(Clone, Debug, PartialEq)]
pub struct Matmul {
    /// How the factors lie.
    pub layout: Layout,
    /// Whether a bias is added to each row.
    pub bias: bool,
    /// What is applied to each element at the end.
    pub function: Function,
    /// Whether the product is added to the last input, in place, before bias and function.
    pub accumulate: bool,
}

impl Matmul {
    /// The plain product.
    pub fn new(layout: Layout) -> Self {
        Self { layout, bias: false, function: Function::Identity, accumulate: false }
    }

    /// `f(x wᵀ + bias)` with `w` of shape (outputs, inputs), as PyTorch keeps it.
    pub fn linear(bias: bool, function: Function) -> Self {
        Self { bias, function, ..Self::new(Layout::Nt) }
    }

    /// Rows, columns and depth of the product, if the factors fit.
    fn extents(&self, a: &TensorType, b: &TensorType) -> Option<[u64; 3]> {
        let ((a0, a1), (b0, b1)) = (a.as_matrix(), b.as_matrix());
        let (m, k, kb, n) = match self.layout {
            Layout::Nn => (a0, a1, b0, b1),
            Layout::Nt => (a0, a1, b1, b0),
            Layout::Tn => (a1, a0, b0, b1),
        };
        let flat = self.layout == Layout::Tn || b.shape.len() == 2;
        (k == kb && flat).then_some([m, n, k])
    }

    fn product(&self, at: &Lowering) -> Product {
        let [m, n, k] = self.extents(&at.inputs[0], &at.inputs[1]).expect("`outputs` accepted these inputs");
        let extra = if self.bias { Extra::Bias } else { Extra::None };
        let epilogue = Epilogue { accumulate: self.accumulate, extra, function: self.function };
        Product::new(self.layout, [m, n, k].map(clamp), epilogue)
    }
}

impl Rule for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn need(&self, input: usize) -> &'static str {
        match (self.layout, input) {
            (_, 2..) => "what is added to the product",
            (Layout::Tn, _) => "a factor of the weight's gradient",
            (Layout::Nn | Layout::Nt, _) => "a factor of the gradient that is passed on",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (a, b) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats("matmul", "a", a)?;
        ShapeError::unless_floats("matmul", "b", b)?;
        let [m, n, _] = self.extents(a, b).ok_or_else(|| {
            let (left, right) = match self.layout {
                Layout::Nn => ("(.., K)", "(K, N)"),
                Layout::Nt => ("(.., K)", "(N, K)"),
                Layout::Tn => ("(.., M)", "(.., N)"),
            };
            ShapeError { op: "matmul", reason: format!("{a} as {left} and {b} as {right} do not fit") }
        })?;
        let mut shape = vec![clamp(m), clamp(n)];
        if self.layout != Layout::Tn {
            shape = a.shape.clone();
            *shape.last_mut().expect("a matrix has columns") = clamp(n);
        }
        let c = TensorType::f32(&shape);
        if self.bias {
            ShapeError::unless_is("matmul", "the bias", &inputs[2], &TensorType::f32(&[clamp(n)]))?;
        }
        check_old("matmul", self.accumulate, inputs, &c)?;
        Ok(vec![c])
    }

    // c = a b:  da = dc bᵀ,  db = aᵀ dc, each in the layout that moves no data.
    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let Some(dc) = slope.outputs[0] else { return vec![None; at.inputs.len()] };
        let dc = match self.function {
            Function::Identity => dc,
            function => out.emit_one(ActivationGradient { function }, &[at.outputs[0], dc]),
        };
        let (a, b) = (at.inputs[0], at.inputs[1]);
        let (da, db) = match self.layout {
            Layout::Nn => ((Layout::Nt, [dc, b]), (Layout::Tn, [a, dc])),
            Layout::Nt => ((Layout::Nn, [dc, b]), (Layout::Tn, [dc, a])),
            Layout::Tn => ((Layout::Nt, [b, dc]), (Layout::Nn, [a, dc])),
        };
        let mut answer = vec![None; at.inputs.len()];
        for (i, (layout, factors)) in [da, db].into_iter().enumerate() {
            if slope.wanted[i] {
                let gradient = out.emit_one(Matmul::new(layout), &factors);
                // The rows of one factor may be arranged in other dimensions than those of the other.
                let shape = out.type_of(at.inputs[i]).shape.clone();
                answer[i] = Some(out.reshape(gradient, &shape));
            }
        }
        if self.bias && slope.wanted[2] {
            answer[2] = Some(out.emit_one(ColumnSum { accumulate: false }, &[dc]));
        }
        if self.accumulate {
            *answer.last_mut().expect("it has the old value") = Some(dc);
        }
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let extra = self.bias.then(|| at.read(2));
        let operands = [at.read(0), at.read(1)];
        vec![product(at, &self.product(at), operands, extra, at.write_or_add(self.accumulate))]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [m, n, k] = self.extents(&at.inputs[0], &at.inputs[1]).expect("`outputs` accepted these inputs");
        let [m, n, k] = [m, n, k].map(|d| usize::try_from(d).expect("a tensor on the host fits in memory"));
        let bias = |col: usize| if self.bias { inputs[2][col] } else { 0.0 };
        let mut c = multiply(self.layout, [m, n, k], inputs[0], inputs[1]);
        let old = start(self.accumulate, inputs, m * n);
        for (i, c) in c.iter_mut().enumerate() {
            *c = self.function.value(old[i] + *c + bias(i % n));
        }
        vec![c]
    }

    fn in_place(&self) -> Vec<InPlace> {
        let old = 2 + usize::from(self.bias);
        if self.accumulate { vec![InPlace::must(0, old)] } else { Vec::new() }
    }

    fn accumulating(&self) -> Option<Op> {
        let plain = !self.accumulate && self.function == Function::Identity;
        plain.then(|| Matmul { accumulate: true, ..self.clone() }.into())
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        let plain = !self.bias && !self.accumulate && self.function == Function::Identity;
        if plain { Bound::product(0, 1) } else { None }
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        let extents = self.extents(&inputs[0], &inputs[1]).unwrap_or_default();
        extents.into_iter().fold(2, u64::saturating_mul)
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        let mut groups = vec![vec![Operand::Input(0)], vec![Operand::Input(1)]];
        // What sums over rows is the gradient of a weight.
        if self.layout != Layout::Tn {
            groups.push(vec![Operand::Output(0)]);
            if self.accumulate {
                groups[2].push(Operand::Input(inputs - 1));
            }
        }
        groups
    }

    fn specimens() -> Vec<Specimen> {
        // 1, the least that is read by fours, primes, a tile, and one past it.
        let sizes =
            [[1, 1, 1], [1, 4, 4], [2, 3, 5], [7, 1, 13], [17, 33, 4], [32, 32, 32], [33, 65, 17], [67, 31, 97]];
        let layouts = [Layout::Nn, Layout::Nt, Layout::Tn];
        let plain = layouts.into_iter().flat_map(|layout| sizes.map(|s| specimen(Matmul::new(layout), s)));
        let fused = [Function::Identity, Function::Tanh, Function::Relu, Function::Sigmoid]
            .map(|function| specimen(Matmul::linear(true, function), [5, 37, 11]));
        let added = layouts.map(|layout| specimen(Matmul { accumulate: true, ..Matmul::new(layout) }, [19, 34, 9]));
        // The same rows, arranged otherwise in each factor.
        let arranged = Specimen::new(Matmul::new(Layout::Tn), &[&[6, 5], &[2, 3, 7]]).differentiable(&[0, 1]);
        plain.chain(fused).chain(added).chain([arranged]).collect()
    }
}

/// `op` at `[m, n, k]`, filled, with every gradient checked.
fn specimen(op: Matmul, [m, n, k]: [u32; 3]) -> Specimen {
    let (a, b) = match op.layout {
        Layout::Nn => ([m, k], [k, n]),
        Layout::Nt => ([m, k], [n, k]),
        Layout::Tn => ([k, m], [k, n]),
    };
    let (bias, old) = ([n], [m, n]);
    let mut shapes: Vec<&[u32]> = vec![&a, &b];
    if op.bias {
        shapes.push(&bias);
    }
    if op.accumulate {
        shapes.push(&old);
    }
    let all: Vec<usize> = (0..shapes.len()).collect();
    Specimen::new(op, &shapes).differentiable(&all)
}

/// `c[m, n] = sum over k of a[m, k] * b[k, n]`, the factors lying as `layout` says.
pub(super) fn multiply(layout: Layout, [m, n, k]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    let a = |row: usize, i: usize| if layout == Layout::Tn { a[i * m + row] } else { a[row * k + i] };
    let b = |i: usize, col: usize| if layout == Layout::Nt { b[col * k + i] } else { b[i * n + col] };
    (0..m * n).map(|c| (0..k).map(|i| a(c / n, i) * b(i, c % n)).sum()).collect()
}

/// The dispatch of one product, whatever ranges its operands are.
pub(super) fn product(
    at: &Lowering,
    product: &Product,
    factors: [Binding; 2],
    extra: Option<Binding>,
    c: Binding,
) -> Dispatch {
    kernel::dispatch(product, at, factors, extra, c)
}
