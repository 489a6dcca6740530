//! `A = Q R` with `r[k][k] > 0`: an orthogonal Q, every one as likely as any other.

use crate::random::Stream;

/// A matrix (rows, the rest) with orthogonal columns, or rows where they are fewer, `gain` long.
///
/// Q of a matrix of normal numbers is evenly spread over all rotations if signs are chosen such that
/// the diagonal of R is positive (Mezzadri 2007), which Gram and Schmidt's method does of itself.
pub(super) fn draw(stream: &mut Stream, gain: f32, shape: &[u32]) -> Vec<f32> {
    let extent = |dims: &[u32]| dims.iter().map(|&d| d as usize).product::<usize>();
    let rows = shape.first().map_or(1, |&d| d as usize);
    let cols = extent(shape.get(1..).unwrap_or_default());
    let (count, len) = (rows.min(cols), rows.max(cols));
    let drawn: Vec<Vec<f64>> = (0..count).map(|_| (0..len).map(|_| f64::from(stream.normal())).collect()).collect();
    let q = orthonormal(drawn);
    let at = |r: usize, c: usize| if rows < cols { q[r][c] } else { q[c][r] };
    #[allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]
    let one = |i: usize| (f64::from(gain) * at(i / cols, i % cols)) as f32;
    (0..rows * cols).map(one).collect()
}

/// Each vector less its share of those before it, at length 1. Twice over, since once leaves as much
/// as rounding makes of vectors that are nearly alike (Giraud et al. 2005).
fn orthonormal(mut vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for k in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(k);
        let own = &mut rest[0];
        for _ in 0..2 {
            for other in &*before {
                let share = dot(own, other);
                own.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
        }
        let length = dot(own, own).sqrt();
        own.iter_mut().for_each(|x| *x /= length);
    }
    vectors
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn the_fewer_of_rows_and_columns_are_orthogonal_and_as_long_as_the_gain() {
        for (rows, cols) in [(1u32, 1u32), (32, 32), (64, 16), (7, 31)] {
            let mut stream = Stream::new(1, Purpose::Initialisation, 9);
            let drawn = draw(&mut stream, 1.5, &[rows, cols]);
            let (r, c) = (rows as usize, cols as usize);
            let vector = |k: usize| -> Vec<f64> {
                let at = |i: usize| f64::from(if r < c { drawn[k * c + i] } else { drawn[i * c + k] });
                (0..r.max(c)).map(at).collect()
            };
            for (a, b) in (0..r.min(c)).flat_map(|a| (0..=a).map(move |b| (a, b))) {
                let wanted = if a == b { 2.25 } else { 0.0 };
                // The numbers are rounded to f32.
                assert!((dot(&vector(a), &vector(b)) - wanted).abs() < 1e-6, "({rows}, {cols}): {a} {b}");
            }
        }
    }

    #[test]
    fn signs_are_those_of_a_positive_diagonal_so_that_no_rotation_is_favoured() {
        // Of (1, 1) matrices half are 1 and half are -1.
        let signs = (0..400).map(|i| draw(&mut Stream::new(1, Purpose::Initialisation, i), 1.0, &[1, 1])[0]);
        // Four standard deviations.
        assert!(signs.sum::<f32>().abs() < 80.0);
    }
}
