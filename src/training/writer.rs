//! Writes text with a trained model: one id at a time, its state carried from each to the next.

use crate::error::Error;
use crate::random::{Purpose, Stream};
use crate::text::Vocabulary;

use super::numbers::numbers;
use super::session::Session;

/// How the next unit is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 always takes the likeliest.
    pub temperature: f32,
    /// What the choices are drawn from.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.8, seed: 0 }
    }
}

/// A model that writes text.
pub struct Writer<'a> {
    session: &'a mut Session,
    vocabulary: &'a Vocabulary,
    sampling: Sampling,
    random: Stream,
    started: bool,
}

impl<'a> Writer<'a> {
    /// A writer that begins with the state at zero.
    ///
    /// # Errors
    /// A run planned without sampling; a temperature that is no number of at least 0.
    pub fn new(session: &'a mut Session, vocabulary: &'a Vocabulary, sampling: Sampling) -> Result<Self, Error> {
        if session.planned.handles.sample.is_none() {
            return Err(Error::Input("this run was planned without sampling".into()));
        }
        let Sampling { temperature, seed } = sampling;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(Error::Input(format!("the temperature is {temperature} and must be a number of at least 0")));
        }
        let random = Stream::new(seed, Purpose::Sampling, 0);
        Ok(Self { session, vocabulary, sampling, random, started: false })
    }

    /// Reads `prompt`, then writes `length` units.
    ///
    /// An empty prompt starts from the vocabulary's first unit, which is not part of the answer.
    ///
    /// # Errors
    /// A prompt with a unit the vocabulary lacks; a model whose outputs are no numbers; device errors.
    pub fn write(&mut self, prompt: &str, length: usize) -> Result<String, Error> {
        self.session.mark()?;
        let mut ids = self.vocabulary.encode(prompt)?;
        let read = ids.len();
        let first = if ids.is_empty() { vec![0] } else { ids.clone() };
        let mut logits = Vec::new();
        for id in first {
            logits = self.next(id)?;
        }
        let length = read.saturating_add(length);
        while ids.len() < length {
            let id = self.choose(&logits);
            ids.push(id);
            if ids.len() < length {
                logits = self.next(id)?;
            }
        }
        self.session.look_at_canary()?;
        Ok(self.vocabulary.decode(&ids[read..]))
    }

    /// The logits of what follows `id`.
    fn next(&mut self, id: u32) -> Result<Vec<f32>, Error> {
        let handles = self.session.planned.handles.sample.expect("checked when the writer was made");
        self.session.upload(handles.id, 0, bytemuck::cast_slice(&[id]))?;
        if let Some(keep) = handles.keep {
            self.session.upload(keep, 0, bytemuck::cast_slice(&[u32::from(self.started)]))?;
        }
        self.started = true;
        self.session.run("sample", 0)?;
        self.session.engine.submit()?;
        let logits = numbers(&self.session.engine.download(handles.logits, 0)?);
        if let Some(logit) = logits.iter().find(|x| x.is_nan() || **x == f32::INFINITY) {
            return Err(Error::Input(format!(
                "the model gives a unit of the vocabulary the score {logit}, by which nothing can be chosen: its weights are \
                 not those of a model that has learnt something"
            )));
        }
        Ok(logits)
    }

    /// Draws from the softmax of the logits.
    fn choose(&mut self, logits: &[f32]) -> u32 {
        let likeliest = (0u32..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
        if self.sampling.temperature == 0.0 {
            return likeliest;
        }
        let temperature = f64::from(self.sampling.temperature);
        let most = f64::from(logits[likeliest as usize]);
        let weights: Vec<f64> = logits.iter().map(|&l| ((f64::from(l) - most) / temperature).exp()).collect();
        let mut left = self.random.next_f64() * weights.iter().sum::<f64>();
        for (id, weight) in (0u32..).zip(weights) {
            left -= weight;
            if left < 0.0 {
                return id;
            }
        }
        likeliest
    }
}
