//! A GRU backward through a window: `dgates[t]` over `gates[t]` and `dq[t]` over `q[t]`.
//!
//! ```text
//! dh = dy[t] + W_rzᵀ dr|dz[t+1] + W_nᵀ dq[t+1] + z dh of t+1
//! dn = dh (1-z) (1-n²)        dq = dn r
//! dr|dz = dn q r (1-r) | dh (h[t-1] - n) z (1-z)
//! ```
//!
//! `dn` is the gradient of `xp`'s share and `dq` that of the state's, which the reset gate stands
//! between: so the weight's and the bias's gradients take two gates from `dgates` and one from `dq`.

use super::cell::{Chosen, GRU_GRADIENT, Step};
use super::whole::Steps;
use super::*;
use crate::ops::matmul::kernel::{Epilogue, Product};
use crate::ops::matmul::{Layout, multiply, product};
use crate::ops::{Data, InPlace, Rule, Site};

/// The gradient of the loss for each pre-activation of a [`Gru`], and for its initial state.
///
/// Inputs: `dy` (T, B, H); `gates` (T, B, 3H), `q` (T, B, H) and `y` (T, B, H) as the GRU left them;
/// `state0` (1, B, H); `w` (3H, H); the last state's gradient (1, B, H). Outputs: `dgates` (T, B, 3H),
/// over `gates`, which is also the gradient of `xp`; `dq` (T, B, H), over `q`; the initial state's
/// gradient (1, B, H), over the last state's, which is carried through the window there.
#[derive(Clone, Debug, PartialEq)]
pub struct GruGradient {
    /// Whether time ran from the end to the start.
    pub reverse: bool,
}

impl GruGradient {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.inputs[1], 3, self.reverse).expect("`outputs` accepted a sequence")
    }
}

impl Rule for GruGradient {
    fn name(&self) -> &'static str {
        "gru gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the gradient that is handed to it",
            1 => "the gates, whose slopes are told from their results",
            2 => "U h + b of the new gate, which the reset gate multiplies",
            3 => "h[t-1], which the update gate lets through",
            4 => "the state that the window began with",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = window(op, &inputs[1], 3)?;
        ShapeError::unless_is(op, "dy (T, B, H)", &inputs[0], &e.sequence(1))?;
        ShapeError::unless_is(op, "the gates (T, B, 3H)", &inputs[1], &e.sequence(3))?;
        ShapeError::unless_is(op, "q (T, B, H)", &inputs[2], &e.sequence(1))?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[3], &e.sequence(1))?;
        ShapeError::unless_is(op, "the initial state (1, B, H)", &inputs[4], &e.state(1))?;
        ShapeError::unless_is(op, "the recurrent weight (3H, H)", &inputs[5], &e.weight(3))?;
        ShapeError::unless_is(op, "the last state's gradient (1, B, H)", &inputs[6], &e.state(1))?;
        Ok(vec![e.sequence(3), e.sequence(1), e.state(1)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        self.lower_in_pieces(at, self.window(at).time)
    }

    fn lower_in_pieces(&self, at: &Lowering, steps: u32) -> Vec<Dispatch> {
        let e = self.window(at);
        let step = Step { batch: e.batch, hidden: e.hidden, depth: 0, stride: e.width(3), flags: 0, t: 0 };
        let [dgates, dq, carry] = [0, 1, 2].map(Operand::Output);
        let w = at.read(5);
        let chosen = Chosen::of(steps);
        let one = |t: u32| {
            // A product of depth 0 is nothing but its cell.
            let (depth, after, dq_after) = match e.after(t) {
                None => (0, w.clone(), w.clone()),
                Some(after) => (e.width(3), at.one(dgates, after), at.one(dq, after)),
            };
            let carried = if depth == 0 { Operand::Input(6) } else { carry };
            let bindings = [
                after,
                w.clone(),
                dq_after,
                at.one(Operand::Input(0), t),
                at.update_one(Operand::Input(1), dgates, t),
                at.update_one(Operand::Input(2), dq, t),
                e.state_before(at, t, [4, 0], Operand::Input(3)),
                at.update_all(carried, carry),
            ];
            GRU_GRADIENT.dispatch_of(at, Step { depth, t, ..step }, bindings, &chosen)
        };
        let whole = |times: &Range<u32>| {
            let begins = e.made_before(times) == 0;
            // There are not as many bindings as what another dispatch made and what came before the window would take.
            let (apart, times) = if begins { (None, times.clone()) } else { e.without_first(times) };
            let after = |of| e.after_all(&times).map(|after| at.one(of, after));
            let carried = if begins { Operand::Input(6) } else { carry };
            let bindings = [
                after(dgates).unwrap_or_else(|| at.read(4)),
                w.clone(),
                at.some(Operand::Input(0), &times),
                at.update_some(Operand::Input(1), dgates, &times),
                at.update_some(Operand::Input(2), dq, &times),
                at.read(3),
                at.update_all(carried, carry),
                after(dq).unwrap_or_else(|| w.clone()),
            ];
            let steps = Steps::backward(e, Step { depth: e.width(3), ..step }, &times);
            let window = GRU_GRADIENT.window(at, steps, &one(e.first()), bindings)?;
            Some([window].into_iter().chain(apart.map(one)).collect())
        };
        let mut dispatches = e.backward(steps, whole, one);
        if at.wanted[2] {
            let onto = Epilogue { accumulate: true, ..Epilogue::default() };
            let sum = |depth, stride| Product::new(Layout::Nn, [e.batch, e.hidden, depth], onto).with_stride(stride);
            let of_w = |gates: Range<u32>| {
                let rows = gates.start * e.hidden..gates.end * e.hidden;
                Binding::read(Operand::Input(5), at.entries(Operand::Input(5), rows))
            };
            let dh0 = at.update_all(carry, carry);
            let of_rz = [at.one(dgates, e.first()), of_w(0..2)];
            let of_q = [at.one(dq, e.first()), of_w(2..3)];
            dispatches.push(product(at, &sum(e.width(2), e.width(3)), of_rz, None, dh0.clone()));
            dispatches.push(product(at, &sum(e.hidden, e.hidden), of_q, None, dh0));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let (mut dgates, mut dq) = (inputs[1].to_vec(), inputs[2].to_vec());
        let mut dh = inputs[6].to_vec();
        for t in e.times().rev() {
            let dy = &inputs[0][e.elements(t, 1)];
            let before = e.before(t).map_or(inputs[4], |before| &inputs[3][e.elements(before, 1)]);
            let now = &mut dgates[e.elements(t, 3)];
            let q = &mut dq[e.elements(t, 1)];
            let mut of_products = now.to_vec();
            for (row, unit) in (0..batch).flat_map(|row| (0..hidden).map(move |unit| (row, unit))) {
                let [at_r, at_z, at_n] = [0, 1, 2].map(|gate| row * 3 * hidden + gate * hidden + unit);
                let (r, z, n) = (now[at_r], now[at_z], now[at_n]);
                let of = row * hidden + unit;
                let d = dh[of] + dy[of];
                let dn = d * (1.0 - z) * (1.0 - n * n);
                now[at_r] = dn * q[of] * r * (1.0 - r);
                now[at_z] = d * (before[of] - n) * z * (1.0 - z);
                now[at_n] = dn;
                q[of] = dn * r;
                dh[of] = d * z;
                for (i, slope) in [(at_r, now[at_r]), (at_z, now[at_z]), (at_n, q[of])] {
                    of_products[i] = slope;
                }
            }
            let sums = multiply(Layout::Nn, [batch, hidden, 3 * hidden], &of_products, inputs[5]);
            dh.iter_mut().zip(sums).for_each(|(dh, sum)| *dh += sum);
        }
        vec![dgates, dq, dh]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 1), InPlace::must(1, 2), InPlace::must(2, 6)]
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        products(&inputs[0], &inputs[5])
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        // What is carried from step to step is a sum, and stays in full.
        let kept = [0, 1, 2, 3, 4].map(Operand::Input).into_iter().chain([0, 1].map(Operand::Output));
        vec![kept.collect(), vec![Operand::Input(5)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |reverse, [t, b, h]: [u32; 3]| {
            let (y, gates, state, w) = ([t, b, h], [t, b, 3 * h], [1, b, h], [3 * h, h]);
            let shapes: [&[u32]; 7] = [&y, &gates, &y, &y, &state, &w, &state];
            Specimen::new(GruGradient { reverse }, &shapes).filled(1, Data::Uniform(0.0, 1.0))
        };
        vec![
            of(false, [1, 1, 1]),
            of(true, [3, 2, 5]),
            of(true, [4, 5, 4]),
            of(false, [2, 33, 17]),
            of(true, [2, 17, 36]),
        ]
    }
}
