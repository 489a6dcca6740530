//! `y = x * keep / (1 - p)`, where `keep` is 1 or 0 at random and is never stored.
//!
//! Whether an element is kept is a function of the key, the step, the element's row in the whole
//! batch, its timestep and its feature, and of nothing else. The gradient works the mask out again,
//! and a batch split into micro-steps, or a window into segments, has the mask it has in one piece.
//!
//! ```text
//! words      = philox(counter: [(start + t) * ceil(F / 4) + f / 4, first row + b, step, step >> 32], key)
//! y[t, b, f] = x[t, b, f] * (words[f % 4] >= p * 2^32 ? 1 / (1 - p) : 0)
//! ```

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::index;
use super::{Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::random::{Purpose, name_index, philox};
use crate::shader;
use crate::tensor::TensorType;

/// Zeroes a share `p` of `x` and scales what is kept by `1 / (1 - p)` (Srivastava et al. 2014), as
/// `torch.nn.Dropout` does in training.
///
/// From `(x (B, F) or (T, B, F), at u32 (4))` to `y` as `x`, where `at` holds the step's number, lower
/// half first, the micro-step's first row in the whole batch, and 0. A NaN or an infinity of `x`
/// that is dropped becomes NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// The share that is zeroed: at least 0 and less than 1.
    pub p: f32,
    /// Tells one layer's masks from another's, and one seed's from another's.
    pub key: [u32; 2],
    /// Timesteps of the window before the first of `x`.
    pub start: u32,
}

impl Dropout {
    /// The dropout of the layer of that name in a run of that seed.
    pub fn of_layer(p: f32, seed: u64, name: &str) -> Self {
        let halves = |x: u64| [x, x >> 32].map(|half| clamp(half & u64::from(u32::MAX)));
        let [low, high] = halves(name_index(name));
        let [key_0, key_1, ..] = philox([low, high, Purpose::Dropout as u32, 0], halves(seed));
        Self { p, key: [key_0, key_1], start: 0 }
    }

    /// The least word that keeps its element.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to 2^32")]
    fn least_kept(&self) -> u32 {
        clamp((f64::from(self.p) * 2f64.powi(32)).ceil() as u64)
    }

    /// What a kept element is multiplied by.
    fn scale(&self) -> f64 {
        1.0 / (1.0 - f64::from(self.p))
    }

    /// T, B and F.
    fn extents(x: &TensorType) -> Option<[u32; 3]> {
        match x.shape[..] {
            [batch, cols] => Some([1, batch, cols]),
            [time, batch, cols] => Some([time, batch, cols]),
            _ => None,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    batch: u32,
    cols: u32,
    below: u32,
    scale: f32,
    key: [u32; 2],
    start: u32,
}

impl Rule for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let x = &inputs[0];
        ShapeError::unless((0.0..1.0).contains(&self.p), self.name(), || {
            format!("p is {} and must be at least 0 and less than 1", self.p)
        })?;
        ShapeError::unless_floats(self.name(), "x", x)?;
        let known = Self::extents(x).is_some();
        ShapeError::unless(known, self.name(), || format!("x {x} is neither (B, F) nor (T, B, F)"))?;
        ShapeError::unless_is(self.name(), "at", &inputs[1], &TensorType::u32(&[4]))?;
        Ok(vec![x.clone()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![slope.outputs[0].map(|dy| out.emit_one(self.clone(), &[dy, at.inputs[1]])), None]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let [time, batch, cols] = Self::extents(&at.inputs[0]).expect("`outputs` accepted this input");
        let len = u64::from(time).saturating_mul(batch.into()).saturating_mul(cols.div_ceil(4).into());
        let scale = narrowed(self.scale());
        let (below, key, start) = (self.least_kept(), self.key, self.start);
        let params = Params { len: clamp(len), batch, cols, below, scale, key, start };
        vec![Dispatch {
            shader: shader!("dropout")
                .with(&[("H", at.storage(Operand::Output(0))), ("V", Lowering::width(cols.into()))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.read(1), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [_, batch, cols] = Self::extents(&at.inputs[0]).expect("`outputs` accepted this input");
        let [low, high, first_row] = [0, 1, 2].map(|i| clamp(index(inputs[1][i]) as u64));
        let least = self.least_kept();
        let y = (0u32..).zip(inputs[0]).map(|(i, x)| {
            let (row, f) = (i / cols, i % cols);
            let (t, b) = (row / batch, row % batch);
            let place = t.wrapping_add(self.start).wrapping_mul(cols.div_ceil(4)).wrapping_add(f / 4);
            let words = philox([place, first_row.wrapping_add(b), low, high], self.key);
            x * if words[f as usize % 4] >= least { self.scale() } else { 0.0 }
        });
        vec![y.collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0)]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |p: f32, shape: &[u32], at: [u32; 4]| {
            let op = Dropout { p, key: [0x1234_5678, 0x9ABC_DEF0], start: 5 };
            Specimen::new(op, &[shape, &[4]]).ids(1, &at).differentiable(&[0])
        };
        // All bits set, so that every half product carries.
        let far = [u32::MAX, u32::MAX, u32::MAX, 0];
        let full = Dropout { p: 0.25, key: [u32::MAX; 2], start: u32::MAX };
        vec![
            of(0.5, &[1, 1], [0, 0, 0, 0]),
            of(0.0, &[3, 5], [1, 0, 0, 0]),
            of(0.1, &[7, 13], [3, 1, 64, 0]),
            of(0.9, &[5, 3, 33], [1 << 20, 0, 7, 0]),
            Specimen::new(full, &[&[2, 3, 257], &[4]]).ids(1, &far),
        ]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest `f32`")]
fn narrowed(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    /// The mask, as numbers kept of a tensor of ones, of rows `first_row..first_row + rows`.
    fn ones(op: &Dropout, [t, b, f]: [u32; 3], step: u32, first_row: u32) -> Vec<f64> {
        let inputs = [TensorType::f32(&[t, b, f]), TensorType::u32(&[4])];
        let target = Target::profile("webgpu-default").unwrap();
        let at = Lowering { inputs: &inputs, outputs: &inputs[..1], wanted: &[true], target: &target };
        let x = vec![1.0; (t * b * f) as usize];
        let ids = [step, 0, first_row, 0].map(f64::from);
        op.reference(&[&x, &ids], &at).remove(0)
    }

    #[test]
    fn a_batch_split_in_two_has_the_mask_of_the_whole() {
        let op = Dropout::of_layer(0.3, 1, "dropout");
        let [t, b, f] = [3usize, 8, 21];
        let whole = ones(&op, [3, 8, 21], 5, 0);
        let halves = [ones(&op, [3, 4, 21], 5, 0), ones(&op, [3, 4, 21], 5, 4)];
        for t in 0..t {
            let (rows, half) = (&whole[t * b * f..][..b * f], b * f / 2);
            assert_eq!(rows[..half], halves[0][t * half..][..half]);
            assert_eq!(rows[half..], halves[1][t * half..][..half]);
        }
    }

    #[test]
    fn a_window_split_in_two_has_the_mask_of_the_whole() {
        let op = Dropout::of_layer(0.3, 1, "dropout");
        let whole = ones(&op, [5, 8, 21], 5, 0);
        let later = Dropout { start: 3, ..op.clone() };
        assert_eq!([ones(&op, [3, 8, 21], 5, 0), ones(&later, [2, 8, 21], 5, 0)].concat(), whole);
    }

    #[test]
    fn the_share_kept_is_one_less_p() {
        for p in [0.1, 0.5, 0.9] {
            let y = ones(&Dropout::of_layer(p, 1, "dropout"), [4, 100, 100], 0, 0);
            let kept = y.iter().filter(|y| **y != 0.0).count() as f64 / 40_000.0;
            // Five standard errors, which are greatest at one half.
            assert!((kept - (1.0 - f64::from(p))).abs() < 0.0125, "{p}: {kept}");
        }
    }

    #[test]
    fn step_time_row_layer_and_seed_each_change_the_mask() {
        let op = Dropout::of_layer(0.5, 1, "dropout");
        let base = ones(&op, [1, 1, 64], 0, 0);
        let two = ones(&op, [2, 1, 64], 0, 0);
        assert_eq!(two[..64], base);
        let others = [
            ones(&op, [1, 1, 64], 1, 0),
            ones(&op, [1, 1, 64], 0, 1),
            two[64..].to_vec(),
            ones(&Dropout::of_layer(0.5, 2, "dropout"), [1, 1, 64], 0, 0),
            ones(&Dropout::of_layer(0.5, 1, "dropout 2"), [1, 1, 64], 0, 0),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn a_word_is_kept_from_p_times_two_to_the_32_on() {
        let least = |p| Dropout { p, key: [0; 2], start: 0 }.least_kept();
        assert_eq!([least(0.0), least(0.5), least(1f32.next_down())], [0, 1 << 31, u32::MAX - 255]);
    }

    #[test]
    fn a_share_of_one_is_refused() {
        let inputs = [TensorType::f32(&[2, 3]), TensorType::u32(&[4])];
        let error = Dropout { p: 1.0, key: [0; 2], start: 0 }.outputs(&inputs).unwrap_err().to_string();
        assert!(error.contains("less than 1"), "{error}");
    }
}
