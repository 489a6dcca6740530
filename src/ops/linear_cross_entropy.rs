//! The cross entropy of a linear layer's output, of which no more lies in memory than a chunk of rows.
//!
//! ```text
//! rows 0..R    logits = x wᵀ + b | losses of rows, dlogits | dx, dw, db
//! rows R..2R   logits in the same bytes ..                   dx, and added to dw and db
//! ```
//!
//! There is a row of logits for every timestep of every row of a batch, as wide as there are classes: where these are
//! many, logits and their gradient are most of what a step makes. What is learnt from a row needs no other row, so the
//! gradients are worked out along with the loss, and each product is made once, as ever. (As the fused kernel of Hsu
//! et al. 2024, "Liger Kernel", has it; here by the kernels of the products and of the loss.)

use std::ops::Range;

use super::common::scattered;
use super::{
    Binding, ColumnSum, CrossEntropy, Dispatch, Emit, Function, Hits, InPlace, Layout, Lowering, Matmul, Op, Operand,
    Rule, ShapeError, Site, Slope, Specimen, clamp,
};
use crate::ids::ValueId;
use crate::target::Target;
use crate::tensor::TensorType;

/// `loss` of the logits `x wᵀ + b`, with the gradients of `x`, `w` and `b` at once.
///
/// From `x (.., H)`, `w (V, H)`, `b (V)` if there is one, and then what `loss` has after its logits, last of it the
/// number that it is added to; behind these `dw_old (V, H)` and `db_old (V)`, where those are added to. To
///
/// ```text
/// loss f32[1], losses of rows f32 (..), a chunk (R, V): its logits, and over them their gradient
/// dx (.., H), dw (V, H), db (V)                 those that are asked for
/// hits f32[1], hits of rows f32 (..)            if they are
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearCrossEntropy {
    /// The loss.
    pub loss: CrossEntropy,
    /// Whether there is a `b`.
    pub bias: bool,
    /// Rows of a chunk, R; a multiple of [`LinearCrossEntropy::rows_at_once`]'s unit.
    pub chunk: u32,
    /// Whether the gradient of `x` is asked for.
    pub dx: bool,
    /// Whether the gradient of `w` is asked for, and if so, whether it is added to an old one.
    pub dw: Option<bool>,
    /// The same of `b`.
    pub db: Option<bool>,
    /// Whether right predictions are counted.
    pub hits: bool,
}

/// Rows from which on a chunk's products are as fast as those of all rows.
const ROWS: u64 = 256;
/// Chunks at most: more would save little of what a step has.
const CHUNKS: u64 = 8;

/// What an inner op finds at one of its operands.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Which operand of this op.
    of: Operand,
    cut: Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// All of it.
    Whole,
    /// The chunk's rows of all that there are.
    Rows,
    /// The chunk's rows, of which no others are there.
    Chunk,
}

/// An op that a chunk goes through.
struct Stage {
    op: Op,
    inputs: Vec<Part>,
    outputs: Vec<Part>,
    wanted: Vec<bool>,
    /// Whether its last dispatch, a sum over all rows, waits until all rows are there.
    sums: bool,
}

/// Where the inputs and outputs stand that are not always there.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// The first input of the loss after its logits.
    targets: usize,
    /// One past the last of them.
    of_loss: usize,
    dw_old: usize,
    db_old: usize,
    inputs: usize,
    dx: usize,
    dw: usize,
    db: usize,
    hits: usize,
    outputs: usize,
}

impl LinearCrossEntropy {
    /// Rows at once of so many in all, each of which has `inputs` and as many logits as there are `classes`, where that
    /// saves memory on `target` and costs no time. Every chunk begins where the device lets a binding start, whether
    /// floats are stored in full or in halves.
    pub fn rows_at_once(rows: u64, inputs: u64, classes: u64, target: &Target) -> Option<u32> {
        let unit = target.align().max(16) / 2;
        // Of more rows never fewer at once, so that no smaller batch takes more.
        let chunk = rows.div_ceil(CHUNKS).max(ROWS).next_multiple_of(unit);
        let pays = classes >= inputs.saturating_mul(2) && chunk < rows;
        pays.then(|| clamp(chunk))
    }

    fn learns(&self) -> bool {
        self.dx || self.dw.is_some() || self.db.is_some()
    }

    fn places(&self) -> Places {
        let targets = 2 + usize::from(self.bias);
        let CrossEntropy { weighted, seeded, accumulate, .. } = self.loss;
        let of_loss = targets + 2 + [weighted, seeded, accumulate].map(usize::from).iter().sum::<usize>();
        let adds = |made: Option<bool>| usize::from(made == Some(true));
        let dx = 3;
        let dw = dx + usize::from(self.dx);
        let db = dw + usize::from(self.dw.is_some());
        let hits = db + usize::from(self.db.is_some());
        let (dw_old, db_old) = (of_loss, of_loss + adds(self.dw));
        let (inputs, outputs) = (db_old + adds(self.db), hits + 2 * usize::from(self.hits));
        Places { targets, of_loss, dw_old, db_old, inputs, dx, dw, db, hits, outputs }
    }

    /// What all rows, or a chunk, the first or a later one, goes through.
    fn stages(&self, first: bool) -> Vec<Stage> {
        let at = self.places();
        let part = |of: Operand, cut: Cut| Part { of, cut };
        let [given, made] = [Operand::Input, Operand::Output].map(|of| move |i: usize, cut: Cut| part(of(i), cut));
        // Its gradient lies over them.
        let (logits, dlogits) = (made(2, Cut::Chunk), made(2, Cut::Chunk));
        let (x, w, targets) = (given(0, Cut::Rows), given(1, Cut::Whole), given(at.targets, Cut::Rows));
        let of = |op: Op, inputs: Vec<Part>, outputs: Vec<Part>| {
            let wanted = vec![true; outputs.len()];
            Stage { op, inputs, outputs, wanted, sums: false }
        };
        // A later chunk is added to what the first has made.
        let old = |asked: Option<bool>, old: usize, own: usize| match (asked, first) {
            (None | Some(false), true) => None,
            (Some(true), true) => Some(given(old, Cut::Whole)),
            (_, false) => Some(made(own, Cut::Whole)),
        };
        let bias = self.bias.then(|| given(2, Cut::Whole));
        let linear = Matmul::linear(self.bias, Function::Identity);
        let mut stages = vec![of(linear.into(), [x, w].into_iter().chain(bias).collect(), vec![logits])];
        if self.hits {
            let outputs = vec![made(at.hits, Cut::Whole), made(at.hits + 1, Cut::Rows)];
            stages.push(Stage { sums: true, ..of(Hits.into(), vec![logits, targets], outputs) });
        }
        let others = (at.targets + 1..at.of_loss).map(|i| given(i, Cut::Whole));
        let inputs = [logits, targets].into_iter().chain(others).collect();
        let outputs = vec![made(0, Cut::Whole), dlogits, made(1, Cut::Rows)];
        let wanted = vec![true, self.learns(), true];
        stages.push(Stage { wanted, sums: true, ..of(self.loss.clone().into(), inputs, outputs) });
        if self.dx {
            stages.push(of(Matmul::new(Layout::Nn).into(), vec![dlogits, w], vec![made(at.dx, Cut::Rows)]));
        }
        if self.dw.is_some() {
            let old = old(self.dw, at.dw_old, at.dw);
            let op = Matmul { accumulate: old.is_some(), ..Matmul::new(Layout::Tn) };
            stages.push(of(op.into(), [dlogits, x].into_iter().chain(old).collect(), vec![made(at.dw, Cut::Whole)]));
        }
        if self.db.is_some() {
            let old = old(self.db, at.db_old, at.db);
            let op = ColumnSum { accumulate: old.is_some() };
            stages.push(of(op.into(), [dlogits].into_iter().chain(old).collect(), vec![made(at.db, Cut::Whole)]));
        }
        stages
    }

    fn rows(inputs: &[TensorType]) -> u32 {
        clamp(inputs[0].as_matrix().0)
    }

    fn chunks(&self, rows: u32) -> impl Iterator<Item = Range<u32>> + use<> {
        let chunk = self.chunk;
        (0..rows).step_by(chunk as usize).map(move |start| start..start.saturating_add(chunk).min(rows))
    }
}

impl Part {
    /// What an inner op is told it is, for these rows.
    fn ty(self, at: &Lowering, rows: &Range<u32>) -> TensorType {
        let ty = at.type_of(self.of);
        let count = rows.end - rows.start;
        match self.cut {
            Cut::Whole => ty.clone(),
            Cut::Chunk => TensorType::new(&[count, clamp(ty.as_matrix().1)], ty.dtype),
            Cut::Rows => TensorType::new(&[&[count][..], self.row(at)].concat(), ty.dtype),
        }
    }

    /// The shape of one row: of `x` that of its last dimension, of what is one number a row none.
    fn row<'a>(self, at: &'a Lowering) -> &'a [u32] {
        let ty = at.type_of(self.of);
        let dimensions = at.inputs[0].shape.len() - 1;
        &ty.shape[dimensions.min(ty.shape.len())..]
    }

    /// Bytes from its start to where these rows begin.
    fn offset(self, at: &Lowering, rows: &Range<u32>) -> u64 {
        match self.cut {
            Cut::Whole | Cut::Chunk => 0,
            Cut::Rows => {
                let ty = at.type_of(self.of);
                TensorType::new(&[&[rows.start][..], self.row(at)].concat(), ty.dtype).bytes()
            }
        }
    }
}

impl Stage {
    /// Its dispatches on these rows, and that of its sum over all rows where it has one.
    fn lower(&self, at: &Lowering, rows: &Range<u32>) -> (Vec<Dispatch>, Option<Dispatch>) {
        let types = |parts: &[Part]| parts.iter().map(|part| part.ty(at, rows)).collect::<Vec<_>>();
        let (inputs, outputs) = (types(&self.inputs), types(&self.outputs));
        let inner = Lowering { inputs: &inputs, outputs: &outputs, wanted: &self.wanted, target: at.target };
        let place = |binding: &mut Binding| {
            let part = |operand: Operand| match operand {
                Operand::Input(i) => self.inputs[i],
                Operand::Output(i) => self.outputs[i],
            };
            let (reads, writes) = (binding.reads.map(part), binding.writes.map(part));
            let by = reads.or(writes).map_or(0, |part| part.offset(at, rows));
            binding.bytes = binding.bytes.start + by..binding.bytes.end + by;
            (binding.reads, binding.writes) = (reads.map(|p| p.of), writes.map(|p| p.of));
        };
        let mut dispatches = self.op.rule().lower(&inner);
        dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.bindings).for_each(place);
        let sum = if self.sums { dispatches.pop() } else { None };
        (dispatches, sum)
    }
}

impl Rule for LinearCrossEntropy {
    fn name(&self) -> &'static str {
        "linear cross entropy"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let at = self.places();
        ShapeError::unless(inputs.len() == at.inputs && self.chunk > 0, self.name(), || {
            format!("it takes {} tensors in chunks of {} rows, not {}", at.inputs, self.chunk, inputs.len())
        })?;
        let linear = Matmul::linear(self.bias, Function::Identity);
        let logits = linear.outputs(&inputs[..at.targets])?;
        let of_loss = self.loss.outputs(&[&logits, &inputs[at.targets..at.of_loss]].concat())?;
        let (rows, classes) = logits[0].as_matrix();
        let chunk = TensorType::f32(&[self.chunk.min(clamp(rows)), clamp(classes)]);
        let (w, b) = (&inputs[1], TensorType::f32(&[clamp(classes)]));
        for (asked, old, of) in [(self.dw, at.dw_old, w), (self.db, at.db_old, &b)] {
            if asked == Some(true) {
                ShapeError::unless_is(self.name(), "what a gradient is added to", &inputs[old], of)?;
            }
        }
        let mut made = vec![of_loss[0].clone(), of_loss[2].clone(), chunk];
        made.extend(self.dx.then(|| inputs[0].clone()));
        made.extend(self.dw.map(|_| w.clone()));
        made.extend(self.db.map(|_| b));
        if self.hits {
            made.extend([TensorType::f32(&[1]), of_loss[2].clone()]);
        }
        Ok(made)
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let rows = Self::rows(at.inputs);
        let mut all = Vec::new();
        for chunk in self.chunks(rows) {
            for stage in self.stages(chunk.start == 0) {
                all.extend(stage.lower(at, &chunk).0);
            }
        }
        all.extend(self.stages(true).iter().filter_map(|stage| stage.lower(at, &(0..rows)).1));
        all
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (places, rows) = (self.places(), Self::rows(at.inputs));
        let mut made: Vec<Vec<f64>> = vec![Vec::new(); places.outputs];
        for stage in self.stages(true) {
            let all = 0..rows;
            let types = |parts: &[Part]| parts.iter().map(|part| part.ty(at, &all)).collect::<Vec<_>>();
            let (of_inputs, of_outputs) = (types(&stage.inputs), types(&stage.outputs));
            let inner = Lowering { inputs: &of_inputs, outputs: &of_outputs, wanted: &stage.wanted, target: at.target };
            let numbers: Vec<&[f64]> = stage
                .inputs
                .iter()
                .map(|part| match part.of {
                    Operand::Input(i) => inputs[i],
                    Operand::Output(i) => &made[i],
                })
                .collect();
            let found = stage.op.rule().reference(&numbers, &inner);
            for ((part, found), wanted) in stage.outputs.iter().zip(found).zip(&stage.wanted) {
                if let Operand::Output(i) = part.of
                    && *wanted
                {
                    made[i] = found;
                }
            }
        }
        // A chunk's bytes have what was written last.
        let (len, classes) = at.outputs[2].as_matrix();
        let (classes, all) = (clamp(classes) as usize, std::mem::take(&mut made[2]));
        made[2] = vec![0.0; clamp(len) as usize * classes];
        for rows in self.chunks(rows) {
            let part = &all[rows.start as usize * classes..rows.end as usize * classes];
            made[2][..part.len()].copy_from_slice(part);
        }
        made
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "a factor of the logits, and of the weight's gradient",
            1 => "a factor of the logits, and of the gradient that is passed on",
            _ => "what the loss is worked out from",
        }
    }

    fn in_place(&self) -> Vec<InPlace> {
        let at = self.places();
        let loss = self.loss.accumulate.then(|| InPlace::must(0, at.of_loss - 1));
        let dw = (self.dw == Some(true)).then(|| InPlace::must(at.dw, at.dw_old));
        let db = (self.db == Some(true)).then(|| InPlace::must(at.db, at.db_old));
        loss.into_iter().chain(dw).chain(db).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        vec![2]
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        let of_logits = Matmul::linear(false, Function::Identity).flops(&inputs[..2]);
        of_logits.saturating_mul(1 + u64::from(self.dx) + u64::from(self.dw.is_some()))
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        let chunk = vec![Operand::Output(2)];
        let dx = self.dx.then(|| vec![Operand::Output(self.places().dx)]);
        let factors = [0, 1].map(|i| vec![Operand::Input(i)]);
        factors.into_iter().chain([chunk]).chain(dx).collect()
    }

    fn specimens() -> Vec<Specimen> {
        let plain = Self {
            loss: CrossEntropy::default(),
            bias: true,
            // Chunks that begin where any device lets a binding start.
            chunk: 128,
            dx: true,
            dw: Some(false),
            db: Some(false),
            hits: false,
        };
        let all = CrossEntropy { label_smoothing: 0.1, weighted: true, seeded: true, accumulate: true };
        let adding = Self { loss: all, dw: Some(true), db: Some(true), ..plain.clone() };
        let measured = Self { dx: false, dw: None, db: None, hits: true, ..plain.clone() };
        let weight_alone = Self { bias: false, dx: false, db: None, ..plain.clone() };
        let of = |op: &Self, rows: &[u32], h: u32, v: u32| {
            let at = op.places();
            let (x, w) = ([rows, &[h]].concat(), [v, h]);
            let mut shapes: Vec<&[u32]> = vec![&x, &w];
            let classes = [v];
            shapes.extend(op.bias.then_some(&classes[..]));
            shapes.extend([rows, &[1]]);
            shapes.extend(op.loss.weighted.then_some(&classes[..]));
            shapes.resize(at.of_loss, &[1]);
            shapes.extend((op.dw == Some(true)).then_some(&w[..]));
            shapes.extend((op.db == Some(true)).then_some(&classes[..]));
            Specimen::new(op.clone(), &shapes).ids(at.targets, &scattered(rows.iter().product(), v))
        };
        vec![
            of(&plain, &[300], 5, 13),
            of(&plain, &[7, 40], 4, 16),
            of(&adding, &[129], 7, 16),
            of(&measured, &[3, 99], 8, 17),
            of(&weight_alone, &[256], 4, 9),
            of(&plain, &[100], 3, 7),
        ]
    }
}
