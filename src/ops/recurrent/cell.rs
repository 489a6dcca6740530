//! The dispatch of one timestep: a product's loop, whose sums a cell takes further.

use std::cell::RefCell;

use bytemuck::{cast_slice, pod_read_unaligned};

use super::textured::with_factors_in_texture;
use crate::ops::matmul::Layout;
use crate::ops::matmul::kernel::{Epilogue, Product, Tile, Variant, Width, choose_of, gated, variants};
use crate::ops::{Binding, Dispatch, Lowering, Operand, clamp};
use crate::shader;
use crate::shader::Shader;
use crate::target::{Rates, Target};

/// A cell, with a kernel for each family of products.
pub(super) struct Cell {
    /// How the recurrent product's factors lie.
    pub(super) layout: Layout,
    /// The recurrent weight.
    pub(super) weight: Operand,
    /// Gates that a thread sums for each unit; 0 where a thread's sums are of one kind.
    pub(super) gates: u32,
    /// How many of the first bindings are factors: the left one may lie in two places.
    pub(super) factors: usize,
    /// The gates among the bindings, which may be read from the texture before they are changed; `None` of a cell without.
    pub(super) changed: Option<usize>,
    /// These go through a window in one dispatch.
    pub(super) window_subgroup: Shader,
    pub(super) window_shared: Shader,
    subgroup: Shader,
    tiled: Shader,
    direct: Shader,
}

/// `gates = h Uᵀ`, then an LSTM's cell.
pub(super) const LSTM: Cell = Cell {
    layout: Layout::Nt,
    weight: Operand::Input(2),
    gates: 4,
    factors: 2,
    changed: Some(3),
    window_subgroup: shader!("lstm_window_subgroup"),
    window_shared: shader!("lstm_window_shared"),
    subgroup: shader!("lstm_subgroup"),
    tiled: shader!("lstm_tiled"),
    direct: shader!("lstm_direct"),
};

/// `dh = dgates U`, then an LSTM's cell backward.
pub(super) const LSTM_GRADIENT: Cell = Cell {
    layout: Layout::Nn,
    weight: Operand::Input(4),
    gates: 0,
    factors: 2,
    changed: Some(3),
    window_subgroup: shader!("lstm_gradient_window_subgroup"),
    window_shared: shader!("lstm_gradient_window_shared"),
    subgroup: shader!("lstm_gradient_subgroup"),
    tiled: shader!("lstm_gradient_tiled"),
    direct: shader!("lstm_gradient_direct"),
};

/// `gates = h Uᵀ`, then a GRU's cell.
pub(super) const GRU: Cell = Cell {
    layout: Layout::Nt,
    weight: Operand::Input(2),
    gates: 3,
    factors: 2,
    changed: Some(3),
    window_subgroup: shader!("gru_window_subgroup"),
    window_shared: shader!("gru_window_shared"),
    subgroup: shader!("gru_subgroup"),
    tiled: shader!("gru_tiled"),
    direct: shader!("gru_direct"),
};

/// `dh = dr|dz|dq U`, then a GRU's cell backward.
pub(super) const GRU_GRADIENT: Cell = Cell {
    layout: Layout::Nn,
    weight: Operand::Input(5),
    gates: 0,
    factors: 3,
    changed: Some(4),
    window_subgroup: shader!("gru_gradient_window_subgroup"),
    window_shared: shader!("gru_gradient_window_shared"),
    subgroup: shader!("gru_gradient_subgroup"),
    tiled: shader!("gru_gradient_tiled"),
    direct: shader!("gru_gradient_direct"),
};

/// `h Wᵀ`, then Elman's cell, for rows that end at lengths of their own.
pub(super) const ELMAN: Cell = Cell {
    layout: Layout::Nt,
    weight: Operand::Input(2),
    gates: 0,
    factors: 2,
    changed: None,
    window_subgroup: shader!("elman_window_subgroup"),
    window_shared: shader!("elman_window_shared"),
    subgroup: shader!("elman_subgroup"),
    tiled: shader!("elman_tiled"),
    direct: shader!("elman_direct"),
};

/// `dh = dp W`, then Elman's cell backward, for rows that end at lengths of their own.
pub(super) const ELMAN_GRADIENT: Cell = Cell {
    layout: Layout::Nn,
    weight: Operand::Input(2),
    gates: 0,
    factors: 2,
    changed: None,
    window_subgroup: shader!("elman_gradient_window_subgroup"),
    window_shared: shader!("elman_gradient_window_shared"),
    subgroup: shader!("elman_gradient_subgroup"),
    tiled: shader!("elman_gradient_tiled"),
    direct: shader!("elman_gradient_direct"),
};

/// There is a bias.
pub(super) const BIAS: u32 = 1;
/// There are lengths.
pub(super) const LENGTHS: u32 = 2;
/// A window is gone through from its last timestep to its first.
pub(super) const DOWN: u32 = 4;
/// The gradient of the state behind the window comes in.
pub(super) const BEHIND: u32 = 8;
/// A function's number stands from this bit on.
pub(super) const FUNCTION: u32 = 8;

/// Words of its parameters in front of those that tell where each operand begins.
const STARTS: usize = 6;

/// One timestep of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Rows, B.
    pub batch: u32,
    /// Units, H.
    pub hidden: u32,
    /// Terms of each sum; 0 where no timestep is next to this one.
    pub depth: u32,
    /// Elements from one row of the left factor to the next.
    pub stride: u32,
    /// [`BIAS`], [`LENGTHS`] and, from bit [`FUNCTION`] on, a function.
    pub flags: u32,
    /// The timestep, as lengths count it.
    pub t: u32,
}

/// The kernels of timesteps that were lowered before in the same window, by their depth and whether operands start at
/// quads: nothing else tells one timestep's from another's.
pub(super) struct Chosen {
    /// Timesteps that follow one another, with nothing else in between.
    times: u32,
    known: RefCell<Vec<(Like, Kernel)>>,
}

/// The depth of a timestep, and whether its operands start at quads.
type Like = (u32, bool);

/// A kernel, written out, and its workgroups.
type Kernel = (Variant, Shader, [u32; 3]);

/// Constants of a text that tell how numbers are stored, and what else does not depend on the kernel.
pub(super) type Stored = [(&'static str, u32)];

impl Chosen {
    /// None as yet, of so many timesteps that follow one another, with nothing else in between.
    pub(super) fn of(times: u32) -> Self {
        Self { times, known: RefCell::default() }
    }
}

impl Cell {
    /// The dispatch of a timestep, with what the cell binds, in that order; the factors come first.
    pub(super) fn dispatch<const N: usize>(&self, at: &Lowering, step: Step, bindings: [Binding; N]) -> Dispatch {
        let times = at.outputs[0].shape.first().copied().unwrap_or(1);
        self.dispatch_of(at, step, bindings, &Chosen::of(times))
    }

    /// The same in a window of which these kernels are `chosen` already.
    pub(super) fn dispatch_of<const N: usize>(
        &self,
        at: &Lowering,
        step: Step,
        bindings: [Binding; N],
        chosen: &Chosen,
    ) -> Dispatch {
        let like: Like = (step.depth, start_at_quads(at, &bindings));
        let known = chosen.known.borrow().iter().find(|(of, _)| *of == like).map(|(_, kernel)| kernel.clone());
        let (variant, shader, groups) = known.unwrap_or_else(|| {
            let stored = self.constants(at, step.flags);
            let variant = self.choose(step, chosen.times, at.target, like.1, &stored);
            let (shader, groups) = self.kernel(variant, step, at.target, &stored);
            chosen.known.borrow_mut().push((like, (variant, shader.clone(), groups)));
            (variant, shader, groups)
        });
        let mut bound = bindings.map(|binding| at.aligned(binding)).to_vec();
        if variant.is_textured() {
            let element_bytes: Vec<u64> = bound.iter().map(|(factor, _)| at.type_bound(factor).dtype.bytes()).collect();
            self.put_in_texture(&mut bound, &element_bytes, step.depth, shader.constant("HG") == Some(1));
        }
        let mut params = vec![step.batch, step.hidden, step.depth, step.stride, step.flags, step.t];
        params.extend(bound.iter().map(|(_, start)| start));
        Dispatch {
            shader,
            params: cast_slice(&params).to_vec(),
            groups,
            bindings: bound.into_iter().map(|(binding, _)| binding).collect(),
            tile: Some(with_cell(variant.work_on(at.target, step.depth))),
        }
    }

    /// The quickest kernel for a timestep, of so many that go through the same weight, where numbers are stored as
    /// `stored` says.
    fn choose(&self, step: Step, times: u32, target: &Target, at_quads: bool, stored: &Stored) -> Variant {
        // Where a kernel has its factors in the texture.
        let copied = |variant: Variant, product: &Product| {
            let [state, weight] = product.bytes_of_each();
            let gates = self.reads_gates_from_texture(variant, step, target, stored);
            let gates = if gates { self.gates_bytes(step) } else { 0 };
            state.saturating_add(weight / u64::from(times.max(1))).saturating_add(gates)
        };
        let product = self.product(step, 0);
        let has_room = |variant: &Variant| !variant.is_textured() || self.has_room(*variant, step, target);
        let all: Vec<Variant> = kernels(target).into_iter().filter(has_room).collect();
        let textured = all.iter().find(|variant| variant.is_textured());
        let of_all = textured.map_or(0, |textured| copied(*textured, &product));
        let plain = choose_of(&all, &product, of_all, target, at_quads);
        let by_fours = self.gates > 0 && at_quads && step.hidden.is_multiple_of(4);
        let of_gates = self.gated(target).filter(|variant| by_fours && variant.share(target).is_some());
        let of_gates = of_gates.filter(has_room);
        let rates = target.rates.unwrap_or(Rates::assumed());
        let cost = |variant: &Variant| {
            let product = self.product(step, self.gates_apart(*variant));
            let turns = (variant.tiles(&product) as f64 / rates.workgroups).max(1.0).ceil();
            let copying = variant.copying(&product, copied(*variant, &product), rates) as f64 / rates.workgroups;
            turns * f64::from(variant.work_on(target, step.depth).cost) + copying
        };
        let all = [plain].into_iter().chain(of_gates);
        all.min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("one at least")
    }

    /// The kernels of which each quad of a thread is of another gate, in buffers and in a texture.
    fn gated(&self, target: &Target) -> impl Iterator<Item = Variant> + use<> {
        let of_buffers: Vec<Variant> = gated(target, self.gates).filter(|_| self.gates > 0).collect();
        let textured: Vec<Variant> = of_buffers.iter().filter_map(|variant| variant.textured()).collect();
        of_buffers.into_iter().chain(textured)
    }

    /// How many quads of this kernel are each of another gate, if any.
    pub(super) fn gates_apart(&self, variant: Variant) -> u32 {
        if variant.quads() > 2 { self.gates } else { 0 }
    }

    /// The kernel that makes a timestep by this variant, where numbers are stored as `stored` says, and its workgroups.
    fn kernel(&self, variant: Variant, step: Step, target: &Target, stored: &Stored) -> (Shader, [u32; 3]) {
        let [tile_columns, tile_rows] = variant.tile();
        let apart = self.gates_apart(variant);
        let product = self.product(step, apart);
        let shader = match variant {
            Variant::Subgroup { .. } | Variant::Textured { .. } => &self.subgroup,
            Variant::Tiled { .. } | Variant::Cooperative { .. } => &self.tiled,
            Variant::Direct { .. } => &self.direct,
        };
        let mut constants = variant.constants(self.layout);
        if self.changed.is_some() {
            constants.push(("HG", self.reads_gates_from_texture(variant, step, target, stored).into()));
        }
        let factors: &[&str] = if variant.is_textured() { &["HA", "HB"] } else { &[] };
        constants.extend(with_factors_in_texture(stored, factors));
        constants.push(("W", 0));
        if self.gates > 0 {
            // Units that a thread finishes at once.
            constants.push(("UNITS", if apart > 0 { 4 } else { 1 }));
        }
        let groups = [product.n.div_ceil(tile_columns), product.m.div_ceil(tile_rows), 1];
        (shader.clone().with(&constants), groups)
    }

    /// Columns of the product for each unit: four where a thread sums its gates, though there be but three.
    pub(super) fn columns(&self) -> u32 {
        if self.gates > 0 { 4 } else { 1 }
    }

    /// The product of a timestep, by a kernel that has so many gates `apart`, or 0.
    pub(super) fn product(&self, step: Step, apart: u32) -> Product {
        let each = if apart > 0 { apart } else { self.columns() };
        let columns = clamp(u64::from(each) * u64::from(step.hidden));
        let product = Product::new(self.layout, [step.batch, columns, step.depth], Epilogue::default());
        product.with_stride(step.stride)
    }

    /// The constants of any kernel: how numbers are stored, gates, and what of `flags` a software adapter would go through
    /// otherwise, branch or not.
    pub(super) fn constants(&self, at: &Lowering, flags: u32) -> Vec<(&'static str, u32)> {
        // What is kept for each timestep is stored alike; the second factor is the weight.
        let [kept, weight] = [Operand::Output(0), self.weight].map(|operand| at.storage(operand));
        let mut constants = vec![("H", kept), ("HA", kept), ("HB", weight)];
        constants.extend([("LEN", u32::from(flags & LENGTHS != 0)), ("F", flags >> FUNCTION)]);
        if self.gates > 0 {
            constants.push(("G", self.gates));
        }
        constants
    }
}

/// The kernels of products that cells go through a timestep with: rows are seldom as many as the tallest tile has.
pub(super) fn kernels(target: &Target) -> Vec<Variant> {
    variants(target, false).into_iter().filter(|variant| !variant.is_tall()).collect()
}

/// The same timestep by each kernel that there is for it on `target`, so that tests can hold all of them against the
/// reference; none where `dispatch` is no timestep of a cell, or is one that reads from a texture already.
#[doc(hidden)]
pub fn timestep_by_each_kernel(dispatch: &Dispatch, target: &Target) -> Vec<(Variant, Dispatch)> {
    let shader = &dispatch.shader;
    let is_of = |cell: &&Cell| [&cell.subgroup, &cell.tiled, &cell.direct].iter().any(|one| one.name == shader.name);
    let cells = [LSTM, LSTM_GRADIENT, GRU, GRU_GRADIENT, ELMAN, ELMAN_GRADIENT];
    let Some(cell) = cells.iter().find(is_of) else { return Vec::new() };
    if dispatch.copied_bytes().is_some() {
        return Vec::new();
    }
    let word = |at: usize| pod_read_unaligned::<u32>(&dispatch.params[4 * at..4 * at + 4]);
    let step = Step { batch: word(0), hidden: word(1), depth: word(2), stride: word(3), flags: word(4), t: word(5) };
    let names = ["H", "HA", "HB", "LEN", "F", "G"].into_iter();
    let stored: Vec<_> = names.filter_map(|name| Some((name, shader.constant(name)?))).collect();
    let wide = shader.constant("V") == Some(Width::Four as u32);
    let all = kernels(target).into_iter().chain(cell.gated(target));
    let made = all.filter(|kernel| wide || kernel.width() == Width::One).map(|kernel| {
        let (own, groups) = cell.kernel(kernel, step, target, &stored);
        let mut made = Dispatch { shader: own, groups, ..dispatch.clone() };
        if kernel.is_textured() {
            let element_bytes = |name| if shader.constant(name) == Some(0) { 4 } else { 2 };
            let of_factors = ["HA", "HB", "HA"].map(element_bytes);
            let starts = (0..made.bindings.len()).map(|at| word(STARTS + at));
            let mut bound: Vec<_> = made.bindings.drain(..).zip(starts).collect();
            cell.put_in_texture(&mut bound, &of_factors, step.depth, made.shader.constant("HG") == Some(1));
            made.params.truncate(4 * STARTS);
            made.params.extend(bound.iter().flat_map(|(_, start)| start.to_le_bytes()));
            made.bindings = bound.into_iter().map(|(binding, _)| binding).collect();
        }
        (kernel, made)
    });
    made.collect()
}

/// Whether all of them start at multiples of four elements.
pub(super) fn start_at_quads(at: &Lowering, bindings: &[Binding]) -> bool {
    bindings.iter().all(|b| b.bytes.start.is_multiple_of(4 * at.type_bound(b).dtype.bytes()))
}

/// Beside its sums a timestep reads and works out its gates: by 1.2 to 1.4 the time, as measured on llvmpipe.
pub(super) fn with_cell(product: Tile) -> Tile {
    Tile { cost: product.cost * 5 / 4, ..product }
}
