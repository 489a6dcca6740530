//! One matrix product on the device: recorded, submitted and waited for, in three layouts, at sizes from
//! those of a default run to 2048, some of them odd. An element is a floating-point operation, `2 m n k`
//! of them a product.

mod common;
#[path = "common/program.rs"]
mod program;

use std::time::Duration;

use criterion::Criterion;
use plimsoll::Device;
use plimsoll::graph::Role;
use plimsoll::ops::{Layout, Matmul};

use common::{bench, device};
use program::{Program, Running};

/// Rows, columns and depth: the hoisted input projection of the default run, cubes, and what is no
/// multiple of anything.
const SIZES: [[u32; 3]; 7] = [
    [512, 128, 64],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [509, 251, 127],
    [1023, 513, 1025],
];
const LAYOUTS: [Layout; 3] = [Layout::Nn, Layout::Nt, Layout::Tn];

fn product(device: &Device, layout: Layout, [m, n, k]: [u32; 3]) -> Running {
    let mut program = Program::new();
    let (a, _) = program.numbers("a", Role::Input, &if layout == Layout::Tn { [k, m] } else { [m, k] });
    let (b, _) = program.numbers("b", Role::Input, &if layout == Layout::Nt { [n, k] } else { [k, n] });
    let product = program.graph.apply_one(Matmul::new(layout), &[a, b]).expect("the factors fit");
    program.keep(product);
    program.start(device)
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    match device() {
        Err(error) => println!("matmul: skipped, for there is no device: {error}"),
        Ok(device) => {
            println!("matmul: on {}, {}", device.target().name, device.target().driver);
            for size @ [m, n, k] in SIZES {
                let mut group = criterion.benchmark_group(format!("matmul {m}x{n}x{k}"));
                let work = 2 * u64::from(m) * u64::from(n) * u64::from(k);
                for layout in LAYOUTS {
                    bench(&mut group, &format!("{layout:?}"), (work, "FLOP"), || {
                        let mut product = product(&device, layout, size);
                        move |passes| product.run(passes)
                    });
                }
                group.finish();
            }
        }
    }
    criterion.final_summary();
}
