//! Runs a plan on the host, node by node, with the ops' references, at the planned offsets.
//!
//! It tells a wrong plan from a wrong kernel: bytes whose content has died are poisoned, so a plan
//! that frees too early turns into NaN here, and into a plausible number nowhere. An oracle for
//! tests, not a backend.

use std::collections::HashMap;

use crate::engine::{Engine, EngineError, Held, Look};
use crate::ids::{SlotId, ValueId};
use crate::ops::Lowering;
use crate::plan::{Place, Placed, Plan};
use crate::schedule::touched;
use crate::tensor::{DType, TensorType};

/// A quiet NaN that is also no sensible id.
const POISON: [u8; 4] = 0x7fc0_dead_u32.to_le_bytes();

/// A plan and the arenas it runs in.
pub struct Host {
    plan: Plan,
    arenas: Vec<Vec<u8>>,
    read: Vec<Vec<u8>>,
    /// For each step, the tenants whose content is not needed after it.
    dying: Vec<Vec<usize>>,
    /// The step that makes each value.
    born: HashMap<ValueId, u32>,
}

impl Host {
    /// Takes memory for `plan`: slots zeroed, everything else poisoned.
    pub fn new(plan: Plan) -> Self {
        let poisoned = |bytes: u64| POISON.into_iter().cycle().take(length(bytes)).collect();
        let mut arenas: Vec<Vec<u8>> = plan.arenas.iter().map(|a| poisoned(a.bytes)).collect();
        for slot in &plan.slots {
            let all = slot.all_copies();
            arenas[slot.place.arena.index()][length(all.start)..length(all.end)].fill(0);
        }
        let mut dying = vec![Vec::new(); plan.schedule.steps.len()];
        let spans = touched(&plan.schedule.steps);
        for (i, placed) in plan.tenants.iter().enumerate() {
            let last = placed.tenant.values.iter().filter_map(|v| spans.get(v)).map(|s| s.end).max();
            if let Some(last) = last {
                dying[last as usize - 1].push(i);
            }
        }
        let born = spans.into_iter().map(|(value, steps)| (value, steps.start)).collect();
        Self { plan, arenas, read: Vec::new(), dying, born }
    }

    fn bytes(&self, place: Place) -> &[u8] {
        &self.arenas[place.arena.index()][length(place.offset)..length(place.offset + place.bytes)]
    }

    fn bytes_mut(&mut self, place: Place) -> &mut [u8] {
        &mut self.arenas[place.arena.index()][length(place.offset)..length(place.offset + place.bytes)]
    }

    /// What `value` holds, as numbers.
    pub fn numbers(&self, value: ValueId, copy: u32) -> Option<Vec<f64>> {
        let place = self.plan.value(value, copy)?;
        Some(decode(self.bytes(place), &self.plan.graph[value].ty))
    }

    fn run_node(&mut self, step: usize, copy: u32) {
        let node = &self.plan.graph[self.plan.schedule.steps[step].node];
        let site = node.site.clone();
        let of_input = |&v: &ValueId| self.numbers(v, copy).expect("a value that is read has a place");
        let inputs: Vec<Vec<f64>> = site.inputs.iter().map(of_input).collect();
        let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
        let at = Lowering {
            inputs: &self.plan.graph.types(&site.inputs),
            outputs: &self.plan.graph.types(&site.outputs),
            wanted: &vec![true; site.outputs.len()],
            target: &self.plan.target,
        };
        let outputs = node.op.rule().reference(&inputs, &at);
        let mut made: Vec<(ValueId, Vec<f64>)> = site.outputs.iter().copied().zip(outputs).collect();
        // What is made late may lie where something made early has died.
        made.sort_by_key(|(value, _)| self.born.get(value).copied());
        for (value, numbers) in made {
            let Some(place) = self.plan.value(value, copy) else { continue };
            let encoded = encode(&numbers, &self.plan.graph[value].ty);
            self.bytes_mut(place).copy_from_slice(&encoded);
        }
    }
}

impl Engine for Host {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn upload(&mut self, slot: SlotId, copy: u32, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let place = self.plan.slot(slot, copy);
        let at = Place { offset: place.offset + offset, bytes: bytes.len() as u64, ..place };
        self.bytes_mut(at).copy_from_slice(bytes);
        Ok(())
    }

    fn run(&mut self, program: usize, copy: u32) -> Result<(), EngineError> {
        self.inspect(program, copy, &mut |_, _, _| true)
    }

    fn inspect(&mut self, program: usize, copy: u32, look: &mut Look<'_>) -> Result<(), EngineError> {
        let steps = self.plan.schedule.programs[program].steps.clone();
        for step in steps.clone() {
            let node = self.plan.schedule.steps[step].node;
            // A node is run as a whole at its first step, and what died in any of its steps is
            // poisoned after its last.
            let first = step == steps.start || self.plan.schedule.steps[step - 1].node != node;
            let last = step + 1 == steps.end || self.plan.schedule.steps[step + 1].node != node;
            if first {
                self.run_node(step, copy);
            }
            if last && !self.show(step, node, steps.start, copy, look) {
                break;
            }
            if last {
                self.poison(step, node, steps.start);
            }
        }
        Ok(())
    }

    fn read(&mut self, slot: SlotId, copy: u32) -> Result<(), EngineError> {
        let bytes = self.bytes(self.plan.slot(slot, copy)).to_vec();
        self.read.push(bytes);
        Ok(())
    }

    fn submit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn results(&mut self, _: bool) -> Result<Vec<Vec<u8>>, EngineError> {
        Ok(std::mem::take(&mut self.read))
    }

    fn download(&mut self, slot: SlotId, copy: u32) -> Result<Vec<u8>, EngineError> {
        Ok(self.bytes(self.plan.slot(slot, copy)).to_vec())
    }

    fn held(&self) -> Option<Held> {
        None
    }
}

impl Host {
    /// Shows what the steps of `node` have written, of which `last` is the last; returns whether to go on.
    fn show(&self, last: usize, node: crate::ids::NodeId, from: usize, copy: u32, look: &mut Look<'_>) -> bool {
        let own = (from..=last).rev().take_while(|&s| self.plan.schedule.steps[s].node == node);
        let own: Vec<usize> = own.collect();
        own.into_iter().rev().all(|step| {
            self.plan.schedule.steps[step].accesses.iter().enumerate().all(|(i, access)| {
                let place = access.writes.and_then(|value| self.plan.value(value, copy));
                place.is_none_or(|place| look(step, i, self.bytes(place.within(&access.bytes))))
            })
        })
    }

    /// Poisons what died in the steps of `node`, of which `last` is the last.
    ///
    /// Outputs of the same node may already lie in bytes that died within it; those stay.
    fn poison(&mut self, last: usize, node: crate::ids::NodeId, from: usize) {
        let own = (from..=last).rev().take_while(|&s| self.plan.schedule.steps[s].node == node);
        let dead: Vec<&Placed> = own.flat_map(|s| &self.dying[s]).map(|&i| &self.plan.tenants[i]).collect();
        // Told by who lies there, for an output may have the very place of an input that died.
        let outputs = self.plan.graph[node].site.outputs.iter();
        let outlives = |o: &&ValueId| !dead.iter().any(|d| d.tenant.values.contains(o));
        let alive: Vec<Place> = outputs.filter(outlives).filter_map(|&o| self.plan.value(o, 0)).collect();
        let dead: Vec<Place> = dead.into_iter().map(|d| d.place).collect();
        for place in dead {
            let meets = |a: &Place| {
                a.arena == place.arena && a.offset < place.offset + place.bytes && place.offset < a.offset + a.bytes
            };
            if alive.iter().any(meets) {
                continue;
            }
            for word in self.bytes_mut(place).chunks_mut(4) {
                word.copy_from_slice(&POISON[..word.len()]);
            }
        }
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a plan run on the host fits in its memory")
}

/// The numbers that `bytes` stand for.
pub fn decode(bytes: &[u8], ty: &TensorType) -> Vec<f64> {
    match ty.dtype {
        DType::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect(),
        DType::U32 => bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect(),
        DType::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).into()).collect(),
    }
}

/// `numbers` as the device would hold them, each rounded once.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "storage is narrower by design")]
pub fn encode(numbers: &[f64], ty: &TensorType) -> Vec<u8> {
    match ty.dtype {
        DType::F32 => numbers.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
        DType::U32 => numbers.iter().flat_map(|&x| (x as u32).to_le_bytes()).collect(),
        DType::F16 => numbers.iter().flat_map(|&x| half::f16::from_f64(x).to_le_bytes()).collect(),
    }
}
