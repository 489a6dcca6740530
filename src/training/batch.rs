//! A step's data against what its run expects: checked before the device sees it, and cut into
//! micro-steps.

use super::numbers::fits_in_half;
use super::{Planned, Training};
use crate::data::{Batch, Data};
use crate::error::Error;
use crate::ids::SlotId;
use crate::nn::{Count, Field};
use crate::tensor::DType;
use crate::text::IGNORE;

/// The fields and extents of a run's batches.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    fields: Vec<Field>,
    count: Count,
    time: u32,
    lengths: bool,
    /// For each field, whether its numbers are kept in halves.
    halves: Vec<bool>,
}

impl Shape {
    pub(super) fn of(training: &Training) -> Self {
        let fields = training.network.fields();
        Self {
            halves: vec![false; fields.len()],
            fields,
            count: training.network.count(),
            time: training.window,
            lengths: training.lengths,
        }
    }

    /// The same for what `planned` keeps in halves.
    pub(super) fn kept_by(self, planned: &Planned) -> Self {
        let in_halves = |slot: &SlotId| planned.plan.graph.type_in(*slot).is_some_and(|ty| ty.dtype == DType::F16);
        Self { halves: planned.handles.fields.iter().map(in_halves).collect(), ..self }
    }

    /// The fields, in the order of the plan's slots.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn time_of(&self, field: &Field) -> u32 {
        if field.time { self.time } else { 1 }
    }

    /// `batch`, if it is what a run of `rows` rows expects, with nothing past the end of any row:
    /// whatever stands there is not looked at.
    pub(super) fn accepted(&self, batch: Batch, rows: u32) -> Result<Batch, Error> {
        self.check(&batch, rows)?;
        let batch = self.masked(batch);
        for (field, &halves) in self.fields.iter().zip(&self.halves) {
            match (batch.field(&field.name), field.below) {
                (Some(Data::U32(ids)), Some(below)) => in_range(&field.name, ids, below, field.optional)?,
                (Some(Data::F32(x)), _) if halves => in_halves(&field.name, x)?,
                _ => {}
            }
        }
        Ok(batch)
    }

    /// Whether `batch` has the fields and extents that a run of `rows` rows expects.
    fn check(&self, batch: &Batch, rows: u32) -> Result<(), Error> {
        for field in &self.fields {
            let Some(data) = batch.field(&field.name) else {
                let all: Vec<_> = batch.fields.iter().map(|(name, _)| format!("`{name}`")).collect();
                let (name, all) = (&field.name, all.join(", "));
                return Err(Error::Input(format!("the batch has no field `{name}`; it has {all}")));
            };
            self.check_field(field, data, rows)?;
        }
        let known = |name: &str| self.fields.iter().any(|f| f.name == name);
        if let Some((name, _)) = batch.fields.iter().find(|(name, _)| !known(name)) {
            return Err(Error::Input(format!("the batch has a field `{name}`, which the network does not read")));
        }
        if !batch.reset.is_empty() {
            counted("resets", batch.reset.len(), rows.into())?;
        }
        match (self.lengths, batch.lengths.is_empty()) {
            (false, true) => Ok(()),
            (true, true) => {
                Err(Error::Input("the run is for rows of different lengths, and the batch has none".into()))
            }
            (false, false) => {
                Err(Error::Input("the batch has lengths, and the run was planned without; set `lengths`".into()))
            }
            (true, false) => {
                counted("lengths", batch.lengths.len(), rows.into())?;
                match batch.lengths.iter().find(|&&len| len > self.time) {
                    Some(len) => Err(Error::Input(format!("a row is {len} long, and the window {}", self.time))),
                    None => Ok(()),
                }
            }
        }
    }

    fn check_field(&self, field: &Field, data: &Data, rows: u32) -> Result<(), Error> {
        let name = &field.name;
        let wanted = u64::from(rows) * u64::from(self.time_of(field)) * field.width();
        match (data, field.below) {
            (Data::F32(_), Some(_)) => Err(Error::Input(format!("{name} are numbers, and the task takes ids"))),
            (Data::U32(_), None) => Err(Error::Input(format!("{name} are ids, and the task takes numbers"))),
            (data, _) => counted(name, data.len(), wanted),
        }
    }

    /// The same batch with nothing to learn past the end of each row, and zeros to read: a NaN there
    /// times a gradient of 0 would be NaN.
    fn masked(&self, mut batch: Batch) -> Batch {
        if !self.lengths {
            return batch;
        }
        let lengths = batch.lengths.clone();
        for field in self.fields.iter().filter(|f| f.time) {
            let width = index(field.width());
            let past = |i: usize| {
                let (step, row) = (i / width / lengths.len(), i / width % lengths.len());
                step >= lengths[row] as usize
            };
            let data = batch.fields.iter_mut().find(|(name, _)| *name == field.name).map(|(_, data)| data);
            match data {
                Some(Data::F32(x)) => fill(x, past, if field.optional { f32::NAN } else { 0.0 }),
                Some(Data::U32(x)) => fill(x, past, if field.optional { IGNORE } else { 0 }),
                None => {}
            }
        }
        batch
    }

    /// Group `group` of `groups` equal groups of the batch's `rows` rows.
    pub(super) fn group(&self, batch: &Batch, rows: u32, group: u32, groups: u32) -> Batch {
        let [rows, group, groups] = [rows, group, groups].map(|n| n as usize);
        let (from, to) = (rows / groups * group, rows / groups * (group + 1));
        let part = |field: &Field| {
            let time = self.time_of(field) as usize;
            let data = batch.field(&field.name).map(|data| match data {
                Data::F32(x) => Data::F32(cut(x, time, rows, from, to)),
                Data::U32(x) => Data::U32(cut(x, time, rows, from, to)),
            });
            data.map(|data| (field.name.clone(), data))
        };
        Batch {
            fields: self.fields.iter().filter_map(part).collect(),
            lengths: batch.lengths.get(from..to).map_or_else(Vec::new, <[u32]>::to_vec),
            reset: batch.reset.get(from..to).map_or_else(Vec::new, <[bool]>::to_vec),
        }
    }

    /// How many targets there are, and what the sum of their losses is divided by.
    pub(super) fn counted(&self, batch: &Batch, rows: u32) -> (u64, f64) {
        let field = |name: &String| batch.field(name);
        match &self.count {
            Count::Rows => (rows.into(), rows.into()),
            Count::Valid(name) => {
                let valid = match field(name) {
                    Some(Data::F32(x)) => x.iter().filter(|t| !t.is_nan()).count(),
                    Some(Data::U32(x)) => x.iter().filter(|&&t| t != IGNORE).count(),
                    None => 0,
                };
                (valid as u64, valid as f64)
            }
            Count::Weighted(name, weights) => {
                let ids = match field(name) {
                    Some(Data::U32(x)) => &x[..],
                    _ => &[],
                };
                let valid = ids.iter().filter_map(|&id| weights.get(id as usize));
                (valid.clone().count() as u64, valid.map(|w| f64::from(*w)).sum())
            }
        }
    }
}

/// Puts `with` in every place that is `past` a row's end.
fn fill<T: Copy>(x: &mut [T], past: impl Fn(usize) -> bool, with: T) {
    x.iter_mut().enumerate().filter(|(i, _)| past(*i)).for_each(|(_, x)| *x = with);
}

/// Of `time` by `rows` vectors, those of rows `from..to`.
fn cut<T: Copy>(x: &[T], time: usize, rows: usize, from: usize, to: usize) -> Vec<T> {
    let width = x.len() / (time * rows);
    let of = |t: usize| &x[(t * rows + from) * width..(t * rows + to) * width];
    (0..time).flat_map(|t| of(t).iter().copied()).collect()
}

fn counted(name: &str, found: usize, wanted: u64) -> Result<(), Error> {
    if found as u64 == wanted {
        return Ok(());
    }
    Err(Error::Input(format!("the batch has {found} {name}, and the plan is for {wanted}")))
}

fn in_range(name: &str, ids: &[u32], below: u32, ignored: bool) -> Result<(), Error> {
    let wrong = ids.iter().position(|&id| id >= below && !(ignored && id == IGNORE));
    match wrong {
        None => Ok(()),
        Some(at) => Err(Error::Input(format!("{name}: id {} at position {at} is not below {below}", ids[at]))),
    }
}

fn in_halves(name: &str, x: &[f32]) -> Result<(), Error> {
    match x.iter().position(|&x| !fits_in_half(x)) {
        None => Ok(()),
        Some(at) => Err(Error::Input(format!(
            "{name}: {} at position {at}, and a half holds no number past {} either way; scale what is read, or have it \
             kept in full (`inputs_in_halves`)",
            x[at],
            half::f16::MAX
        ))),
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("what is in memory can be counted")
}
