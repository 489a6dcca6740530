//! A workload in burn, on its wgpu backend or on flex, its fastest on processors: prints a line of JSON.
//!
//! ```text
//! peer-burn W1.toml --backend wgpu --seconds 3
//! ```
//!
//! On Linux `wgpu` is Vulkan, with shaders in WGSL. Built with the feature `vulkan` there is burn's compiler
//! to SPIR-V, and `--backend vulkan`, in place of it: burn takes one or the other of them as it is built.

#[path = "../../../common/clock.rs"]
mod clock;
#[path = "../../../workloads/measure.rs"]
mod measure;
mod network;
#[path = "../../run_file.rs"]
mod run_file;

use std::error::Error;

use burn::grad_clipping::GradientClippingConfig;
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;
use burn::tensor::{Device, TensorData};
use serde_json::json;

use clock::{Clock, ms};
use measure::{Trainee, measure};
use network::{Network, State};
use run_file::{Optimizer, RunFile};

/// What a micro-step is given.
#[derive(Clone)]
enum Part {
    Classes(Tensor<2>, Tensor<1, Int>),
    Numbers(Tensor<2>, Tensor<2>),
    Ids(Tensor<2, Int>, Tensor<1, Int>),
}

struct Trained {
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    learning_rate: f64,
    /// Updates, each in its micro-steps.
    batches: Vec<Vec<Part>>,
    state: Vec<Option<State>>,
    device: Device,
    begun: usize,
    last: Option<Tensor<1>>,
}

impl Trained {
    fn new(file: &RunFile, device: &Device) -> Self {
        device.seed(1);
        let network = Network::new(file, device);
        // burn clips each tensor's norm, and knows no norm of all together.
        let clip = file.clip_norm.map(GradientClippingConfig::Norm);
        let (optimizer, learning_rate) = match file.optimizer {
            Optimizer::AdamW { learning_rate } => {
                let config = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).with_grad_clipping(clip);
                (config.init(), learning_rate)
            }
            Optimizer::Sgd { learning_rate, momentum } => {
                let momentum = Some(momentum).filter(|m| *m > 0.0);
                let momentum = momentum.map(|m| MomentumConfig::new().with_momentum(m).with_dampening(0.0));
                (SgdConfig::new().with_momentum(momentum).with_gradient_clipping(clip).init(), learning_rate)
            }
        };
        let batches = (0..file.batches()).map(|batch| {
            (0..file.accumulate).map(|part| tensors(file, batch * file.accumulate + part, device)).collect()
        });
        Self {
            state: vec![None; network.layers()],
            network: Some(network),
            optimizer,
            learning_rate,
            batches: batches.collect(),
            device: device.clone(),
            begun: 0,
            last: None,
        }
    }

    fn loss_of(&mut self, network: &Network, part: Part) -> Tensor<1> {
        let entropy = || CrossEntropyLossConfig::new().init(&self.device);
        match part {
            Part::Classes(x, y) => entropy().forward(network.rows(x), y),
            Part::Numbers(x, y) => MseLoss::new().forward(network.rows(x), y, Reduction::Mean),
            Part::Ids(x, y) => {
                let entropy = entropy();
                entropy.forward(network.sequences(x, &mut self.state), y)
            }
        }
    }
}

/// The `part`-th micro-step's rows of the file.
fn tensors(file: &RunFile, part: usize, device: &Device) -> Part {
    let rows = file.batch / file.accumulate;
    let (x, y) = file.rows(part * rows, rows);
    let ids = |x: &[f32]| x.iter().map(|&id| id as i32).collect::<Vec<_>>();
    let numbers = |x: &[f32]| Tensor::<2>::from_data(TensorData::new(x.to_vec(), [rows, x.len() / rows]), device);
    let classes = |y: &[f32]| Tensor::<1, Int>::from_data(TensorData::new(ids(y), [y.len()]), device);
    match (file.vocabulary, file.of_classes) {
        (Some(_), _) => {
            let shape = [rows, x.len() / rows];
            Part::Ids(Tensor::<2, Int>::from_data(TensorData::new(ids(x), shape), device), classes(y))
        }
        (None, true) => Part::Classes(numbers(x), classes(y)),
        (None, false) => Part::Numbers(numbers(x), numbers(y)),
    }
}

impl Trainee for Trained {
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let network = self.network.take().ok_or("a step failed before")?;
        let parts = self.batches[self.begun % self.batches.len()].clone();
        self.begun += 1;
        let count = parts.len();
        let mut sum = GradientsAccumulator::new();
        let mut last: Option<Tensor<1>> = None;
        let mut only = None;
        for part in parts {
            let loss = self.loss_of(&network, part) / count as f64;
            let told = loss.clone().detach();
            last = Some(last.map_or(told.clone(), |last| last + told));
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            if count == 1 { only = Some(gradients) } else { sum.accumulate(&network, gradients) }
        }
        let gradients = only.unwrap_or_else(|| sum.grads());
        self.network = Some(self.optimizer.step(self.learning_rate, network, gradients));
        self.last = last;
        Ok(())
    }

    fn loss(&mut self) -> Result<f32, Box<dyn Error>> {
        let last = self.last.take().ok_or("there was no step")?;
        let loss = last.into_scalar::<f32>();
        self.device.sync().map_err(|error| format!("{error:?}"))?;
        Ok(loss)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = run_file::asked()?;
    let file = RunFile::read(&asked.path)?;
    let start = Clock::start();
    let (device, peer) = match &asked.backend[..] {
        #[cfg(not(feature = "vulkan"))]
        "wgpu" => (Device::wgpu(Default::default()), "burn wgpu"),
        #[cfg(feature = "vulkan")]
        "vulkan" => (Device::vulkan(Default::default()), "burn vulkan"),
        "flex" => (Device::flex(), "burn flex"),
        other => return Err(format!("this build has no backend `{other}`").into()),
    };
    let adapter = device.identity().map_or_else(|| "CPU".into(), |identity| identity.name);
    let device = device.autodiff();
    let mut trained = Trained::new(&file, &device);
    let start = start.spent();
    let about = json!({
        "peer": peer,
        "version": "0.22.1",
        "workload": file.name,
        "adapter": adapter,
        "start_ms": ms(start.wall, 1),
    });
    measure(&mut trained, about, asked.seconds, asked.waits)
}
