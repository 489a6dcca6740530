//! Where a run's batches come from: streams of a text, or examples in memory.

use std::path::Path;

use crate::config::{self, Config, Predict, Source as Words, TargetKind};
use crate::data::{
    self, Batch, Classes, Dataset, INPUTS, LastBatch, Loader, Loading, Order, Parts, Position, Scaling, TARGETS,
    Values, arrays, csv, mnist, series,
};
use crate::error::Error;
use crate::nn::{Inputs, Targets, Time};
use crate::text::{IGNORE, Streams, Text, Window};
use crate::training::fits_in_half;

/// What a run learns from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A text.
    Text(Text),
    /// Examples.
    Examples(Box<Examples>),
}

/// Examples, in the parts that a run has them in.
#[derive(Clone, Debug)]
pub struct Examples {
    /// For training, validation and test; the latter two may be empty.
    pub parts: Parts<Dataset>,
    /// How their numbers were standardised.
    pub scaling: Scaling,
    /// What their classes are called, where the file has names for them.
    pub classes: Option<Classes>,
    /// The file or folder they are from.
    pub name: String,
}

/// Which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is learnt from.
    Train,
    /// What the learning is watched by.
    Validation,
    /// What is kept for the very end.
    Test,
}

/// Batches of training, without end.
#[derive(Debug)]
pub enum Batches {
    /// Windows of a text's streams.
    Streams(Streams),
    /// Batches of examples.
    Loader(Box<Loader>),
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        match self {
            Batches::Streams(streams) => Some(streams.next_window().into()),
            Batches::Loader(loader) => loader.next(),
        }
    }
}

impl Batches {
    /// Goes to where `batches` have been read, over all passes.
    pub fn seek(&mut self, batches: u64) {
        match self {
            Batches::Streams(streams) => streams.seek(batches),
            Batches::Loader(loader) => loader.seek(Position { epoch: 0, batch: batches }),
        }
    }

    /// Batches of one pass over the training part.
    pub fn per_epoch(&self) -> u64 {
        match self {
            Batches::Streams(streams) => streams.windows_per_pass(),
            Batches::Loader(loader) => loader.batches_per_epoch(),
        }
    }
}

impl Source {
    /// Reads what `config` names.
    ///
    /// # Errors
    /// Files that cannot be read or used.
    pub fn read(config: &Config) -> Result<Self, Error> {
        let data = &config.data;
        let (validation, test) = (data.validation, data.test);
        let order = if data.shuffle { Order::Shuffled { seed: config.seed } } else { Order::Contiguous };
        let examples = match &data.source {
            Words::Text { text, unit, vocabulary } => {
                return Ok(Source::Text(text_of(text.as_deref(), *unit, *vocabulary)?));
            }
            Words::Table { file, inputs, targets, target, standardise } => {
                let table = csv::read(file, &wanted(inputs, targets, *target))?;
                let classes = classes(&table.targets);
                let prepared = table.prepare(validation, test, order, *standardise)?;
                Examples { parts: prepared.parts, scaling: prepared.scaling, classes, name: named(file) }
            }
            Words::Series { file, inputs, targets, horizon, predict, standardise } => {
                let table = csv::read(file, &wanted(inputs, targets, TargetKind::Number))?;
                let windows = series::Windows {
                    window: config.train.timesteps() as usize,
                    horizon: *horizon as usize,
                    predict: (*predict).into(),
                };
                let prepared = series::windows(table, windows, validation, test, *standardise)?;
                Examples { parts: prepared.parts, scaling: prepared.scaling, classes: None, name: named(file) }
            }
            Words::Idx { folder, rows_as_steps } => {
                let found = mnist::read(folder.as_deref(), *rows_as_steps)?;
                let parts = found.train.split(validation, 0.0, order)?;
                let parts = Parts { test: found.test, ..parts };
                Examples { parts, scaling: Scaling::default(), classes: None, name: named(&found.folder) }
            }
            Words::Arrays { file, inputs, targets, lengths, target, vocabulary, predict } => {
                let wanted = arrays::Wanted {
                    inputs: inputs.clone(),
                    targets: targets.clone(),
                    lengths: lengths.clone(),
                    target: (*target).into(),
                    vocabulary: *vocabulary,
                    classes: None,
                    predict: predict.map(data::Predict::from),
                };
                let parts = arrays::dataset(file, &wanted)?.split(validation, test, order)?;
                Examples { parts, scaling: Scaling::default(), classes: None, name: named(file) }
            }
        };
        Ok(Source::Examples(Box::new(examples)))
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Option<&Text> {
        match self {
            Source::Text(text) => Some(text),
            Source::Examples(_) => None,
        }
    }

    /// Whether halves hold all numbers that a model reads.
    pub fn fits_in_halves(&self) -> bool {
        let Source::Examples(examples) = self else { return true };
        let parts = [&examples.parts.train, &examples.parts.validation, &examples.parts.test];
        let mut read = parts.into_iter().flat_map(|part| part.fields()).filter(|field| !field.is_target());
        read.all(|field| match field.values() {
            Values::Numbers(x) | Values::Bits(x) => x.iter().all(|&x| fits_in_half(x)),
            Values::Pixels(_) | Values::Ids { .. } | Values::Classes { .. } => true,
        })
    }

    /// Its examples, if it is no text.
    pub fn examples(&self) -> Option<&Examples> {
        match self {
            Source::Text(_) => None,
            Source::Examples(examples) => Some(examples),
        }
    }

    /// What an example is, as a task knows it.
    pub fn task(&self) -> (Inputs, Targets, Time) {
        let examples = match self {
            Source::Text(text) => {
                let vocabulary = text.vocabulary.size();
                return (Inputs::Tokens { vocabulary }, Targets::Classes(vocabulary), Time::EachStep);
            }
            Source::Examples(examples) => examples,
        };
        let field = |name| examples.parts.train.field(name).expect("a dataset of a run has inputs and targets");
        let width = |f: &data::Field| crate::ops::clamp(f.width() as u64);
        let (inputs, targets) = (field(INPUTS), field(TARGETS));
        let time = match (inputs.is_timed(), targets.is_timed()) {
            (false, _) => Time::None,
            (true, false) => Time::WholeSequence,
            (true, true) => Time::EachStep,
        };
        let reads = match inputs.values() {
            Values::Ids { vocabulary, .. } => Inputs::Tokens { vocabulary: *vocabulary },
            _ => Inputs::Features { features: width(inputs) },
        };
        let learns = match targets.values() {
            Values::Classes { classes, .. } | Values::Ids { vocabulary: classes, .. } => Targets::Classes(*classes),
            Values::Bits(_) => Targets::Bits(width(targets)),
            _ => Targets::Numbers(width(targets)),
        };
        (reads, learns, time)
    }

    /// Timesteps that its examples have, where they are sequences of a length of their own.
    pub fn steps(&self) -> Option<u32> {
        match self {
            Source::Text(_) => None,
            Source::Examples(examples) => Some(crate::ops::clamp(examples.parts.train.steps() as u64)),
        }
    }

    /// Whether its examples have lengths of their own.
    pub fn has_lengths(&self) -> bool {
        matches!(self, Source::Examples(examples) if examples.parts.train.has_lengths())
    }

    /// Whether there is anything in `part`.
    ///
    /// # Errors
    /// None that a config which was read from a file can cause.
    pub fn has(&self, config: &Config, part: Part) -> Result<bool, Error> {
        Ok(match self {
            Source::Text(text) => ids(text, config, part)?.len() >= 2,
            Source::Examples(examples) => !examples.part(part).is_empty(),
        })
    }

    /// Batches of training.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn batches(&self, config: &Config) -> Result<Batches, Error> {
        let train = &config.train;
        Ok(match self {
            Source::Text(text) => {
                Batches::Streams(Streams::new(ids(text, config, Part::Train)?.into(), train.batch, train.timesteps())?)
            }
            Source::Examples(examples) => {
                let loading = loading(config, train.batch, config.data.shuffle, None);
                Batches::Loader(Box::new(Loader::new(examples.parts.train.clone(), loading, Vec::new())?))
            }
        })
    }

    /// A part once through, in order, in batches of `rows` rows; rows that are left over have nothing
    /// to predict.
    ///
    /// # Errors
    /// None that a config which was read from a file can cause.
    pub fn once(&self, config: &Config, part: Part, rows: u32) -> Result<Box<dyn Iterator<Item = Batch>>, Error> {
        if !self.has(config, part)? {
            return Ok(Box::new(std::iter::empty()));
        }
        match self {
            Source::Text(text) => {
                let ids = ids(text, config, part)?;
                let most = crate::ops::clamp(ids.len() as u64 / 2);
                let streams = Streams::new(ids.into(), rows.min(most), config.train.timesteps())?;
                let windows = (0..streams.windows_per_pass()).map(move |step| streams.window_at(step));
                Ok(Box::new(windows.map(move |window| with_rows(window, rows).into())))
            }
            Source::Examples(examples) => {
                let loading = loading(config, rows, false, Some(1));
                Ok(Box::new(Loader::new(examples.part(part).clone(), loading, Vec::new())?))
            }
        }
    }
}

impl Examples {
    /// The examples of that part.
    pub fn part(&self, part: Part) -> &Dataset {
        match part {
            Part::Train => &self.parts.train,
            Part::Validation => &self.parts.validation,
            Part::Test => &self.parts.test,
        }
    }
}

/// The ids of a part of a text: the test part is its end, the validation part what comes before.
pub(super) fn ids<'a>(text: &'a Text, config: &Config, part: Part) -> Result<&'a [u32], Error> {
    let (validation, test) = (config.data.validation, config.data.test);
    let (rest, last) = text.split(test)?;
    let (_, held_out) = text.split(validation)?;
    let (train, middle) = rest.split_at(rest.len() - held_out.len().min(rest.len()));
    Ok(match part {
        Part::Train => train,
        Part::Validation => middle,
        Part::Test => last,
    })
}

fn text_of(file: Option<&Path>, unit: config::Unit, vocabulary: Option<u32>) -> Result<Text, Error> {
    let most = vocabulary.map_or(usize::MAX, |most| most as usize);
    Ok(match (file, unit) {
        (Some(file), config::Unit::Word) => Text::read_words(file, most)?,
        (None, config::Unit::Word) => Text::embedded_words(most)?,
        (Some(file), unit) => Text::read(file, unit.into())?,
        (None, unit) => Text::embedded(unit.into())?,
    })
}

fn wanted(inputs: &[String], targets: &[String], target: TargetKind) -> csv::Wanted {
    csv::Wanted {
        inputs: inputs.to_vec(),
        targets: targets.to_vec(),
        target: target.into(),
        missing: csv::Missing::Refuse,
    }
}

fn classes(targets: &data::Targets) -> Option<Classes> {
    match targets {
        data::Targets::Classes { classes, .. } => Some(classes.clone()),
        _ => None,
    }
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

fn loading(config: &Config, batch: u32, shuffle: bool, epochs: Option<u64>) -> Loading {
    let workers = config.data.workers as usize;
    Loading { batch: batch as usize, shuffle, seed: config.seed, workers, last: LastBatch::Pad, epochs }
}

/// The same window with rows added in which there is nothing to predict.
fn with_rows(window: Window, rows: u32) -> Window {
    let (had, has) = (window.rows as usize, rows as usize);
    let widen = |ids: &[u32], filler: u32| -> Vec<u32> {
        ids.chunks(had).flat_map(|step| step.iter().copied().chain(std::iter::repeat_n(filler, has - had))).collect()
    };
    let mut reset = window.reset;
    reset.resize(has, true);
    Window { inputs: widen(&window.inputs, 0), targets: widen(&window.targets, IGNORE), reset, rows, ..window }
}

impl From<TargetKind> for data::Target {
    fn from(target: TargetKind) -> Self {
        match target {
            TargetKind::Number => data::Target::Number,
            TargetKind::Class => data::Target::Class,
            TargetKind::Bit => data::Target::Bit,
        }
    }
}

impl From<Predict> for data::Predict {
    fn from(predict: Predict) -> Self {
        match predict {
            Predict::Each => data::Predict::Each,
            Predict::Last => data::Predict::Last,
        }
    }
}
