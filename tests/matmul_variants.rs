//! Every kernel that can multiply matrices on the device, forced in turn, against plain loops in `f64`.
//!
//! Which one a product gets is chosen by what the device says it is, so that most of them would run
//! on no machine of those that tests run on, or at no size that reaches past their edges.

#![allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]

mod common;

use common::difference;
use half::f16;
use plimsoll::device::{Device, DeviceEngine};
use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::ids::{NodeId, SlotId, ValueId};
use plimsoll::ops::matmul::kernel::{Epilogue, Extra, Operands, Product, Variant, Width, dispatch_with, variants};
use plimsoll::ops::{Binding, Dispatch, Fill, Function, Layout, Operand};
use plimsoll::plan::{Plan, Staging};
use plimsoll::random::{Purpose, Stream};
use plimsoll::schedule::{Access, Step};
use plimsoll::target::{DeviceKind, Target};
use plimsoll::tensor::{DType, TensorType};

/// Rounding of `f32` sums of up to 20 terms of size 1, of more in proportion, and of exp and tanh on the device; 6.2e-7 is
/// the worst seen.
const TOLERANCE: f64 = 2e-6;

/// Elements behind each operand, which nothing may write.
const BEHIND: u64 = 3;

/// A product whose operands lie somewhere in their slots.
#[derive(Debug)]
struct Case {
    product: Product,
    /// Elements in front of `a`, `b`, `extra` and `c`.
    starts: [u64; 4],
    /// Whether the factors are kept in halves.
    halves: bool,
}

impl Case {
    fn dtypes(&self) -> [DType; 4] {
        let factor = if self.halves { DType::F16 } else { DType::F32 };
        [factor, factor, DType::F32, DType::F32]
    }
}

const LAYOUTS: [Layout; 3] = [Layout::Nn, Layout::Nt, Layout::Tn];

/// Products that reach past the edges of every tile, in rows, columns and depth, and that fill none.
/// Those of the first kind are for kernels that load element by element, the others for all.
fn cases(halves: bool) -> Vec<Case> {
    let epilogue = |accumulate, extra, function| Epilogue { accumulate, extra, function };
    let linear = epilogue(true, Extra::Bias, Function::Tanh);
    let slope = epilogue(true, Extra::Slope, Function::Sigmoid);
    let plain = Epilogue::default();
    let mut all = Vec::new();
    for layout in LAYOUTS {
        let mut add = |extents, starts, epilogue| {
            all.push(Case { product: Product::new(layout, extents, epilogue), starts, halves });
        };
        add([67, 69, 19], [1, 2, 3, 5], linear);
        add([1, 1, 1], [5, 3, 2, 1], slope);
        // No row of `Tn` is as long as k, and no row of the others as long as m.
        let (m, k, few) = if layout == Layout::Tn { (68, 19, [4, 4, 1]) } else { (67, 20, [1, 4, 4]) };
        add([m, 68, k], [4, 8, 12, 20], slope);
        add([m, 68, k], [20, 12, 8, 4], linear);
        add(few, [0; 4], plain);
        add([m, 68, 0], [8, 4, 20, 12], slope);
        // Narrow ones, and of more terms than lie in shared memory at once.
        add([m, 20, k], [12, 8, 4, 20], slope);
        add([m, 20, k], [8, 4, 20, 12], linear);
        add([36, 20, 268], [4, 20, 8, 12], linear);
        add([m, 20, 0], [4, 8, 12, 20], linear);
        // A left factor that is some columns of a wider matrix.
        let strided = Product::new(layout, [m, 68, k], plain);
        all.push(Case { product: strided.with_stride(strided.a_stride + 8), starts: [4, 8, 12, 20], halves });
        let narrow = Product::new(layout, [m, 20, k], plain);
        all.push(Case { product: narrow.with_stride(narrow.a_stride + 4), starts: [8, 4, 12, 20], halves });
    }
    all
}

/// `c` after the product.
fn expected(product: &Product, [a, b, extra, c]: [&[f64]; 4]) -> Vec<f64> {
    let Product { layout, epilogue, .. } = product;
    let [m, n, depth, stride] = [product.m, product.n, product.k, product.a_stride].map(|extent| extent as usize);
    let of_a = |row: usize, k: usize| if *layout == Layout::Tn { a[k * stride + row] } else { a[row * stride + k] };
    let of_b = |k: usize, col: usize| if *layout == Layout::Nt { b[col * depth + k] } else { b[k * n + col] };
    let of_c = |row: usize, col: usize| {
        let old = if epilogue.accumulate { c[row * n + col] } else { 0.0 };
        let sum = old + (0..depth).map(|k| of_a(row, k) * of_b(k, col)).sum::<f64>();
        match epilogue.extra {
            Extra::None => epilogue.function.value(sum),
            Extra::Bias => epilogue.function.value(sum + extra[col]),
            Extra::Slope => sum * epilogue.function.slope(extra[row * n + col]),
        }
    };
    (0..m * n).map(|i| of_c(i / n, i % n)).collect()
}

/// Elements of `a`, `b`, `extra` and `c`. What is not there has some all the same, for something is bound.
fn lengths(product: &Product) -> [u64; 4] {
    let [m, n, k, stride] = [product.m, product.n, product.k, product.a_stride].map(u64::from);
    let rows = if product.layout == Layout::Tn { k } else { m };
    let extra = if product.epilogue.extra == Extra::Bias { n } else { m * n };
    [(rows * stride).max(4), (k * n).max(4), extra, m * n]
}

/// The content of each operand's slot, the elements in front of it and behind it included.
fn slots_of(case: &Case) -> [Vec<f32>; 4] {
    let mut stream = Stream::new(11, Purpose::Data, 0);
    let lengths = lengths(&case.product);
    std::array::from_fn(|i| {
        let len = case.starts[i] + lengths[i] + BEHIND;
        let half = case.dtypes()[i] == DType::F16;
        let rounded = |x: f32| if half { f16::from_f32(x).to_f32() } else { x };
        (0..len).map(|_| rounded(stream.uniform(-1.0, 1.0))).collect()
    })
}

/// What the slot of `c` holds afterwards.
fn wanted(case: &Case) -> Vec<f64> {
    let slots = slots_of(case).map(|slot| slot.into_iter().map(f64::from).collect::<Vec<_>>());
    let starts = case.starts.map(|start| start as usize);
    let made = expected(&case.product, std::array::from_fn(|i| &slots[i][starts[i]..]));
    let [.., mut c] = slots;
    c[starts[3]..][..made.len()].copy_from_slice(&made);
    c
}

/// The dispatch of a case by this kernel, with its operands as inputs 0 to 3 and output 0.
fn forced(variant: Variant, case: &Case, target: &Target) -> Dispatch {
    let lengths = lengths(&case.product);
    let dtypes = case.dtypes();
    let bytes = |i: usize| {
        let each = dtypes[i].bytes();
        each * case.starts[i]..each * (case.starts[i] + lengths[i])
    };
    let Epilogue { accumulate, extra, .. } = case.product.epilogue;
    let read = |i| Binding::read(Operand::Input(i), bytes(i));
    let operands = Operands {
        a: read(0),
        b: read(1),
        extra: (extra != Extra::None).then(|| read(2)),
        c: match accumulate {
            true => Binding::update(Operand::Input(3), Operand::Output(0), bytes(3)),
            false => Binding::write(Operand::Output(0), bytes(3)),
        },
        // What is not there is bound to something that is.
        dtypes: if extra == Extra::None { [dtypes[0], dtypes[1], dtypes[0], dtypes[3]] } else { dtypes },
    };
    dispatch_with(variant, &case.product, target, operands)
}

/// The dispatch with the values it binds. `c` is one value, for it lies in one slot before and after.
fn step(node: NodeId, dispatch: Dispatch, values: [ValueId; 4]) -> Step {
    let value = |operand| match operand {
        Operand::Input(i) => values[i],
        Operand::Output(_) => values[3],
    };
    let accesses = dispatch.bindings.iter().map(|binding| Access {
        reads: binding.reads.map(value),
        writes: binding.writes.map(value),
        bytes: binding.bytes.clone(),
        slack: binding.slack,
        texture_row: binding.texture_row,
        texture_kept: binding.texture_kept,
    });
    Step { node, accesses: accesses.collect(), dispatch }
}

/// One case made by one kernel.
struct Run {
    case: usize,
    kernel: Variant,
    /// Where it leaves `c`.
    slot: SlotId,
}

/// What is to run, and what lies in the slots before.
#[derive(Default)]
struct Script {
    graph: Graph,
    content: Vec<(SlotId, Vec<u8>)>,
    steps: Vec<Step>,
    runs: Vec<Run>,
}

impl Script {
    /// Every case by every kernel that fits it, each into a slot of its own.
    fn new(cases: &[Case], kernels: &[Variant], target: &Target) -> Self {
        let mut script = Self::default();
        script.graph.begin("products");
        // Every step belongs to a node, but no op makes dispatches like these.
        script.graph.apply_one(Fill { value: 0.0, shape: vec![1] }, &[]).unwrap();
        let node = script.graph.current_nodes()[0];
        for (i, case) in cases.iter().enumerate() {
            let slots = slots_of(case);
            let [a, b, extra] =
                [0, 1, 2].map(|operand| script.hold(Role::Input, &slots[operand], case.dtypes()[operand]));
            let most = target.limits.max_compute_workgroups_per_dimension;
            let fits =
                |kernel: &&Variant| kernel.fits(&case.product) && case.product.n.div_ceil(kernel.tile()[0]) <= most;
            for &kernel in kernels.iter().filter(fits) {
                let c = script.hold(Role::Result, &slots[3], DType::F32);
                script.steps.push(step(node, forced(kernel, case, target), [a, b, extra, c]));
                let slot = script.graph[c].home.unwrap().slot;
                script.runs.push(Run { case: i, kernel, slot });
            }
        }
        script
    }

    fn hold(&mut self, role: Role, numbers: &[f32], dtype: DType) -> ValueId {
        let ty = TensorType { dtype, ..TensorType::f32(&[numbers.len() as u32]) };
        let value = self.graph.held("operand", role, ty, 1);
        let mut bytes: Vec<u8> = match dtype {
            DType::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            _ => bytemuck::cast_slice(numbers).to_vec(),
        };
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.content.push((self.graph[value].home.unwrap().slot, bytes));
        value
    }

    /// What each run leaves in its slot.
    fn play(self, device: &Device, target: &Target) -> Vec<(Run, Vec<f32>)> {
        let plan = Plan::new(self.graph, target, Staging::for_traffic(1 << 20, 1 << 16, 0, u64::MAX));
        let plan = plan.running(self.steps);
        assert_eq!(plan.violations(None), []);
        plan.replay().unwrap();
        let mut engine = DeviceEngine::new(device, plan).unwrap();
        for (slot, bytes) in &self.content {
            engine.upload(*slot, 0, 0, bytes).unwrap();
        }
        engine.run(0, 0).unwrap();
        let mut left = |run: Run| {
            let bytes = engine.download(run.slot, 0).unwrap();
            (run, bytemuck::pod_collect_to_vec(&bytes))
        };
        self.runs.into_iter().map(&mut left).collect()
    }
}

/// What is wrong with what the runs of one case left.
fn mistakes(case: &Case, left: &[&(Run, Vec<f32>)], device: &Target) -> Vec<String> {
    let wanted = wanted(case);
    let start = case.starts[3] as usize;
    let made = start..start + lengths(&case.product)[3] as usize;
    let outside = |numbers: &[f64]| [&numbers[..made.start], &numbers[made.end..]].concat();
    let mut mistakes = Vec::new();
    for (Run { kernel, .. }, found) in left {
        let numbers: Vec<f64> = found.iter().copied().map(f64::from).collect();
        let off = difference(&numbers, &wanted);
        if off >= TOLERANCE * (f64::from(case.product.k) / 20.0).max(1.0) {
            mistakes.push(format!("{kernel:?} is off by {off:.1e} in {case:?}"));
        }
        if outside(&numbers) != outside(&wanted) {
            mistakes.push(format!("{kernel:?} writes beside its operand in {case:?}"));
        }
    }
    // A graphics processor's compiler may contract what is around `fma` otherwise in each kernel.
    if mistakes.is_empty() && device.device_kind == DeviceKind::Cpu {
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let (first, reference) = left[0];
        // Parts of a sum are added up in another order.
        let whole = |kernel: &Variant| !matches!(kernel, Variant::Tiled { tiling, .. } if tiling.parts > 1);
        let others = left.iter().filter(|(run, found)| whole(&run.kernel) && bits(found) != bits(reference));
        mistakes.extend(
            others.map(|(run, _)| format!("{:?} rounds otherwise than {:?} in {case:?}", run.kernel, first.kernel)),
        );
    }
    mistakes
}

/// What every kernel for factors kept so makes, against plain loops.
fn check(device: &Device, halves: bool) {
    // Where bindings start at coarse steps, kernels are told to skip the most.
    let mut target = device.target().clone();
    target.limits.min_storage_buffer_offset_alignment = 256;
    // And where few workgroups stand in one dimension, rows of tiles go on in the next; the narrowest tiles,
    // those of four lanes, are five beside one another.
    target.limits.max_compute_workgroups_per_dimension = 5;
    let pretended =
        Target { device_kind: DeviceKind::Discrete, subgroup_min_size: 0, subgroup_max_size: 0, ..target.clone() };
    let mut kernels = variants(&target, halves);
    let others = variants(&pretended, halves);
    kernels.extend(others.into_iter().filter(|kernel| !variants(&target, halves).contains(kernel)));
    // A software adapter compiles each for a good part of a second, and halves that are loaded one by one are read by
    // the same few functions in every kernel, of which the ops' specimens get some.
    if halves && target.device_kind == DeviceKind::Cpu {
        kernels.retain(|kernel| kernel.width() == Width::Four);
    }
    let cases = cases(halves);
    let left = Script::new(&cases, &kernels, &target).play(device, &target);
    for (kernel, layout) in kernels.iter().flat_map(|kernel| LAYOUTS.map(|layout| (kernel, layout))) {
        let of_both = |(run, _): &&(Run, _)| run.kernel == *kernel && cases[run.case].product.layout == layout;
        let fitting = cases.iter().filter(|case| case.product.layout == layout && kernel.fits(&case.product)).count();
        assert!(fitting == 0 || left.iter().filter(of_both).count() >= 4, "{kernel:?} fits too few of {layout:?}");
    }
    let of_case = |i: usize| left.iter().filter(|(run, _)| run.case == i).collect::<Vec<_>>();
    let made = cases.iter().enumerate().map(|(i, case)| (case, of_case(i))).filter(|(_, left)| !left.is_empty());
    let mistakes: Vec<_> = made.flat_map(|(case, left)| mistakes(case, &left, device.target())).collect();
    assert!(mistakes.is_empty(), "halves {halves}, of {} runs:\n{}", left.len(), mistakes.join("\n"));
}

// Two tests, of a device each: software adapters compile a kernel when it first runs, on one processor.

#[test]
fn every_kernel_for_products_makes_every_product_it_fits_and_all_agree() {
    check(&Device::open().unwrap(), false);
}

#[test]
fn every_kernel_for_products_of_halves_makes_every_product_it_fits_and_all_agree() {
    check(&Device::open().unwrap(), true);
}
