//! A workload in candle, on the CPU: prints a line of JSON.
//!
//! ```text
//! peer-candle W1.toml --seconds 3
//! ```
//!
//! candle has an LSTM, a GRU and AdamW. Elman's network, momentum, clipping and the sum of micro-steps'
//! gradients are written here with its tensors.

#[path = "../../../common/clock.rs"]
mod clock;
#[path = "../../../workloads/measure.rs"]
mod measure;
mod network;
#[path = "../../run_file.rs"]
mod run_file;

use std::error::Error;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use candle_nn::{VarBuilder, VarMap, loss};
use serde_json::json;

use clock::{Clock, ms};
use measure::{Trainee, measure};
use network::{Network, State};
use run_file::RunFile;

enum Rule {
    AdamW(AdamW),
    /// Rate, momentum, and a velocity for each parameter.
    Sgd(f64, f64, Vec<Option<Tensor>>),
}

struct Trained {
    network: Network,
    parameters: Vec<Var>,
    rule: Rule,
    clip: Option<f64>,
    /// Updates, each in its micro-steps.
    batches: Vec<Vec<(Tensor, Tensor)>>,
    state: Vec<Option<State>>,
    begun: usize,
    last: Option<Tensor>,
}

impl Trained {
    fn new(file: &RunFile, device: &Device) -> Result<Self> {
        let variables = VarMap::new();
        let network = Network::new(file, VarBuilder::from_varmap(&variables, DType::F32, device))?;
        let parameters = variables.all_vars();
        let rule = match file.optimizer {
            run_file::Optimizer::AdamW { learning_rate } => Rule::AdamW(AdamW::new(
                parameters.clone(),
                ParamsAdamW { lr: learning_rate, ..ParamsAdamW::default() },
            )?),
            run_file::Optimizer::Sgd { learning_rate, momentum } => {
                Rule::Sgd(learning_rate, momentum, vec![None; parameters.len()])
            }
        };
        let batch =
            |batch: usize| (0..file.accumulate).map(|i| part(file, batch * file.accumulate + i, device)).collect();
        Ok(Self {
            state: vec![None; network.layers()],
            network,
            parameters,
            rule,
            clip: file.clip_norm.map(f64::from),
            batches: (0..file.batches()).map(batch).collect::<Result<_>>()?,
            begun: 0,
            last: None,
        })
    }

    fn update(&mut self) -> Result<()> {
        let parts = self.batches[self.begun % self.batches.len()].clone();
        self.begun += 1;
        let count = parts.len();
        let mut sum: Option<GradStore> = None;
        let mut last: Option<Tensor> = None;
        for (x, y) in parts {
            let out = self.network.forward(&x, &mut self.state)?;
            let loss = if y.dtype() == DType::U32 { loss::cross_entropy(&out, &y)? } else { loss::mse(&out, &y)? };
            let loss = (loss / count as f64)?;
            let gradients = loss.backward()?;
            sum = Some(match sum {
                None => gradients,
                Some(so_far) => self.added(so_far, &gradients)?,
            });
            last = Some(match last {
                None => loss.detach(),
                Some(so_far) => (so_far + loss.detach())?,
            });
        }
        let mut gradients = sum.expect("an update has a part");
        if let Some(most) = self.clip {
            self.clip(&mut gradients, most)?;
        }
        self.last = last;
        match &mut self.rule {
            Rule::AdamW(rule) => rule.step(&gradients),
            Rule::Sgd(rate, momentum, velocities) => {
                for (parameter, velocity) in self.parameters.iter().zip(velocities) {
                    let Some(gradient) = gradients.get(parameter) else { continue };
                    let step = match velocity.as_ref().filter(|_| *momentum > 0.0) {
                        None => gradient.clone(),
                        Some(velocity) => ((velocity * *momentum)? + gradient)?,
                    };
                    parameter.set(&(parameter.as_tensor() - (&step * *rate)?)?)?;
                    *velocity = Some(step);
                }
                Ok(())
            }
        }
    }

    fn added(&self, mut so_far: GradStore, more: &GradStore) -> Result<GradStore> {
        for parameter in &self.parameters {
            if let (Some(old), Some(new)) = (so_far.get(parameter), more.get(parameter)) {
                let sum = (old + new)?;
                so_far.insert(parameter, sum);
            }
        }
        Ok(so_far)
    }

    /// As `torch.nn.utils.clip_grad_norm_`.
    fn clip(&self, gradients: &mut GradStore, most: f64) -> Result<()> {
        let mut squares = 0.0;
        for gradient in self.parameters.iter().filter_map(|parameter| gradients.get(parameter)) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let factor = (most / (squares.sqrt() + 1e-6)).min(1.0);
        for parameter in &self.parameters {
            if let Some(gradient) = gradients.get(parameter) {
                let shorter = (gradient * factor)?;
                gradients.insert(parameter, shorter);
            }
        }
        Ok(())
    }
}

/// The `part`-th micro-step's rows of the file.
fn part(file: &RunFile, part: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let rows = file.batch / file.accumulate;
    let (x, y) = file.rows(part * rows, rows);
    let numbers = |x: &[f32]| Tensor::from_slice(x, (rows, x.len() / rows), device);
    let x = match file.vocabulary {
        Some(_) => numbers(x)?.to_dtype(DType::U32)?,
        None => numbers(x)?,
    };
    let y = if file.of_classes { numbers(y)?.flatten_all()?.to_dtype(DType::U32)? } else { numbers(y)? };
    Ok((x, y))
}

impl Trainee for Trained {
    fn step(&mut self) -> std::result::Result<(), Box<dyn Error>> {
        Ok(self.update()?)
    }

    fn loss(&mut self) -> std::result::Result<f32, Box<dyn Error>> {
        Ok(self.last.as_ref().ok_or("there was no step")?.to_scalar::<f32>()?)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let asked = run_file::asked()?;
    let file = RunFile::read(&asked.path)?;
    let start = Clock::start();
    let mut trained = Trained::new(&file, &Device::Cpu)?;
    let start = start.spent();
    let about = json!({
        "peer": "candle",
        "version": "0.11.1",
        "workload": file.name,
        "adapter": format!("CPU, {} threads", candle_core::utils::get_num_threads()),
        "start_ms": ms(start.wall, 1),
    });
    measure(&mut trained, about, asked.seconds, asked.waits)
}
