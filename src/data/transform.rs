//! Changes to examples as they are loaded. What is random in one is a function of (seed, epoch,
//! example, which transform) and of nothing else.

use std::fmt;

use crate::random::Stream;

/// A change to one field of one example.
pub trait Transform: fmt::Debug + Send + Sync {
    /// Changes `values`, of `shape`, outermost first, in place; `random` is this example's own.
    fn apply(&self, values: &mut [f32], shape: &[usize], random: &mut Stream);
}

/// `x[i] += std * n`, n normal: each element on its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation of what is added.
    pub std: f32,
}

impl Transform for Noise {
    fn apply(&self, values: &mut [f32], _: &[usize], random: &mut Stream) {
        values.iter_mut().for_each(|x| *x += self.std * random.normal());
    }
}

/// Mirrors images (.., rows, columns) left to right, each with the probability `p`, as
/// torchvision's `RandomHorizontalFlip` does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flip {
    /// How often.
    pub p: f64,
}

impl Transform for Flip {
    fn apply(&self, values: &mut [f32], shape: &[usize], random: &mut Stream) {
        let columns = shape.last().copied().unwrap_or(1);
        if random.next_f64() < self.p {
            values.chunks_exact_mut(columns).for_each(<[f32]>::reverse);
        }
    }
}

/// Moves images (.., rows, columns) by up to `most` pixels each way, zeros coming in, as padding
/// and torchvision's `RandomCrop` do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Most pixels, up, down, left and right.
    pub most: u32,
}

impl Transform for Shift {
    fn apply(&self, values: &mut [f32], shape: &[usize], random: &mut Stream) {
        let &[.., rows, columns] = shape else { return };
        let mut by = || i64::try_from(random.below(2 * u64::from(self.most) + 1)).unwrap_or(0) - i64::from(self.most);
        let (down, right) = (by(), by());
        let from = |i: usize, by: i64, len: usize| {
            let i = usize::try_from(i as i64 - by).ok();
            i.filter(|&i| i < len)
        };
        for image in values.chunks_exact_mut(rows * columns) {
            let old = image.to_vec();
            for (i, x) in image.iter_mut().enumerate() {
                let place = from(i / columns, down, rows).zip(from(i % columns, right, columns));
                *x = place.map_or(0.0, |(row, column)| old[row * columns + column]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn stream(index: u64) -> Stream {
        Stream::new(1, Purpose::Data, index)
    }

    #[test]
    fn a_flip_mirrors_rows_and_twice_it_is_undone() {
        let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        Flip { p: 1.0 }.apply(&mut x, &[2, 3], &mut stream(0));
        assert_eq!(x, [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        Flip { p: 0.0 }.apply(&mut x, &[2, 3], &mut stream(0));
        assert_eq!(x[0], 3.0);
    }

    #[test]
    fn a_shift_moves_the_one_pixel_and_reaches_every_place() {
        let mut places = [0; 9];
        for index in 0..900 {
            let mut x = [0.0; 9];
            x[4] = 1.0;
            Shift { most: 1 }.apply(&mut x, &[3, 3], &mut stream(index));
            assert_eq!(x.iter().sum::<f32>(), 1.0);
            places[x.iter().position(|&x| x == 1.0).unwrap()] += 1;
        }
        assert!(places.iter().all(|&n: &i32| (n - 100).abs() < 50), "five standard deviations of 9.4: {places:?}");
        let mut x = [1.0; 4];
        Shift { most: 0 }.apply(&mut x, &[2, 2], &mut stream(0));
        assert_eq!(x, [1.0; 4]);
        // Far beyond the edge: nothing is left, and nothing overflows.
        Shift { most: u32::MAX }.apply(&mut x, &[2, 2], &mut stream(0));
        assert_eq!(x, [0.0; 4]);
    }

    #[test]
    fn noise_has_the_deviation_that_was_asked_for() {
        let mut x = vec![0.0; 10_000];
        Noise { std: 3.0 }.apply(&mut x, &[10_000], &mut stream(0));
        let variance = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 10_000.0;
        assert!((variance - 9.0).abs() < 0.64, "five standard errors: {variance}");
    }
}
