//! A workload in meganeura, on the adapter it chooses: prints a line of JSON.
//!
//! ```text
//! peer-meganeura W1.toml --seconds 3
//! ```

#[path = "../../../common/clock.rs"]
mod clock;
#[path = "../../../workloads/measure.rs"]
mod measure;
mod network;
#[path = "../../run_file.rs"]
mod run_file;

use std::error::Error;

use meganeura::Session;
use serde_json::json;

use clock::{Clock, ms};
use measure::{Trainee, measure};
use network::{Carried, Network};
use run_file::{Optimizer, RunFile};

/// What a micro-step is given, by the names of inputs.
#[derive(Default)]
struct Part {
    numbers: Vec<(String, Vec<f32>)>,
    ids: Vec<(String, Vec<u32>)>,
}

struct Trained {
    session: Session,
    states: Vec<Carried>,
    /// Updates, each in its micro-steps.
    batches: Vec<Vec<Part>>,
    optimizer: Optimizer,
    begun: usize,
    last: f32,
}

impl Trained {
    fn new(file: &RunFile) -> Self {
        let rows = file.batch / file.accumulate;
        let network = Network::new(file, rows);
        let mut session = meganeura::build_session(&network.graph);
        let mut seed = 1u64;
        for parameter in &network.parameters {
            let mut draw = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                parameter.bound * ((seed >> 40) as f32 / (1 << 23) as f32 - 1.0)
            };
            let numbers: Vec<f32> = (0..parameter.len).map(|_| draw()).collect();
            session.set_parameter(&parameter.name, &numbers);
        }
        for state in &network.states {
            session.set_input(&state.name, &vec![0.0; state.len]);
        }
        if file.accumulate > 1 {
            session.set_grad_accumulate(file.accumulate as u32);
        }
        if let Some(norm) = file.clip_norm {
            session.set_grad_clip_norm(norm);
        }
        session.set_weight_decay(0.01);
        let batch =
            |batch: usize| (0..file.accumulate).map(|i| part(file, batch * file.accumulate + i, rows)).collect();
        let batches = (0..file.batches()).map(batch).collect();
        Self { session, states: network.states, batches, optimizer: file.optimizer, begun: 0, last: f32::NAN }
    }

    /// Has the last micro-step of an update, and no other, move the parameters.
    fn arm(&mut self, last: bool) {
        match self.optimizer {
            _ if !last => self.session.clear_optimizer(),
            Optimizer::AdamW { learning_rate } => self.session.set_adam(learning_rate as f32, 0.9, 0.999, 1e-8),
            Optimizer::Sgd { learning_rate, .. } => self.session.set_learning_rate(learning_rate as f32),
        }
    }
}

/// The `part`-th micro-step's rows of the file.
fn part(file: &RunFile, part: usize, rows: usize) -> Part {
    let (x, y) = file.rows(part * rows, rows);
    let mut made = Part::default();
    let outputs = file.outputs();
    let one_hot = |classes: &mut dyn Iterator<Item = f32>, hot: f32| {
        let mut all = vec![0.0; rows * outputs];
        classes.enumerate().for_each(|(row, class)| all[row * outputs + class as usize] = hot);
        all
    };
    let steps = x.len() / rows;
    match (file.vocabulary, file.of_classes) {
        (Some(vocabulary), _) => {
            let column = |of: &[f32], t: usize| of.iter().skip(t).step_by(steps).copied().collect::<Vec<f32>>();
            for t in 0..steps {
                made.ids.push((format!("x{t}"), column(x, t).into_iter().map(|id| id as u32).collect()));
                let hot = vocabulary as f32 / steps as f32;
                made.numbers.push((format!("y{t}"), one_hot(&mut column(y, t).into_iter(), hot)));
            }
        }
        (None, true) => {
            made.numbers.push(("x".into(), x.to_vec()));
            made.numbers.push(("y".into(), one_hot(&mut y.iter().copied(), 1.0)));
        }
        (None, false) => made.numbers.extend([("x".into(), x.to_vec()), ("y".into(), y.to_vec())]),
    }
    made
}

impl Trainee for Trained {
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let batch = self.begun % self.batches.len();
        self.begun += 1;
        let count = self.batches[batch].len();
        self.last = 0.0;
        if count > 1 {
            self.session.zero_grad();
        }
        for i in 0..count {
            self.arm(i + 1 == count);
            let part = &self.batches[batch][i];
            part.ids.iter().for_each(|(name, ids)| self.session.set_input_u32(name, ids));
            part.numbers.iter().for_each(|(name, numbers)| self.session.set_input(name, numbers));
            self.session.step();
            self.session.wait();
            self.last += self.session.read_loss() / count as f32;
            for (output, state) in self.states.iter().enumerate() {
                let mut numbers = vec![0.0; state.len];
                self.session.read_output_by_index(1 + output, &mut numbers);
                self.session.set_input(&state.name, &numbers);
            }
        }
        Ok(())
    }

    fn loss(&mut self) -> Result<f32, Box<dyn Error>> {
        Ok(self.last)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = run_file::asked()?;
    let file = RunFile::read(&asked.path)?;
    let mut about = json!({ "peer": "meganeura", "version": "0.3.0", "workload": file.name });
    if matches!(file.optimizer, Optimizer::Sgd { momentum, .. } if momentum > 0.0) {
        about["unsupported"] = json!("has SGD without momentum only");
        println!("{about}");
        return Ok(());
    }
    let start = Clock::start();
    let mut trained = Trained::new(&file);
    about["start_ms"] = json!(ms(start.spent().wall, 1));
    let information = trained.session.device_information();
    about["adapter"] = json!(information.device_name);
    about["driver"] = json!(format!("{} {}", information.driver_name, information.driver_info));
    about["memory_bytes"] = json!(trained.session.memory_summary().total_allocated_bytes());
    about["dispatches"] = json!(trained.session.plan().dispatches.len());
    measure(&mut trained, about, asked.seconds, asked.waits)
}
