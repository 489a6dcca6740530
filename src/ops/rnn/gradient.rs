//! `dp[t] = (dy[t] + Wᵀ dp[t+1]) * f'(y[t])`, from the last timestep to the first, over `dy`.

use super::*;
use crate::ops::binary;

/// The gradient of the loss for each pre-activation of an [`Rnn`].
///
/// Inputs: `dy` (T, B, H); `y` (T, B, H); `w` (H, H); and, if `last`, the gradient for the last
/// state (B, H). Outputs: `dp` (T, B, H), over `dy`; and `dh0` (B, H), the initial state's.
#[derive(Clone, Debug, PartialEq)]
pub struct RnnGradient {
    /// The nonlinearity.
    pub function: Function,
    /// Whether a gradient flows back through the last state.
    pub last: bool,
}

impl RnnGradient {
    /// What is added to `dy[t]` comes in by accumulation, and the slope is told from `y[t]`.
    fn epilogue(&self) -> Epilogue {
        Epilogue { accumulate: true, extra: Extra::Slope, function: self.function }
    }

    /// The dispatches for the last timestep, which nothing follows.
    fn last_step(&self, at: &Lowering, e: Extents) -> Vec<Dispatch> {
        let range = e.bytes(e.time - 1..e.time);
        let mut dispatches = Vec::new();
        let mut from = Operand::Input(0);
        if self.last {
            let onto = Binding::update(from, Operand::Output(0), range.clone());
            dispatches.push(binary::add_into(at, onto, at.read(3)));
            from = Operand::Output(0);
        }
        // A product of depth 0 is nothing but its epilogue.
        let slope_only = e.step(Layout::Nn, 0, self.epilogue());
        let y = Binding::read(Operand::Input(1), range.clone());
        let now = Binding::update(from, Operand::Output(0), range);
        dispatches.push(product(at, &slope_only, [at.read(2), at.read(2)], Some(y), now));
        dispatches
    }
}

impl Rule for RnnGradient {
    fn name(&self) -> &'static str {
        "rnn gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = "rnn gradient";
        let e = Extents::of(&inputs[0])
            .ok_or_else(|| ShapeError { op, reason: format!("{} is no sequence (T, B, H)", inputs[0]) })?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[1], &e.sequence())?;
        ShapeError::unless_is(op, "the recurrent weight (H, H)", &inputs[2], &e.weight())?;
        if self.last {
            ShapeError::unless_is(op, "the last state's gradient (B, H)", &inputs[3], &e.state())?;
        }
        Ok(vec![e.sequence(), e.state()])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Extents::of(&at.outputs[0]).expect("`outputs` made a sequence");
        let step = e.step(Layout::Nn, e.hidden, self.epilogue());
        let mut dispatches = self.last_step(at, e);
        dispatches.extend((0..e.time - 1).rev().map(|t| {
            let after = Binding::read(Operand::Output(0), e.bytes(t + 1..t + 2));
            let y = Binding::read(Operand::Input(1), e.bytes(t..t + 1));
            let now = Binding::update(Operand::Input(0), Operand::Output(0), e.bytes(t..t + 1));
            product(at, &step, [after, at.read(2)], Some(y), now)
        }));
        if at.wanted[1] {
            let first = Binding::read(Operand::Output(0), e.bytes(0..1));
            let dh0 = e.step(Layout::Nn, e.hidden, Epilogue::default());
            dispatches.push(product(at, &dh0, [first, at.read(2)], None, at.write(1)));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Extents::of(&at.outputs[0]).expect("`outputs` made a sequence");
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let mut dp = inputs[0].to_vec();
        let mut dh = if self.last { inputs[3].to_vec() } else { vec![0.0; batch * hidden] };
        for t in (0..e.time as usize).rev() {
            let y = &inputs[1][e.elements(t)];
            let now = &mut dp[e.elements(t)];
            for (i, p) in now.iter_mut().enumerate() {
                *p = (*p + dh[i]) * self.function.slope(y[i]);
            }
            dh = multiply(Layout::Nn, [batch, hidden, hidden], now, inputs[2]);
        }
        vec![dp, dh]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 0)]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes = [[1, 1, 1], [3, 2, 5], [5, 3, 7], [4, 17, 33]];
        let specimen = |function, last, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 4] = [&[t, b, h], &[t, b, h], &[h, h], &[b, h]];
            Specimen::new(RnnGradient { function, last }, &shapes[..3 + usize::from(last)])
        };
        let all =
            sizes.into_iter().flat_map(|s| [specimen(Function::Tanh, false, s), specimen(Function::Relu, true, s)]);
        all.collect()
    }
}
