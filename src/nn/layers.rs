//! Layers without memory, each named by the layer entered last.

use super::LayerError;
use super::builder::Builder;
use super::init::Init;
use crate::ids::ValueId;
use crate::ops::{
    Activation, Binary, Concat, Curve, Dropout, Embedding, Function, LayerNorm, Matmul, Pointwise, RowEnds, Slice,
    Transpose, View,
};

impl Builder {
    /// Rows of a table: ids of any shape (S..) to vectors (S.., `size`).
    ///
    /// The row `padding`, if there is one, is zero and stays so, as PyTorch's `padding_idx`.
    ///
    /// # Errors
    /// Inputs that are no ids, or not those of a batch's field as they are; a padding that is no row.
    pub fn embedding(
        &mut self,
        ids: ValueId,
        rows: u32,
        size: u32,
        padding: Option<u32>,
    ) -> Result<ValueId, LayerError> {
        if let Some(row) = padding.filter(|&row| row >= rows) {
            return Err(self.error(format!("`padding_idx` is {row}, and the table has {rows} rows, from 0")));
        }
        // The gradient's order of summation is worked out by the host, which knows no other ids.
        if !self.graph.is_supplied(ids) {
            return Err(self.error("its ids have to be a field of the batch, as it is"));
        }
        let weight = self.parameter("weight", &[rows, size], Init::Normal)?;
        if let Some(row) = padding {
            let from = u64::from(row) * u64::from(size);
            self.fix("weight", from, from + u64::from(size), 0.0);
        }
        self.apply_one(Embedding { padding_idx: padding }, &[weight, ids])
    }

    /// `f(x Wᵀ + b)`: (.., I) to (.., `out_features`).
    ///
    /// # Errors
    /// Inputs that are no numbers.
    pub fn linear(
        &mut self,
        x: ValueId,
        out_features: u32,
        bias: bool,
        function: Function,
    ) -> Result<ValueId, LayerError> {
        let in_features = self.columns(x);
        let init = Init::fan_in(in_features);
        let weight = self.parameter("weight", &[out_features, in_features], init)?;
        self.linear_by(weight, x, bias, function)
    }

    /// The same with the weight `of`, known already, (`out_features`, I).
    ///
    /// # Errors
    /// There is no such weight, or it has another shape.
    pub fn tied_linear(
        &mut self,
        x: ValueId,
        of: &str,
        out_features: u32,
        bias: bool,
        function: Function,
    ) -> Result<ValueId, LayerError> {
        let in_features = self.columns(x);
        let weight = self.shared(of, "weight", &[out_features, in_features])?;
        self.linear_by(weight, x, bias, function)
    }

    fn linear_by(
        &mut self,
        weight: ValueId,
        x: ValueId,
        bias: bool,
        function: Function,
    ) -> Result<ValueId, LayerError> {
        let &[out_features, in_features] = &self.graph[weight].ty.shape[..] else {
            return Err(self.error("a weight has rows and columns"));
        };
        let mut inputs = vec![x, weight];
        if bias {
            inputs.push(self.parameter("bias", &[out_features], Init::fan_in(in_features))?);
        }
        self.apply_one(Matmul::linear(bias, function), &inputs)
    }

    /// `f(x)`, element by element, of a function whose slope is told from its result.
    ///
    /// # Errors
    /// Inputs that are no numbers.
    pub fn activation(&mut self, x: ValueId, function: Function) -> Result<ValueId, LayerError> {
        self.apply_one(Activation { function }, &[x])
    }

    /// `f(x)`, element by element, of a function whose slope is told from its argument.
    ///
    /// # Errors
    /// Inputs that are no numbers.
    pub fn curve(&mut self, x: ValueId, function: Curve) -> Result<ValueId, LayerError> {
        self.apply_one(Pointwise { function }, &[x])
    }

    /// Each row of the last dimension shifted to mean 0 and scaled to variance 1, then by `weight`
    /// and `bias` if it has them. As `torch.nn.LayerNorm`.
    ///
    /// # Errors
    /// Inputs that are no numbers.
    pub fn layer_norm(&mut self, x: ValueId, eps: f32, affine: bool, bias: bool) -> Result<ValueId, LayerError> {
        let width = self.columns(x);
        let mut inputs = vec![x];
        if affine {
            inputs.push(self.parameter("weight", &[width], Init::ONES)?);
        }
        let bias = affine && bias;
        if bias {
            inputs.push(self.parameter("bias", &[width], Init::ZEROS)?);
        }
        self.apply_one(LayerNorm { eps, weight: affine, bias }, &inputs)
    }

    /// In training, zeroes a share `p` of all elements and scales the rest by 1 / (1 - p); (B, F) or
    /// (T, B, F). Which ones depends on seed, layer, step, row and place, not on how a batch is
    /// split.
    ///
    /// # Errors
    /// `p` is no share; inputs that are not rows, or rows over time.
    pub fn dropout(&mut self, x: ValueId, p: f32) -> Result<ValueId, LayerError> {
        self.dropout_of(x, p, "")
    }

    /// The same for the part of the layer called `part`, whose choices are its own.
    pub(super) fn dropout_of(&mut self, x: ValueId, p: f32, part: &str) -> Result<ValueId, LayerError> {
        if !(0.0..1.0).contains(&p) {
            return Err(self.error(format!("dropout of {p}: the share must be at least 0 and below 1")));
        }
        if p == 0.0 {
            return Ok(x);
        }
        let Some(at) = self.dropout_at() else { return Ok(x) };
        let name = format!("{}{part}", self.layer());
        let has_time = self.graph[x].ty.shape.len() == 3;
        let start = if has_time { self.segment().start } else { 0 };
        self.apply_one(Dropout { start, ..Dropout::of_layer(p, self.seed(), &name) }, &[x, at])
    }

    /// The sum of all `parts`, of one shape: a residual connection.
    ///
    /// # Errors
    /// Parts of different shapes.
    pub fn add(&mut self, parts: &[ValueId]) -> Result<ValueId, LayerError> {
        let Some((&first, rest)) = parts.split_first() else { return Err(self.error("there is nothing to add")) };
        rest.iter().try_fold(first, |sum, &part| self.apply_one(Binary::Add, &[sum, part]))
    }

    /// `a * b`, element by element.
    ///
    /// # Errors
    /// Different shapes.
    pub fn multiply(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, LayerError> {
        self.apply_one(Binary::Mul, &[a, b])
    }

    /// `parts`, (.., N1), (.., N2) and so on, side by side: (.., N1 + N2 + ..).
    ///
    /// # Errors
    /// Parts that differ in more than their last dimension.
    pub fn concat(&mut self, parts: &[ValueId]) -> Result<ValueId, LayerError> {
        match parts {
            [] => Err(self.error("there is nothing to concatenate")),
            [one] => Ok(*one),
            [first, ..] => {
                let axis = self.graph[*first].ty.shape.len().saturating_sub(1);
                self.apply_one(Concat { axis }, parts)
            }
        }
    }

    /// `len` places of `axis`, from `start` on; bytes that lie side by side already are not moved.
    ///
    /// # Errors
    /// Places that `x` does not have.
    pub fn slice(&mut self, x: ValueId, axis: usize, start: u32, len: u32) -> Result<ValueId, LayerError> {
        self.apply_one(Slice { axis, start, len }, &[x])
    }

    /// The same elements in another shape; nothing is moved.
    ///
    /// # Errors
    /// A shape with another number of elements.
    pub fn reshape(&mut self, x: ValueId, shape: &[u32]) -> Result<ValueId, LayerError> {
        self.apply_one(View::reshape(shape), &[x])
    }

    /// Axes `a` and `b` exchanged.
    ///
    /// # Errors
    /// Axes that `x` does not have.
    pub fn transpose(&mut self, x: ValueId, a: usize, b: usize) -> Result<ValueId, LayerError> {
        self.apply_one(Transpose { axes: [a, b] }, &[x])
    }

    /// The last timestep of (T, B, F): (B, F). Where rows have lengths, it is the one each row ends with.
    ///
    /// # Errors
    /// Inputs without time.
    pub fn last(&mut self, x: ValueId) -> Result<ValueId, LayerError> {
        let &[time, rows, width] = &self.graph[x].ty.shape[..] else {
            return Err(
                self.error(format!("the last timestep is that of a sequence (T, B, F), not {}", self.graph[x].ty))
            );
        };
        if let Some(lengths) = self.lengths() {
            return self.apply_one(RowEnds, &[x, lengths]);
        }
        let last = self.slice(x, 0, time - 1, 1)?;
        self.reshape(last, &[rows, width])
    }
}
