//! The plan's judge must see a wrong plan: mutations of the planner, each caught by the replay.

use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::host::Host;
use plimsoll::ids::ValueId;
use plimsoll::narrow::narrow;
use plimsoll::nn::Model;
use plimsoll::ops::matmul::{Layout as Factors, Matmul};
use plimsoll::ops::{Binary, ColumnSum, Scale, Sum};
use plimsoll::plan::lifetime::{Tenant, tenants};
use plimsoll::plan::place::{Interval, place};
use plimsoll::plan::replay::{Fault, Layout, replay};
use plimsoll::plan::{Arena, Place, Plan, Staging};
use plimsoll::target::Target;
use plimsoll::tensor::{DType, TensorType};
use plimsoll::training::{Optimizer, Task, Training};

fn training() -> Training {
    let model = Model::new().embedding(6).rnn(24).linear(10).tanh().output();
    Training {
        clip_norm: Some(1.0),
        optimizer: Optimizer::sgd(0.1, 0.9),
        ..Training::new(model, Task::next_token(13), 6).window(7).accumulate(2)
    }
}

fn plan() -> Plan {
    training().plan(&Target::profile("webgpu-default").unwrap()).unwrap().plan
}

/// The plan with its tenants placed anew from these intervals.
fn placed(plan: &Plan, tenants: &[Tenant], intervals: &[Interval], align: u64) -> Plan {
    let packing = place(intervals, align);
    let arena = plan.arenas.iter().position(|a| a.role == Role::Activation).unwrap();
    let mut plan = plan.clone();
    plan.arenas[arena].bytes = plan.arenas[arena].bytes.max(packing.arena_bytes);
    for (tenant, at) in tenants.iter().zip(&packing.placements) {
        for value in &tenant.values {
            let place = Place { arena: plimsoll::ids::ArenaId::at(arena), offset: at.offset, bytes: at.bytes };
            plan.values[value.index()] = Some(place);
        }
    }
    plan
}

fn judged(plan: &Plan) -> Result<(), Fault> {
    let layout = Layout { arenas: &plan.arenas, slots: &plan.slots, values: &plan.values, align: plan.target.align() };
    replay(&plan.graph, &plan.schedule, layout)
}

#[test]
fn a_right_plan_passes() {
    let plan = plan();
    judged(&plan).unwrap();
    let all = tenants(&plan.graph, &plan.schedule);
    let intervals: Vec<Interval> = all.iter().map(|t| t.interval).collect();
    judged(&placed(&plan, &all, &intervals, 256)).unwrap();
}

#[test]
fn a_life_one_step_short_is_caught() {
    let plan = plan();
    let all = tenants(&plan.graph, &plan.schedule);
    let mut shortened: Vec<Interval> = all.iter().map(|t| t.interval).collect();
    for interval in &mut shortened {
        // Every value dies one step early, those of a single step excepted.
        interval.end = (interval.end - 1).max(interval.start + 1);
    }
    let fault = judged(&placed(&plan, &all, &shortened, 256)).unwrap_err();
    assert!(matches!(fault, Fault::Overwritten { .. } | Fault::Alias { .. }), "{fault}");
}

#[test]
fn each_single_life_cut_short_is_caught_where_another_value_takes_its_bytes() {
    let plan = plan();
    let all = tenants(&plan.graph, &plan.schedule);
    let (mut caught, mut moved) = (0, 0);
    for cut in 0..all.len() {
        let mut intervals: Vec<Interval> = all.iter().map(|t| t.interval).collect();
        if intervals[cut].end - intervals[cut].start < 2 {
            continue;
        }
        intervals[cut].end -= 1;
        let mutant = placed(&plan, &all, &intervals, 256);
        // Two values alive at once in the same bytes: that is wrong, whoever says so.
        let place_of = |i: usize| mutant.values[all[i].values[0].index()].unwrap();
        let wrong = (0..all.len()).filter(|&i| i != cut).any(|i| {
            let (a, b) = (place_of(i), place_of(cut));
            let shared = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            let (x, y) = (all[i].interval, all[cut].interval);
            shared && x.start < y.end && y.start < x.end
        });
        moved += usize::from(wrong);
        let verdict = judged(&mutant);
        assert_eq!(verdict.is_err(), wrong, "tenant {cut}: {verdict:?}");
        caught += usize::from(verdict.is_err());
    }
    assert!(caught > 0 && caught == moved, "{caught} of {moved}");
}

#[test]
fn an_ignored_alignment_is_caught() {
    let plan = plan();
    let all = tenants(&plan.graph, &plan.schedule);
    let intervals: Vec<Interval> = all.iter().map(|t| t.interval).collect();
    let fault = judged(&placed(&plan, &all, &intervals, 4)).unwrap_err();
    assert!(matches!(fault, Fault::Misaligned { .. }), "{fault}");
}

#[test]
fn an_output_over_a_living_input_is_caught() {
    let plan = plan();
    let mut caught = 0;
    for step in &plan.schedule.steps {
        let in_place = plan.graph[step.node].op.rule().in_place();
        let site = &plan.graph[step.node].site;
        for (o, &output) in site.outputs.iter().enumerate() {
            for (i, &input) in site.inputs.iter().enumerate() {
                let transient = |v: ValueId| plan.graph[v].home.is_none() && plan.values[v.index()].is_some();
                let allowed = in_place.iter().any(|p| p.output == o && p.input == i);
                if allowed || !transient(output) || !transient(input) {
                    continue;
                }
                let mut mutant = plan.clone();
                let onto = mutant.values[input.index()].unwrap();
                mutant.values[output.index()] = Some(Place { bytes: plan.graph[output].ty.bytes(), ..onto });
                assert!(judged(&mutant).is_err(), "{output} over {input} in {:?}", plan.graph[step.node].op);
                caught += 1;
            }
        }
    }
    assert!(caught > 10, "{caught} mutants");
}

/// The losses of three windows, run on the host as the plan says.
fn losses_on_host(plan: Plan) -> Vec<f32> {
    let planned = training().plan(&plan.target).unwrap();
    let handles = planned.handles;
    let (first, update) = (plan.program("first").unwrap(), plan.program("update").unwrap());
    let mut host = Host::new(plan);
    for parameter in &handles.parameters {
        let drawn = parameter.draw(1);
        let slot = handles.parameter_slots[parameter.group];
        host.upload(slot, 0, parameter.offset, bytemuck::cast_slice(&drawn)).unwrap();
    }
    let ids: Vec<u32> = (0..21).map(|i| i * 5 % 13).collect();
    for slot in &handles.fields {
        host.upload(*slot, 0, 0, bytemuck::cast_slice(&ids)).unwrap();
    }
    for (into, derived) in &handles.derived {
        let numbers = derived.how.compute(&ids[derived.elements.clone()]);
        host.upload(*into, 0, 0, bytemuck::cast_slice(&numbers)).unwrap();
    }
    host.upload(handles.loss_scale, 0, 0, &(1.0f32 / 21.0).to_le_bytes()).unwrap();
    host.upload(handles.scalars, 0, 0, bytemuck::cast_slice(&[0.1f32, 1.0, 1.0, 0.9, 0.0, 0.0, 0.0, 0.0])).unwrap();
    let scaler = handles.scaler.unwrap();
    host.upload(scaler, 0, 0, bytemuck::cast_slice(&[1.0f32, 0.0, 0.0, 0.0])).unwrap();
    for _ in 0..3 {
        host.run(first, 0).unwrap();
        host.run(update, 0).unwrap();
        host.read(handles.loss, 0).unwrap();
    }
    let losses = host.results(true).unwrap();
    losses.iter().map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn on_the_host_a_wrong_plan_shows_in_its_numbers() {
    let plan = plan();
    let right = losses_on_host(plan.clone());
    assert!(right.iter().all(|l| l.is_finite()) && right[2] < right[0], "{right:?}");
    let all = tenants(&plan.graph, &plan.schedule);
    let mut shortened: Vec<Interval> = all.iter().map(|t| t.interval).collect();
    for interval in &mut shortened {
        interval.end = interval.start + (interval.end - interval.start).div_ceil(2);
    }
    let mut mutant = placed(&plan, &all, &shortened, 256);
    for (placed, value) in mutant.tenants.iter_mut().zip(&all) {
        placed.place = mutant.values[value.values[0].index()].unwrap();
    }
    let wrong = losses_on_host(mutant);
    assert!(right.iter().zip(&wrong).any(|(a, b)| a.to_bits() != b.to_bits()), "{wrong:?}");
}

/// `y = x2 w + x2` with the last operand to be added to in place, though it is a factor too.
fn square(protected: bool) -> Plan {
    let mut graph = Graph::default();
    graph.begin("program");
    let square = TensorType::f32(&[20, 20]);
    let [x, w] = ["x", "w"].map(|name| graph.held(name, Role::Input, square.clone(), 1));
    let x2 = graph.apply_one(Scale { factor: 2.0 }, &[x]).unwrap();
    let op = Matmul { accumulate: true, ..Matmul::new(Factors::Nn) };
    let y = graph.apply_one(op, &[x2, w, x2]).unwrap();
    let slot = graph.slot("y", Role::Result, square.bytes(), 1);
    let y = graph.apply_one(Scale { factor: 1.0 }, &[y]).unwrap();
    graph.store(y, slot, 0);
    if protected {
        graph.protect();
    }
    Plan::new(graph, &Target::profile("webgpu-default").unwrap(), Staging::for_traffic(0, 0, 0, u64::MAX))
}

#[test]
fn a_factor_that_is_overwritten_is_caught_and_protected_by_a_copy() {
    assert!(matches!(judged(&square(false)), Err(Fault::Alias { .. })));
    judged(&square(true)).unwrap();
}

/// `row (8)` in full, added to both rows of `a (2, 8)` in halves, which is needed afterwards.
fn row_onto_halves() -> Plan {
    let mut graph = Graph::default();
    graph.begin("program");
    let [x, w] = [[2, 8], [2, 2]].map(|shape| graph.held("given", Role::Input, TensorType::f32(&shape), 1));
    let product = |graph: &mut Graph, y| graph.apply_one(Matmul::new(Factors::Nn), &[w, y]).unwrap();
    let a = product(&mut graph, x);
    let row = graph.apply_one(ColumnSum { accumulate: false }, &[x]).unwrap();
    let sum = graph.apply_one(Binary::Add, &[a, row]).unwrap();
    let both = graph.apply_one(Binary::Mul, &[sum, a]).unwrap();
    let last = product(&mut graph, both);
    let slot = graph.slot("last", Role::Result, 64, 1);
    graph.store(last, slot, 0);
    graph.protect();
    narrow(&mut graph, |_, _| false);
    let [of_row, of_sum] = [row, sum].map(|v| &graph[v].ty);
    assert_eq!((of_row.bytes(), of_row.dtype), (of_sum.bytes(), DType::F32), "as many bytes, of other elements");
    assert_eq!(of_sum.dtype, DType::F16);
    Plan::new(graph, &Target::profile("webgpu-default").unwrap(), Staging::for_traffic(0, 0, 0, u64::MAX))
}

#[test]
fn halves_do_not_take_the_bytes_of_a_row_in_full_and_it_is_seen_if_they_do() {
    let plan = row_onto_halves();
    judged(&plan).unwrap();
    let step = plan.schedule.steps.iter().find(|s| plan.graph[s.node].op == Binary::Add.into()).unwrap();
    let (row, sum) = (plan.graph[step.node].site.inputs[1], plan.graph[step.node].site.outputs[0]);
    assert_ne!(plan.values[row.index()], plan.values[sum.index()]);
    let mut mutant = plan.clone();
    mutant.values[sum.index()] = plan.values[row.index()];
    assert!(matches!(judged(&mutant), Err(Fault::Alias { .. })));
}

#[test]
fn a_value_accumulated_in_two_places_or_read_elsewhere_is_itself_left_alone() {
    let mut graph = Graph::default();
    graph.begin("program");
    let one = TensorType::f32(&[1]);
    let x = graph.held("x", Role::Input, one.clone(), 1);
    let y = graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[x]).unwrap();
    let twice = graph.apply_one(Scale { factor: 2.0 }, &[y]).unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| graph.slot(name, Role::Result, 4, 1));
    graph.accumulate(y, a, 0);
    graph.accumulate(y, b, 0);
    graph.accumulate(twice, b, 0);
    graph.store(twice, c, 0);
    graph.protect();
    let plan = Plan::new(graph, &Target::profile("webgpu-default").unwrap(), Staging::for_traffic(0, 0, 0, u64::MAX));
    judged(&plan).unwrap();
    let mut host = Host::new(plan);
    let slots: Vec<_> = host.plan().graph.slot_ids().collect();
    for (slot, start) in slots.iter().zip([4f32, 100.0, 1000.0, 0.0]) {
        host.upload(*slot, 0, 0, &start.to_le_bytes()).unwrap();
    }
    host.run(0, 0).unwrap();
    let held: Vec<f32> =
        slots.iter().map(|s| host.download(*s, 0).unwrap().try_into().map(f32::from_le_bytes).unwrap()).collect();
    assert_eq!(held, [4.0, 104.0, 1012.0, 8.0]);
}

#[test]
fn a_value_over_a_slot_is_caught() {
    let plan = plan();
    let slot = plan.slots[0].place;
    let value = plan.tenants[0].tenant.values[0];
    let mut mutant = plan.clone();
    mutant.values[value.index()] = Some(Place { bytes: plan.graph[value].ty.bytes(), ..slot });
    assert!(judged(&mutant).is_err());
}

#[test]
fn slots_that_share_bytes_are_caught() {
    let mut mutant = plan();
    mutant.slots[1].place = mutant.slots[0].place;
    assert!(matches!(judged(&mutant), Err(Fault::Crowded { .. })));
}

#[test]
fn a_binding_past_the_end_of_its_arena_is_caught() {
    let mut mutant = plan();
    let arena = mutant.arenas.iter().position(|a| a.role == Role::Activation).unwrap();
    mutant.arenas[arena] = Arena { bytes: mutant.arenas[arena].bytes / 2, ..mutant.arenas[arena] };
    assert!(matches!(judged(&mutant), Err(Fault::Outside { .. })));
}

#[test]
fn parameters_that_a_dispatch_would_not_find_are_caught() {
    let mut target = Target::profile("lavapipe").unwrap();
    target.limits.max_immediate_size = 0;
    let plan = training().plan(&target).unwrap().plan;
    plan.replay().unwrap();
    let caught = |change: &dyn Fn(&mut Plan)| {
        let mut mutant = plan.clone();
        change(&mut mutant);
        assert!(matches!(mutant.replay(), Err(Fault::Parameters { .. })), "{:?}", mutant.replay());
    };
    let arena = plan.uniforms.arena.unwrap().index();
    caught(&|plan| plan.uniforms.stride += 16);
    caught(&|plan| plan.uniforms.stride /= 2);
    caught(&|plan| plan.arenas[arena].bytes -= 16);
    caught(&|plan| plan.uniforms.arena = None);
    // Another dispatch has the same, and now needs others.
    let params = |step: usize| &plan.schedule.steps[step].dispatch.params;
    let again = (1..plan.schedule.steps.len()).find(|&step| (0..step).any(|before| params(before) == params(step)));
    caught(&|plan| plan.schedule.steps[again.unwrap()].dispatch.params[0] ^= 1);
    let other = Training { window: training().window + 1, ..training() }.plan(&target).unwrap().plan.uniforms;
    caught(&|plan| plan.uniforms = other.clone());
    let carried = training().plan(&Target::profile("lavapipe").unwrap()).unwrap().plan.uniforms;
    caught(&|plan| plan.uniforms = carried.clone());
}

#[test]
fn training_steps_are_packed_at_the_lower_bound() {
    for target in Target::shipped().map(|name| Target::profile(name).unwrap()) {
        for (batch, window, accumulate) in [(6, 7, 2), (1, 1, 1), (16, 32, 1), (12, 3, 4)] {
            let training = Training { batch, window, accumulate, ..training() };
            let plan = training.plan(&target).unwrap().plan;
            assert_eq!(plan.planned_bytes(), plan.lower_bound_bytes(), "{batch} {window} {accumulate}");
            plan.replay().unwrap();
        }
    }
}

#[test]
fn evaluation_and_sampling_never_raise_the_peak_of_the_shared_memory() {
    let target = Target::profile("webgpu-default").unwrap();
    let shared = |training: Training| {
        let plan = training.plan(&target).unwrap().plan;
        plan.roles().into_iter().find(|(role, _)| *role == Role::Activation).unwrap().1
    };
    let with = shared(training());
    let without = shared(Training { evaluate: false, sample: false, ..training() });
    assert_eq!(with, without);
}

#[test]
fn memory_does_not_depend_on_what_the_loss_or_the_text_is() {
    let target = Target::profile("webgpu-default").unwrap();
    let once = training().plan(&target).unwrap().plan.planned_bytes();
    assert_eq!(once, Training { seed: 9, ..training() }.plan(&target).unwrap().plan.planned_bytes());
}
