//! All that the next step of a session depends on, taken out of it and put back.
//!
//! ```text
//! parameters/rnn.weight_hh_l0       what is learnt, tensor by tensor
//! first moment/rnn.weight_hh_l0     what the optimizer remembers, by the name of its slot, tensor by
//! optimizer state/NAME              tensor; a slot that holds no tensors of the network is one itself
//! carried state/rnn.state_l0        (S, B, H): the rows of all micro-steps together
//! step, plateau                     plain numbers
//! ```
//!
//! Tensors are known by their names, so that it does not matter where another plan has them or in how
//! many micro-steps it runs a batch. Nothing else outlives a step: every random number is a function of
//! the seed and the step, and so is the place in the data.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::error::Error;
use crate::graph::{Home, Role, Slot};
use crate::ids::SlotId;
use crate::nn::CarriedState;
use crate::storage::{NamedShape, StoredTensor, TensorFile};
use crate::tensor::{DType, TensorType};

use super::numbers::index;
use super::rate::PlateauState;
use super::{Planned, Session};

/// What tensors that are learnt are called before their names.
const PARAMETERS: &str = "parameters/";

/// All that the next step depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingState {
    /// Steps made.
    pub step: u64,
    /// What the schedule has learnt from losses on held-out data.
    pub plateau: PlateauState,
    /// What the device keeps from step to step.
    pub tensors: Vec<StoredTensor>,
}

impl TrainingState {
    /// The first tensor with an element that is no finite number, of those that are learnt or that the optimizer
    /// remembers; what is carried from window to window is mended where it is read.
    pub fn first_not_finite(&self) -> Option<&str> {
        let carried = format!("{}/", Role::CarriedState.name());
        let kept = self.tensors.iter().filter(|t| !t.name.starts_with(&carried));
        let learnt = kept.map(|t| (t, t.name.strip_prefix(PARAMETERS).unwrap_or(&t.name)));
        let not_finite = |tensor: &StoredTensor| match tensor.dtype {
            DType::F32 => {
                tensor.bytes.chunks_exact(4).any(|b| !f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite())
            }
            DType::F16 => tensor.bytes.chunks_exact(2).any(|b| !half::f16::from_le_bytes([b[0], b[1]]).is_finite()),
            DType::U32 => false,
        };
        learnt.into_iter().find(|(tensor, _)| not_finite(tensor)).map(|(_, name)| name)
    }
}

/// A tensor that is kept, and the bytes of slots that it is made of, one after the other.
struct Kept {
    name: String,
    dtype: DType,
    shape: Vec<u64>,
    pieces: Vec<Piece>,
}

struct Piece {
    slot: SlotId,
    copy: u32,
    offset: u64,
    bytes: u64,
}

/// The types of the values that lie in slots.
struct Types(HashMap<SlotId, Vec<(u64, TensorType)>>);

impl Types {
    fn of(planned: &Planned) -> Self {
        let mut types: HashMap<SlotId, Vec<(u64, TensorType)>> = HashMap::new();
        for value in planned.plan.graph.value_ids().map(|id| &planned.plan.graph[id]) {
            if let Some(Home { slot, offset }) = value.home {
                types.entry(slot).or_default().push((offset, value.ty.clone()));
            }
        }
        Self(types)
    }

    /// Type and shape of the `bytes` at `offset` of `slot`: those of the value there; where none is of
    /// that size, a list of elements such as the slot has.
    fn at(&self, slot: SlotId, offset: u64, bytes: u64) -> (DType, Vec<u64>) {
        let all = self.0.get(&slot).map_or(&[][..], Vec::as_slice);
        if let Some((_, ty)) = all.iter().find(|(at, ty)| *at == offset && ty.bytes() == bytes) {
            return (ty.dtype, ty.shape.iter().map(|&d| d.into()).collect());
        }
        let dtype = all.first().map_or(DType::U32, |(_, ty)| ty.dtype);
        (dtype, vec![bytes / dtype.bytes()])
    }
}

impl Planned {
    /// Names and shapes of the parameters, in the model's order; one that a model has in two places
    /// has its first name.
    pub fn named_shapes(&self) -> Vec<NamedShape> {
        let parameters = self.handles.parameters.iter();
        parameters.map(|p| (p.name.clone(), p.ty.shape.iter().map(|&d| d.into()).collect())).collect()
    }

    /// The numbers of every parameter, in the model's order, from a file that holds exactly these, by
    /// name; of one that the model has in two places, either name or both.
    ///
    /// # Errors
    /// Missing, surplus and misshapen tensors, all named; two names of one parameter with different
    /// numbers.
    pub fn matching(&self, file: &TensorFile) -> Result<Vec<Vec<f32>>, Error> {
        let mut file = file.clone();
        for (alias, of) in &self.handles.aliases {
            let Some(second) = file.tensors.remove(alias) else { continue };
            let first = file.tensors.entry(of.clone()).or_insert_with(|| second.clone());
            if *first != second {
                let path = file.path.display();
                return Err(Error::Input(format!(
                    "{path}: `{alias}` and `{of}` are one parameter of this model, and the file has different numbers \
                     for them"
                )));
            }
        }
        Ok(file.matching(&self.named_shapes())?)
    }

    /// Names, types and shapes of the tensors of a [`TrainingState`] of this run.
    pub fn state_shapes(&self) -> Vec<(String, DType, Vec<u64>)> {
        self.kept().into_iter().map(|kept| (kept.name, kept.dtype, kept.shape)).collect()
    }

    fn kept(&self) -> Vec<Kept> {
        let (graph, types) = (&self.plan.graph, Types::of(self));
        let lasting = |slot: &SlotId| matches!(graph[*slot].role, Role::Parameter | Role::OptimizerState);
        let mut all: Vec<Kept> =
            graph.slot_ids().filter(lasting).flat_map(|id| in_slot(id, &graph[id], &types)).collect();
        all.extend(self.handles.train_states.iter().map(|state| self.carried(state)));
        all
    }

    /// A state is kept once for each micro-step, (S, rows, H), and is one tensor of all rows.
    fn carried(&self, state: &CarriedState) -> Kept {
        let Slot { copies, role, .. } = self.plan.graph[state.slot];
        let ty = self.plan.graph.type_in(state.slot).expect("a state is read by what carries it on");
        let (dtype, mut shape) = (ty.dtype, ty.shape.iter().map(|&d| d.into()).collect::<Vec<u64>>());
        if let Some(rows) = shape.get_mut(1) {
            *rows *= u64::from(copies);
        }
        // Without the bytes that fill a slot of halves to a whole word.
        let part = ty.len() / u64::from(state.kinds) * dtype.bytes();
        let piece = |kind: u32, copy| Piece { slot: state.slot, copy, offset: u64::from(kind) * part, bytes: part };
        let pieces = (0..state.kinds).flat_map(|kind| (0..copies).map(move |copy| (kind, copy)));
        let pieces = pieces.map(|(kind, copy)| piece(kind, copy)).collect();
        Kept { name: format!("{}/{}", role.name(), state.name), dtype, shape, pieces }
    }
}

/// The tensors of the network in a slot, or the slot as one.
fn in_slot(id: SlotId, slot: &Slot, types: &Types) -> Vec<Kept> {
    let kept = |name: String, offset, bytes| {
        let (dtype, shape) = types.at(id, offset, bytes);
        Kept { name, dtype, shape, pieces: vec![Piece { slot: id, copy: 0, offset, bytes }] }
    };
    if slot.parts.is_empty() {
        return vec![kept(format!("{}/{}", slot.role.name(), slot.name), 0, slot.bytes)];
    }
    slot.parts.iter().map(|part| kept(format!("{}/{}", slot.name, part.name), part.offset, part.bytes)).collect()
}

impl Session {
    /// Takes out all that the next step depends on, by way of the plan's readback buffers.
    ///
    /// Reports of steps still under way are kept for the next call of [`Session::step`] or
    /// [`Session::finish`].
    ///
    /// # Errors
    /// Device errors; a device that gives back what was not there counts as lost.
    pub fn capture(&mut self) -> Result<TrainingState, Error> {
        let mut tensors = Vec::new();
        // Copies of the slot that the last piece was of, as the device has them.
        let mut downloaded: BTreeMap<(SlotId, u32), Vec<u8>> = BTreeMap::new();
        for Kept { name, dtype, shape, pieces } in self.planned.kept() {
            let mut bytes = Vec::new();
            for Piece { slot, copy, offset, bytes: len } in pieces {
                downloaded.retain(|(of, _), _| *of == slot);
                let whole = match downloaded.entry((slot, copy)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(free) => free.insert(self.engine.download(slot, copy)?),
                };
                bytes.extend(&whole[index(offset)..index(offset + len)]);
            }
            tensors.push(StoredTensor { name, dtype, shape, bytes });
        }
        self.look_at_canary()?;
        Ok(TrainingState { step: self.step, plateau: self.plateau, tensors })
    }

    /// Puts back what [`Session::capture`] took out, of this session or of another of the same run;
    /// the next step is then the same to the bit, if its plan is. Reports not returned yet are dropped.
    ///
    /// # Errors
    /// Tensors that are not those of this run, all named; device errors.
    pub fn restore(&mut self, state: &TrainingState) -> Result<(), Error> {
        self.finish()?;
        let wanted = self.planned.kept();
        let mut found: BTreeMap<&str, &StoredTensor> = state.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        let counts = self.counts_of(state.step);
        if let Some(counts) = &counts {
            found.entry(&counts.name).or_insert(counts);
        }
        let wrong = differences(&wanted, &found);
        if !wrong.is_empty() {
            return Err(Error::Input(format!("the saved state is not that of this run:\n  {}", wrong.join("\n  "))));
        }
        // Slots without tensors of the network are uploaded as a whole: pieces of halves may begin anywhere.
        let mut whole: BTreeMap<(SlotId, u32), Vec<u8>> = BTreeMap::new();
        for Kept { name, pieces, .. } in wanted {
            let mut rest = &found[name.as_str()].bytes[..];
            for Piece { slot, copy, offset, bytes } in pieces {
                let (piece, after) = rest.split_at(index(bytes));
                let Slot { parts, bytes: all, .. } = &self.planned.plan.graph[slot];
                if parts.is_empty() {
                    let whole = whole.entry((slot, copy)).or_insert_with(|| vec![0; index(*all)]);
                    whole[index(offset)..][..piece.len()].copy_from_slice(piece);
                } else {
                    self.engine.upload(slot, copy, offset, piece)?;
                }
                rest = after;
            }
        }
        for ((slot, copy), bytes) in whole {
            self.engine.upload(slot, copy, 0, &bytes)?;
        }
        self.engine.submit()?;
        (self.step, self.plateau) = (state.step, state.plateau);
        Ok(())
    }
}

impl Session {
    /// The same as [`Session::capture`], as it was before steps were skipped that nothing was changed after: of a
    /// run that stops, and carries no state.
    pub(crate) fn capture_before_skips(&mut self) -> Result<TrainingState, Error> {
        let mut state = self.capture()?;
        if let Some(counts) = self.counts_of(state.step)
            && let Some(kept) = state.tensors.iter_mut().find(|tensor| tensor.name == counts.name)
        {
            *kept = counts;
        }
        Ok(state)
    }

    /// What counts the steps of a run that has passed over none: a state saved in full by a version that did not
    /// count them has no such tensor.
    fn counts_of(&self, step: u64) -> Option<StoredTensor> {
        let slot = self.planned.handles.scaler?;
        let kept = self.planned.kept().into_iter().find(|kept| kept.pieces.iter().all(|piece| piece.slot == slot))?;
        let numbers = self.planned.training.scaler_after(step);
        let bytes = bytemuck::cast_slice(&numbers).to_vec();
        Some(StoredTensor { name: kept.name, dtype: kept.dtype, shape: kept.shape, bytes })
    }
}

/// What is missing, surplus or of another type.
fn differences(wanted: &[Kept], found: &BTreeMap<&str, &StoredTensor>) -> Vec<String> {
    let mut wrong = Vec::new();
    for Kept { name, dtype, shape, pieces } in wanted {
        let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        match found.get(name.as_str()) {
            None => wrong.push(format!("`{name}` {dtype}{shape:?} is missing")),
            Some(t) if (t.dtype, &t.shape) != (*dtype, shape) || t.bytes.len() as u64 != bytes => {
                wrong.push(format!("`{name}` is {}{:?} and should be {dtype}{shape:?}", t.dtype, t.shape));
            }
            Some(_) => {}
        }
    }
    let surplus = found.keys().filter(|name| !wanted.iter().any(|kept| kept.name == ***name));
    wrong.extend(surplus.map(|name| format!("`{name}` is not wanted")));
    wrong
}
