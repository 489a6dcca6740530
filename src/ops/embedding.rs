//! `y[s] = w[ids[s]]`, and `dw[id] = sum of dy[s] over the places s of id`.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, index, scattered, start};
use super::{
    Bound, Derivation, Dispatch, Emit, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// Rows of `w (V, D)` looked up by `ids u32 (S..)`: `y (S.., D)`. An id not below V gives zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// A row that has no gradient, as in `torch.nn.Embedding`; whoever fills `w` makes it zero.
    pub padding_idx: Option<u32>,
}

/// From `(dy (S.., D), order u32 (N), segments u32 (V + 1))` to `dw f32 (V, D)`, where N is the
/// product of S:
///
/// ```text
/// dw[id] = sum of dy[order[k]] for k from segments[id] to segments[id + 1]
/// ```
///
/// Each is a sum in ascending order of place, so that the result has the same bits every time. Where
/// it accumulates, a last input `dw_old f32 (V, D)` is added.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingGradient {
    /// Whether there is a `dw_old`.
    pub accumulate: bool,
    /// V, the number of rows of `dw`.
    pub classes: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    rows: u32,
    cols: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    len: u32,
    cols: u32,
    accumulate: u32,
}

impl Rule for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (w, ids) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "w", w)?;
        let fits = w.shape.len() == 2 && ids.dtype == DType::U32;
        ShapeError::unless(fits, self.name(), || {
            format!("w {w} (V, D) must have two dimensions and ids {ids} (S..) must be u32")
        })?;
        let inside = self.padding_idx.is_none_or(|row| row < w.shape[0]);
        ShapeError::unless(inside, self.name(), || {
            format!("w {w} (V, D) has no row {:?} for padding", self.padding_idx)
        })?;
        let shape = [&ids.shape, &w.shape[1..]].concat();
        Ok(vec![TensorType::new(&shape, w.dtype)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let Some(dy) = slope.outputs[0].filter(|_| slope.wanted[0]) else {
            return vec![None, None];
        };
        let classes = out.type_of(at.inputs[0]).shape[0];
        // The host leaves padding out of the segments, so that the kernel need not know of it.
        let without = self.padding_idx;
        let order = out.derive(at.inputs[1], Derivation::SortedPositions { without });
        let segments = out.derive(at.inputs[1], Derivation::Segments { classes, without });
        let gradient = EmbeddingGradient { accumulate: false, classes };
        vec![Some(out.emit_one(gradient, &[dy, order, segments])), None]
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.inputs[0].as_matrix();
        let params = Params { len: clamp(at.outputs[0].len()), rows: clamp(rows), cols: clamp(cols) };
        let bindings = vec![at.read(0), at.read(1), at.write(0)];
        vec![at.by_rows(shader!("embedding"), bytes_of(&params).to_vec(), bindings)]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let cols = at.inputs[0].shape[1] as usize;
        let rows: Vec<&[f64]> = inputs[0].chunks(cols).collect();
        let zeros = vec![0.0; cols];
        let found = inputs[1].iter().map(|&id| rows.get(index(id)).copied().unwrap_or(&zeros));
        vec![found.flatten().copied().collect()]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |v: u32, d: u32, s: &[u32], ids: &[u32]| {
            Specimen::new(Embedding { padding_idx: None }, &[&[v, d], s]).ids(1, ids).differentiable(&[0])
        };
        vec![
            of(1, 1, &[1], &[0]),
            of(13, 7, &[3, 5], &scattered(15, 13)),
            of(5, 8, &[131], &scattered(131, 5)),
            // Two ids that are no row of w.
            of(3, 2, &[5], &[2, u32::MAX, 0, 3, 2]),
        ]
    }
}

impl Rule for EmbeddingGradient {
    fn name(&self) -> &'static str {
        "embedding gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (dy, order, segments) = (&inputs[0], &inputs[1], &inputs[2]);
        ShapeError::unless_floats(self.name(), "dy", dy)?;
        ShapeError::unless(!dy.shape.is_empty(), self.name(), || format!("dy {dy} (S.., D) has no D"))?;
        let (places, _) = dy.as_matrix();
        let fits = order.dtype == DType::U32 && order.len() == places;
        ShapeError::unless(fits, self.name(), || {
            format!("dy {dy} (S.., D) and order {order} (N) differ in N, the product of S, or order is not u32")
        })?;
        let expected = Derivation::Segments { classes: self.classes, without: None }.output(0);
        ShapeError::unless_is(self.name(), "segments", segments, &expected)?;
        let dw = TensorType::f32(&[self.classes, dy.shape[dy.shape.len() - 1]]);
        check_old(self.name(), self.accumulate, inputs, &dw)?;
        Ok(vec![dw])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.outputs[0].as_matrix();
        let width = Lowering::width(cols);
        let len = rows.saturating_mul(cols);
        let params = GradientParams { len: clamp(len), cols: clamp(cols), accumulate: self.accumulate.into() };
        vec![Dispatch {
            shader: shader!("embedding_gradient").with(&[("H", at.storage(Operand::Input(0))), ("V", width)]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(len / u64::from(width), 256),
            bindings: vec![at.read(0), at.read(1), at.read(2), at.write_or_add(self.accumulate)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let cols = at.outputs[0].shape[1] as usize;
        let mut dw = start(self.accumulate, inputs, clamp(at.outputs[0].len()) as usize);
        let rows: Vec<&[f64]> = inputs[0].chunks(cols).collect();
        for (dw, segment) in dw.chunks_mut(cols).zip(inputs[2].windows(2)) {
            for &place in &inputs[1][index(segment[0])..index(segment[1])] {
                dw.iter_mut().zip(rows[index(place)]).for_each(|(dw, dy)| *dw += dy);
            }
        }
        vec![dw]
    }

    fn in_place(&self) -> Vec<InPlace> {
        self.accumulate.then(|| InPlace::must(0, 3)).into_iter().collect()
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| EmbeddingGradient { accumulate: true, ..*self }.into())
    }

    // A row of it is a sum of some of those, none of which is in another's too.
    fn bound(&self, inputs: &[TensorType], _: usize) -> Option<Bound> {
        if self.accumulate { None } else { Bound::rows(inputs[0].as_matrix().0, &[0]) }
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate: bool, classes: u32, d: u32, ids: &[u32]| {
            let n = clamp(ids.len() as u64);
            let order = Derivation::SortedPositions { without: None }.compute(ids);
            let segments = Derivation::Segments { classes, without: None }.compute(ids);
            let shapes: [&[u32]; 4] = [&[n, d], &[n], &[classes + 1], &[classes, d]];
            let op = EmbeddingGradient { accumulate, classes };
            Specimen::new(op, &shapes[..3 + usize::from(accumulate)]).ids(1, &order).ids(2, &segments)
        };
        [false, true]
            .into_iter()
            .flat_map(|accumulate| {
                [
                    of(accumulate, 1, 1, &[0]),
                    of(accumulate, 13, 7, &scattered(31, 13)),
                    of(accumulate, 131, 8, &scattered(257, 97)),
                    of(accumulate, 3, 2, &[2, u32::MAX, 0, 3, 2]),
                ]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padding_row_is_in_no_segment_and_all_others_are_as_without_it() {
        let ids = [2, 0, 1, 2, 0, 7, 1];
        let (without, classes) = (Some(1), 3);
        let order = Derivation::SortedPositions { without }.compute(&ids);
        let segments = Derivation::Segments { classes, without }.compute(&ids);
        assert_eq!(order[..4], [1, 4, 0, 3]);
        assert_eq!(segments, [0, 2, 2, 4]);
    }

    #[test]
    fn a_padding_row_that_is_not_there_is_refused() {
        let inputs = [TensorType::f32(&[3, 2]), TensorType::u32(&[5])];
        assert!(Embedding { padding_idx: Some(2) }.outputs(&inputs).is_ok());
        let error = Embedding { padding_idx: Some(3) }.outputs(&inputs).unwrap_err().to_string();
        assert!(error.contains('3'), "{error}");
    }
}
