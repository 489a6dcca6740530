//! `dp[t] = (dy[t] + Wᵀ dp[t+1]) * f'(y[t])`, from the last timestep to the first, over `dy`.

use super::cell::{BEHIND, ELMAN_GRADIENT, FUNCTION, LENGTHS, Step};
use super::whole::Steps;
use super::*;
use crate::ops::binary;
use crate::ops::matmul::kernel::{Epilogue, Extra, Product};
use crate::ops::matmul::{Layout, multiply, product};
use crate::ops::{Function, InPlace, Rule, Site};

/// The gradient of the loss for each pre-activation of an [`Elman`].
///
/// Inputs: `dy` (T, B, H); `y` (T, B, H); `w` (H, H); if `last`, the gradient for the last
/// state (1, B, H); `lengths` u32 (B) if there are, and then there is the former. Outputs: `dp` (T, B, H),
/// over `dy`; the initial state's gradient (1, B, H), with lengths over the last state's, which is carried
/// through the window there.
#[derive(Clone, Debug, PartialEq)]
pub struct ElmanGradient {
    /// The nonlinearity.
    pub function: Function,
    /// Whether a gradient flows back through the last state.
    pub last: bool,
    /// Whether rows end at lengths of their own.
    pub lengths: bool,
    /// Whether time ran from the end to the start.
    pub reverse: bool,
}

impl ElmanGradient {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.outputs[0], 1, self.reverse).expect("`outputs` made a sequence")
    }

    /// The product of one timestep. What is added to `dy[t]` comes in by accumulation, and the slope is
    /// told from `y[t]`.
    fn step(&self, e: Window, depth: u32) -> Product {
        let epilogue = Epilogue { accumulate: true, extra: Extra::Slope, function: self.function };
        Product::new(Layout::Nn, [e.batch, e.hidden, depth], epilogue)
    }

    /// The dispatches for the last timestep, which nothing follows.
    fn last_step(&self, at: &Lowering, e: Window) -> Vec<Dispatch> {
        let range = at.entries(Operand::Output(0), e.last()..e.last() + 1);
        let mut dispatches = Vec::new();
        let mut from = Operand::Input(0);
        if self.last {
            let onto = Binding::update(from, Operand::Output(0), range.clone());
            dispatches.push(binary::add_into(at, onto, at.read(3)));
            from = Operand::Output(0);
        }
        // A product of depth 0 is nothing but its epilogue.
        let y = Binding::read(Operand::Input(1), range.clone());
        let now = Binding::update(from, Operand::Output(0), range);
        dispatches.push(product(at, &self.step(e, 0), [y.clone(), at.read(2)], Some(y), now));
        dispatches
    }

    /// The window in one dispatch, where that is quicker than to make each timestep like `single`.
    fn whole(&self, at: &Lowering, e: Window, single: &Dispatch) -> Option<Dispatch> {
        let carried = if self.lengths { LENGTHS } else { u32::from(self.last) * BEHIND };
        let flags = carried + ((self.function as u32) << FUNCTION);
        let each = Step { batch: e.batch, hidden: e.hidden, depth: e.hidden, stride: e.hidden, flags, t: 0 };
        let [dp, carry] = [0, 1].map(Operand::Output);
        let (w, dy) = (at.read(2), Operand::Input(0));
        // Something has to be bound, even though it is not read.
        let (carried, lengths) = match (self.lengths, self.last) {
            (true, _) => (at.update_all(Operand::Input(3), carry), at.read(4)),
            (false, true) => (at.read(3), w.clone()),
            (false, false) => (w.clone(), w.clone()),
        };
        let bindings = [at.read(1), w, at.update_all(dy, dp), carried, lengths];
        ELMAN_GRADIENT.window(at, Steps::backward(e, each, &(0..e.time)), single, bindings)
    }

    /// All dispatches where rows are held, whose gradient is carried on beside the products.
    fn lower_with_lengths(&self, at: &Lowering, e: Window) -> Vec<Dispatch> {
        let flags = LENGTHS + ((self.function as u32) << FUNCTION);
        let [dp, carry] = [0, 1].map(Operand::Output);
        let one = |t: u32| {
            let (depth, after) = match e.after(t) {
                None => (0, at.read(2)),
                Some(after) => (e.hidden, at.one(dp, after)),
            };
            let step = Step { batch: e.batch, hidden: e.hidden, depth, stride: e.hidden, flags, t };
            let carried = if depth == 0 { Operand::Input(3) } else { carry };
            let bindings = [
                after,
                at.read(2),
                at.one(Operand::Input(1), t),
                at.update_one(Operand::Input(0), dp, t),
                at.update_all(carried, carry),
                at.read(4),
            ];
            ELMAN_GRADIENT.dispatch(at, step, bindings)
        };
        let whole = self.whole(at, e, &one(e.first()));
        let mut dispatches = whole.map_or_else(|| e.times().rev().map(one).collect(), |whole| vec![whole]);
        if at.wanted[1] {
            let onto = Epilogue { accumulate: true, ..Epilogue::default() };
            let dh0 = Product::new(Layout::Nn, [e.batch, e.hidden, e.hidden], onto);
            let first = at.one(dp, e.first());
            let onto = at.update_all(carry, carry);
            dispatches.push(product(at, &dh0, [first, at.read(2)], None, onto));
        }
        dispatches
    }
}

impl Rule for ElmanGradient {
    fn name(&self) -> &'static str {
        "elman gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the gradient that is handed to it",
            1 => "the slope is told from the result",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = window(op, &inputs[0], 1)?;
        ShapeError::unless_is(op, "dy (T, B, H)", &inputs[0], &e.sequence(1))?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[1], &e.sequence(1))?;
        ShapeError::unless_is(op, "the recurrent weight (H, H)", &inputs[2], &e.weight(1))?;
        if self.last {
            ShapeError::unless_is(op, "the last state's gradient (1, B, H)", &inputs[3], &e.state(1))?;
        }
        if self.lengths {
            ShapeError::unless(self.last, op, || "lengths want the last state's gradient".to_string())?;
            check_lengths(op, &inputs[4], e)?;
        }
        Ok(vec![e.sequence(1), e.state(1)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = self.window(at);
        if self.lengths {
            return self.lower_with_lengths(at, e);
        }
        let step = self.step(e, e.hidden);
        let one = |t: u32| {
            // Of the window's last timestep, which is not made so, it tells no more than what such a dispatch is like.
            let after = at.one(Operand::Output(0), e.after(t).unwrap_or(t));
            let y = at.one(Operand::Input(1), t);
            let now = at.update_one(Operand::Input(0), Operand::Output(0), t);
            product(at, &step, [after, at.read(2)], Some(y), now)
        };
        let stepwise = || self.last_step(at, e).into_iter().chain(e.times().rev().skip(1).map(one)).collect();
        let mut dispatches = self.whole(at, e, &one(e.first())).map_or_else(stepwise, |whole| vec![whole]);
        if at.wanted[1] {
            let first = at.one(Operand::Output(0), e.first());
            let dh0 = Product::new(Layout::Nn, [e.batch, e.hidden, e.hidden], Epilogue::default());
            dispatches.push(product(at, &dh0, [first, at.read(2)], None, at.write(1)));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let lengths = self.lengths.then(|| inputs[4]);
        let mut dp = inputs[0].to_vec();
        let mut dh = if self.last { inputs[3].to_vec() } else { vec![0.0; batch * hidden] };
        for t in e.times().rev() {
            let y = &inputs[1][e.elements(t, 1)];
            let now = &mut dp[e.elements(t, 1)];
            // What a held row hands on without a product.
            let mut through = vec![0.0; batch * hidden];
            for (i, p) in now.iter_mut().enumerate() {
                let d = *p + dh[i];
                let held = is_held(lengths, t, i / hidden);
                (*p, through[i]) = if held { (0.0, d) } else { (d * self.function.slope(y[i]), 0.0) };
            }
            dh = multiply(Layout::Nn, [batch, hidden, hidden], now, inputs[2]);
            dh.iter_mut().zip(through).for_each(|(dh, through)| *dh += through);
        }
        vec![dp, dh]
    }

    fn in_place(&self) -> Vec<InPlace> {
        let carry = self.lengths.then(|| InPlace::must(1, 3));
        [InPlace::must(0, 0)].into_iter().chain(carry).collect()
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        products(&inputs[0], &inputs[2])
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        // The gradient of the first state is a sum, and stays in full.
        vec![vec![Operand::Input(0), Operand::Input(1), Operand::Output(0)], vec![Operand::Input(2)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |function, last, lengths: Option<&[u32]>, reverse, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 5] = [&[t, b, h], &[t, b, h], &[h, h], &[1, b, h], &[b]];
            let op = ElmanGradient { function, last, lengths: lengths.is_some(), reverse };
            let specimen = Specimen::new(op, &shapes[..3 + usize::from(last) + usize::from(lengths.is_some())]);
            lengths.map_or(specimen.clone(), |lengths| specimen.ids(4, lengths))
        };
        let (tanh, relu) = (Function::Tanh, Function::Relu);
        vec![
            of(tanh, false, None, false, [1, 1, 1]),
            of(relu, true, None, false, [3, 2, 5]),
            of(tanh, true, None, true, [5, 3, 7]),
            of(tanh, false, None, false, [4, 17, 33]),
            of(tanh, true, Some(&[2, 0, 4]), false, [4, 3, 7]),
            of(relu, true, Some(&[3, 4, 1, 0, 2]), true, [4, 5, 4]),
            of(tanh, true, Some(&[1; 17]), false, [2, 17, 33]),
        ]
    }
}
