//! Where the time of an update goes, node by node.

use super::Session;
use crate::data::Batch;
use crate::error::Error;

/// What an op of a layer takes in one update, all its dispatches and micro-steps together.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OpTime {
    /// The program: `first` and `next` are a micro-step, `update` the optimizer.
    pub program: &'static str,
    /// The layer.
    pub layer: String,
    /// The op.
    pub op: &'static str,
    /// The kernel, with its constants; the one that takes the longest, where there are several.
    pub kernel: String,
    /// Dispatches.
    pub dispatches: u64,
    /// Nanoseconds, by the device's clock.
    pub nanoseconds: f64,
    /// Additions and multiplications of its products.
    pub flops: u64,
    /// Bytes that it reads and bytes that it writes, each once for each dispatch.
    pub bytes: u64,
}

impl Session {
    /// One update from one batch, each dispatch timed by the device, which makes it slower as a whole; the
    /// longest first. `None` where the device has no clock.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub fn profile(&mut self, batch: &Batch) -> Result<Option<Vec<OpTime>>, Error> {
        let mut all: Option<Vec<OpTime>> = Some(Vec::new());
        self.update(batch, &mut |session, name, copy| {
            let program = session.plan().program(name).expect("the description has planned this program");
            let times = session.engine.profile(program, copy)?;
            match (&mut all, times) {
                (Some(all), Some(times)) => session.add(all, name, program, &times),
                _ => all = None,
            }
            Ok(())
        })?;
        self.finish()?;
        if let Some(all) = &mut all {
            all.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
        }
        Ok(all)
    }

    /// Adds the times of one run of a program to those of its ops.
    fn add(&self, all: &mut Vec<OpTime>, name: &'static str, program: usize, times: &[f64]) {
        let (plan, mut last, mut longest) = (self.plan(), None, 0.0);
        let steps = &plan.schedule.steps[plan.schedule.programs[program].steps.clone()];
        for (step, nanoseconds) in steps.iter().zip(times) {
            let node = &plan.graph[step.node];
            let rule = node.op.rule();
            let found = all.iter().position(|t| (t.program, &t.layer, t.op) == (name, &node.label, rule.name()));
            let at = found.unwrap_or_else(|| {
                all.push(OpTime {
                    program: name,
                    layer: node.label.clone(),
                    op: rule.name(),
                    kernel: String::new(),
                    dispatches: 0,
                    nanoseconds: 0.0,
                    flops: 0,
                    bytes: 0,
                });
                all.len() - 1
            });
            let time = &mut all[at];
            if last != Some(step.node) {
                time.flops += rule.flops(&plan.graph.types(&node.site.inputs));
                (last, longest) = (Some(step.node), 0.0);
            }
            if *nanoseconds > longest {
                longest = *nanoseconds;
                time.kernel = step.dispatch.shader.label();
            }
            time.dispatches += 1;
            time.nanoseconds += nanoseconds;
            time.bytes += step.moved_bytes();
        }
    }
}
