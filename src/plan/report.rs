//! A plan in numbers that people read: by layer, at the peak.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Serialize;

use super::{Placed, Plan};
use crate::graph::{Node, Role, Value};
use crate::ids::{SlotId, ValueId};
use crate::schedule::touched;

/// Something that is in memory at the peak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeakTenant {
    /// What it is, with its layer and shape.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Size, padding included where it stands alone.
    pub bytes: u64,
}

/// The moment when the most is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// The program.
    pub program: &'static str,
    /// Its dispatch, counted from 1.
    pub dispatch: usize,
    /// Bytes of all that is made on the way and alive then.
    pub activation_bytes: u64,
}

/// A layer's share of the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerBytes {
    /// The layer's name.
    pub layer: String,
    /// Its weights and biases.
    pub parameters: u64,
    /// Their gradients.
    pub gradients: u64,
    /// What the optimizer remembers of them.
    pub optimizer_state: u64,
    /// State carried from window to window, all phases together.
    pub carried_state: u64,
    /// What is alive of it at the peak.
    pub activations: u64,
    /// What its forward pass leaves for the backward pass.
    pub kept: u64,
    /// The tensor that its forward pass makes last, its output over all timesteps and rows. What a
    /// recurrent layer keeps is so many *slots* of this size.
    pub output: u64,
}

impl Plan {
    /// Everything in memory when the most is, the largest first; padding is left out.
    pub fn peak_tenants(&self) -> Vec<PeakTenant> {
        let spans = touched(&self.schedule.steps);
        let mut all: Vec<PeakTenant> = self.graph.slot_ids().flat_map(|s| self.slot_tenants(s)).collect();
        all.extend(self.alive_at_peak().map(|placed| PeakTenant {
            name: self.tenant_name(placed, self.tenants_bound.1, &spans),
            role: Role::Activation,
            bytes: placed.place.bytes,
        }));
        let name = "upload and readback rings (staging)".to_string();
        all.push(PeakTenant { name, role: Role::Staging, bytes: self.staging.bytes() });
        let name = "parameters of dispatches (uniforms)".to_string();
        all.extend(self.uniforms.arena.map(|_| PeakTenant {
            name,
            role: Role::Uniforms,
            bytes: self.uniforms.bytes(),
        }));
        let name = "what kernels read (texture)".to_string();
        all.extend(self.texture.arena.map(|_| PeakTenant { name, role: Role::Texture, bytes: self.texture.bytes() }));
        all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        all
    }

    /// The first moment when the most is alive; none where nothing is made on the way. What lies in memory then is
    /// told by [`Plan::peak_tenants`].
    pub fn peak(&self) -> Option<Peak> {
        let (activation_bytes, step) = (self.tenants_bound.0, self.tenants_bound.1 as usize);
        let program = self.schedule.programs.iter().find(|p| p.steps.contains(&step))?;
        Some(Peak { program: program.name, dispatch: step - program.steps.start + 1, activation_bytes })
    }

    /// Memory by layer, in the order the layers first appear.
    pub fn layers(&self) -> Vec<LayerBytes> {
        let mut layers: Vec<LayerBytes> = Vec::new();
        let mut index: BTreeMap<String, usize> = BTreeMap::new();
        let mut at = |name: &str| {
            *index.entry(name.to_string()).or_insert_with(|| {
                layers.push(LayerBytes { layer: name.to_string(), ..LayerBytes::default() });
                layers.len() - 1
            })
        };
        let mut shares: Vec<(usize, Role, u64)> = Vec::new();
        let mut keeps: Vec<(usize, u64, u64)> = Vec::new();
        for slot in self.graph.slot_ids().map(|s| &self.graph[s]) {
            shares.extend(slot.parts.iter().map(|p| (at(layer_of(&p.name)), slot.role, p.bytes)));
            if matches!(slot.role, Role::CarriedState | Role::Activation) {
                shares.push((at(layer_of(&slot.name)), slot.role, slot.bytes * u64::from(slot.copies)));
            }
        }
        for placed in self.alive_at_peak() {
            let label = &self.graph[placed.tenant.values[0]].label;
            shares.push((at(label), Role::Activation, placed.place.bytes));
        }
        for (layer, kept, output) in self.kept() {
            let layer = at(layer);
            shares.push((layer, Role::Activation, 0));
            keeps.push((layer, kept, output));
        }
        for (layer, role, bytes) in shares {
            let layer = &mut layers[layer];
            match role {
                Role::Parameter => layer.parameters += bytes,
                Role::Gradient => layer.gradients += bytes,
                Role::OptimizerState => layer.optimizer_state += bytes,
                Role::CarriedState => layer.carried_state += bytes,
                _ => layer.activations += bytes,
            }
        }
        for (layer, kept, output) in keeps {
            layers[layer].kept += kept;
            layers[layer].output = output;
        }
        layers
    }

    /// Bytes of what `node` makes first; where that is a loss of what is only there in chunks, of all of these.
    fn output_bytes(&self, node: &Node) -> u64 {
        let ty = |v: &ValueId| &self.graph[*v].ty;
        let chunk = node.op.rule().rewrites().first().map(|&output| ty(&node.site.outputs[output]));
        match (chunk, node.site.inputs.first()) {
            (Some(chunk), Some(x)) => {
                let ((rows, _), (_, columns)) = (ty(x).as_matrix(), chunk.as_matrix());
                rows.saturating_mul(columns).saturating_mul(chunk.dtype.bytes())
            }
            _ => node.site.outputs.first().map_or(0, |o| ty(o).bytes()),
        }
    }

    /// For each layer, the bytes alive from its forward to its backward pass, and those of the last
    /// tensor its forward pass makes.
    fn kept(&self) -> Vec<(&str, u64, u64)> {
        let Some(turn) = self.turn() else { return Vec::new() };
        let mut found: Vec<(&str, u64, u64)> = Vec::new();
        for step in &self.schedule.steps[turn.steps.start..turn.at] {
            let node = &self.graph[step.node];
            let output = self.output_bytes(node);
            match found.iter_mut().find(|(label, ..)| *label == node.label) {
                Some((_, _, last)) => *last = output,
                None => found.push((&node.label, 0, output)),
            }
        }
        for Placed { tenant, place } in self.crossing(&turn) {
            let label = &self.graph[tenant.values[0]].label;
            if let Some((_, kept, _)) = found.iter_mut().find(|(l, ..)| l == label) {
                *kept = kept.saturating_add(place.bytes);
            }
        }
        found
    }

    /// How many of the values alive at the peak are such, by what lies there in the end, and their bytes.
    pub(crate) fn alive_at_peak_if(&self, such: impl Fn(&Value) -> bool) -> (usize, u64) {
        let spans = touched(&self.schedule.steps);
        let now = self.tenants_bound.1;
        let found = self.alive_at_peak().filter(|placed| such(&self.graph[held(placed, now, &spans)]));
        found.fold((0, 0), |(count, bytes), placed| (count + 1, bytes.saturating_add(placed.place.bytes)))
    }

    fn alive_at_peak(&self) -> impl Iterator<Item = &Placed> {
        let peak = self.tenants_bound.1;
        self.tenants.iter().filter(move |t| t.tenant.interval.start <= peak && peak < t.tenant.interval.end)
    }

    fn slot_tenants(&self, id: SlotId) -> Vec<PeakTenant> {
        let slot = &self.graph[id];
        let role = slot.role;
        if slot.parts.is_empty() {
            let copies = u64::from(slot.copies);
            let times = if copies > 1 { format!(", {copies} copies") } else { String::new() };
            let name = format!("{}{times} ({})", slot.name, role.name());
            return vec![PeakTenant { name, role, bytes: slot.bytes.saturating_mul(copies) }];
        }
        // Gradients and moments are laid out as the parameters are and bear their names.
        let of = if role == Role::Parameter { String::new() } else { format!(", {}", slot.name) };
        let tenant = |p: &crate::graph::Part| PeakTenant {
            name: format!("{}{of} ({})", p.name, role.name()),
            role,
            bytes: p.bytes,
        };
        slot.parts.iter().map(tenant).collect()
    }

    /// A tenant's layer, the op that made what it holds at step `now`, and the shape.
    pub(super) fn tenant_name(&self, placed: &Placed, now: u32, spans: &HashMap<ValueId, Range<u32>>) -> String {
        let value = &self.graph[held(placed, now, spans)];
        let op = value.producer.map_or("", |(node, _)| self.graph[node].op.rule().name());
        format!("{}: {op} {} ({})", value.label, value.ty, Role::Activation.name())
    }
}

/// Which of a tenant's values lies there at step `now`.
fn held(placed: &Placed, now: u32, spans: &HashMap<ValueId, Range<u32>>) -> ValueId {
    let made_by_then = |v: &&ValueId| spans.get(v).is_some_and(|s| s.start <= now);
    *placed.tenant.values.iter().rev().find(made_by_then).unwrap_or(&placed.tenant.values[0])
}

/// The layer in `LAYER.TENSOR`; a layer's own name may have dots in it.
fn layer_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _)| layer)
}
