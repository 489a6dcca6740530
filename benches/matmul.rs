//! One matrix product on the device: recorded, submitted and waited for, at three sizes and in
//! three layouts. An element is a floating-point operation, `2 m n k` of them a product.
//!
//! Criterion measures wall time; on a software adapter the device's work is the host's as well.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use plimsoll::device::DeviceEngine;
use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::ids::SlotId;
use plimsoll::ops::{Layout, Matmul};
use plimsoll::plan::Staging;
use plimsoll::random::{Purpose, Stream};
use plimsoll::tensor::TensorType;
use plimsoll::{Device, Plan};

/// Rows, columns and depth: the hoisted input projection of the default run, then two cubes.
const SIZES: [[u32; 3]; 3] = [[512, 128, 64], [256, 256, 256], [512, 512, 512]];
const LAYOUTS: [Layout; 3] = [Layout::Nn, Layout::Nt, Layout::Tn];

/// A product whose factors are uploaded, and something small to wait for.
fn product(device: &Device, layout: Layout, [m, n, k]: [u32; 3]) -> (DeviceEngine, SlotId) {
    let a = TensorType::f32(&if layout == Layout::Tn { [k, m] } else { [m, k] });
    let b = TensorType::f32(&if layout == Layout::Nt { [n, k] } else { [k, n] });
    let mut graph = Graph::default();
    graph.begin("product");
    let factors = [("a", a), ("b", b)].map(|(name, ty)| graph.held(name, Role::Input, ty, 1));
    let product = graph.apply_one(Matmul::new(layout), &factors).expect("the factors fit");
    let c = graph.slot("c", Role::Result, graph[product].ty.bytes(), 1);
    graph.store(product, c, 0);
    let small = graph.slot("waited for", Role::Result, 4, 1);
    graph.protect();
    let plan = Plan::new(graph, device.target(), Staging::for_traffic(1 << 20, 1 << 10, 0, u64::MAX));
    plan.replay().expect("the plan holds");
    let mut engine = DeviceEngine::new(device, plan).expect("the device has room");
    let mut stream = Stream::new(1, Purpose::Data, 0);
    for (slot, elements) in engine.plan().graph.slot_ids().zip([m * k, n * k]).collect::<Vec<_>>() {
        let numbers: Vec<f32> = (0..elements).map(|_| stream.uniform(-1.0, 1.0)).collect();
        engine.upload(slot, 0, 0, bytemuck::cast_slice(&numbers)).expect("the factors can be uploaded");
    }
    (engine, small)
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    match Device::open() {
        Err(error) => println!("matmul: skipped, for there is no device: {error}"),
        Ok(device) => {
            println!("matmul: on {}, {}", device.target().name, device.target().driver);
            for size @ [m, n, k] in SIZES {
                let mut group = criterion.benchmark_group(format!("matmul {m}x{n}x{k}"));
                group.throughput(Throughput::Elements(2 * u64::from(m) * u64::from(n) * u64::from(k)));
                for layout in LAYOUTS {
                    let (mut engine, small) = product(&device, layout, size);
                    group.bench_function(format!("{layout:?}"), |bencher| {
                        bencher.iter(|| {
                            engine.run(0, 0).expect("the device runs");
                            black_box(engine.download(small, 0).expect("the device answers"))
                        });
                    });
                }
            }
        }
    }
    criterion.final_summary();
}
