//! When each value is alive, and which values share their bytes.
//!
//! Values that an op passes on in place form a *tenant*: one range of bytes, one live range that
//! begins with the first of them and ends with the last.
//!
//! ```text
//!            xp [======]
//!                      y [=========]         rnn writes y over xp
//! tenant        [==================]
//! ```

use std::collections::HashMap;
use std::ops::Range;

use super::place::Interval;
use crate::graph::Graph;
use crate::ids::{NodeId, ValueId};
use crate::ops::InPlace;
use crate::schedule::{Schedule, touched};

/// Values that live in the same bytes one after another, within one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The values, in the order they were made.
    pub values: Vec<ValueId>,
    /// When any of them is alive, and how large the largest is.
    pub interval: Interval,
}

/// The tenants of the memory that programs share: every value that has bytes of its own and no home
/// in a slot.
pub fn tenants(graph: &Graph, schedule: &Schedule) -> Vec<Tenant> {
    of_all_programs(graph, schedule, true)
}

/// The same with every value by itself, as if no op could work in place: what tells what that saves. No device could
/// run it, as some ops work no other way.
pub(crate) fn tenants_apart(graph: &Graph, schedule: &Schedule) -> Vec<Tenant> {
    of_all_programs(graph, schedule, false)
}

fn of_all_programs(graph: &Graph, schedule: &Schedule, in_place: bool) -> Vec<Tenant> {
    let spans = touched(&schedule.steps);
    let of_program = |steps: Range<usize>| {
        let mut nodes: Vec<_> = schedule.steps[steps].iter().map(|s| s.node).collect();
        nodes.dedup();
        program_tenants(graph, &nodes, |value| schedule.base(value).value, |value| spans.get(&value).cloned(), in_place)
    };
    schedule.programs.iter().flat_map(|program| of_program(program.steps.clone())).collect()
}

/// The tenants of a program that runs these `nodes`, told whose bytes a value shows, and from which step on and until
/// which it is touched, if it is.
pub(super) fn program_tenants(
    graph: &Graph,
    nodes: &[NodeId],
    base: impl Fn(ValueId) -> ValueId,
    span: impl Fn(ValueId) -> Option<Range<u32>>,
    in_place: bool,
) -> Vec<Tenant> {
    let mut tenants: Vec<Tenant> = Vec::new();
    let mut tenant_of: HashMap<ValueId, usize> = HashMap::new();
    for &node in nodes {
        let site = &graph[node].site;
        // Who reads a view reads what it shows, and the bytes to be had are those.
        let inputs: Vec<ValueId> = site.inputs.iter().map(|&i| base(i)).collect();
        let pairs = if in_place { graph[node].op.rule().in_place() } else { Vec::new() };
        for (position, &output) in site.outputs.iter().enumerate() {
            let (Some(span), None) = (span(output), graph[output].home) else { continue };
            let here = Interval { start: span.start, end: span.end, bytes: graph[output].ty.bytes() };
            let of_output: Vec<&InPlace> = pairs.iter().filter(|p| p.output == position).collect();
            // A value that the op reads twice can be overwritten only if it may be in both places.
            let everywhere = |input: ValueId| {
                let whole = |i: usize| graph[site.inputs[i]].ty.bytes() == here.bytes;
                let mut places = (0..inputs.len()).filter(|&i| inputs[i] == input);
                places.all(|i| whole(i) && of_output.iter().any(|p| p.input == i))
            };
            let heir = of_output
                .iter()
                .filter(|p| everywhere(inputs[p.input]))
                .find_map(|pair| inherited(graph, &tenants, &tenant_of, pair, [inputs[pair.input], output], here));
            let tenant = heir.unwrap_or_else(|| {
                tenants.push(Tenant { values: Vec::new(), interval: here });
                tenants.len() - 1
            });
            tenants[tenant].values.push(output);
            tenants[tenant].interval.end = tenants[tenant].interval.end.max(here.end);
            tenant_of.insert(output, tenant);
        }
    }
    tenants
}

/// The tenant whose bytes `output`, described by `here`, can take over from `input`.
fn inherited(
    graph: &Graph,
    tenants: &[Tenant],
    tenant_of: &HashMap<ValueId, usize>,
    pair: &InPlace,
    [input, output]: [ValueId; 2],
    here: Interval,
) -> Option<usize> {
    let &tenant = tenant_of.get(&input)?;
    let Tenant { values, interval } = &tenants[tenant];
    let (of_input, of_output) = (&graph[input].ty, &graph[output].ty);
    // A row in full may have as many bytes as two in halves, and no element of theirs in common.
    let alike = of_input.bytes() == of_output.bytes() && of_input.dtype == of_output.dtype;
    // The node that makes the output must be the last to touch the input, and may touch it only
    // until the output is there. A tenant already passed on has another last value.
    let last = values.last() == Some(&input) && interval.end <= last_step_of_reader(here, pair.must, interval.end);
    (alike && last).then_some(tenant)
}

/// The latest end an input may have for the output to lie on it.
///
/// An op that *must* work in place interleaves reads and writes over its own dispatches; the graph
/// has put a copy in front of it if anything later reads the input. One that *may* writes in a
/// single dispatch, which must be the last to read the input.
fn last_step_of_reader(output: Interval, must: bool, end: u32) -> u32 {
    if must { end } else { output.start + 1 }
}
