//! What a run learns from: `[data]`.

use std::path::PathBuf;

use super::words::words;

/// What is learnt from, and how it is parted and read.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConfig {
    /// Where it comes from.
    pub source: Source,
    /// The part that is kept for validation; at least 0, and below 1 together with `test`.
    pub validation: f64,
    /// The part that is kept for the test at the very end; 0 for [`Source::Idx`], whose files have
    /// a test part of their own.
    pub test: f64,
    /// Whether examples come in another order in each epoch; false for [`Source::Text`].
    pub shuffle: bool,
    /// Threads that prepare batches; with none, they are prepared between the steps.
    pub workers: u32,
}

/// Where examples come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Streams of a text, each unit predicted from those before it.
    Text {
        /// The file; `None` is the text embedded in the program.
        text: Option<PathBuf>,
        /// What the text is cut into.
        unit: Unit,
        /// The most frequent words that are kept, the others becoming `<unk>`; `None` keeps all.
        /// Only for [`Unit::Word`].
        vocabulary: Option<u32>,
    },
    /// Rows of a CSV file, each by itself.
    Table {
        /// The file, whose first row names its columns.
        file: PathBuf,
        /// Columns that are read; at least one.
        inputs: Vec<String>,
        /// Columns that are predicted; at least one, and exactly one of classes.
        targets: Vec<String>,
        /// What the predicted columns hold.
        target: TargetKind,
        /// Whether numbers are scaled to mean 0 and standard deviation 1 of the training part.
        standardise: bool,
    },
    /// Windows of a CSV file whose rows follow one another in time.
    Series {
        /// The file, whose first row names its columns.
        file: PathBuf,
        /// Columns that are read; at least one.
        inputs: Vec<String>,
        /// Columns that are predicted, which may also be read; at least one.
        targets: Vec<String>,
        /// How many rows ahead is predicted; at least 1.
        horizon: u32,
        /// Whether a window has one target, `horizon` rows after its last, or one for each row.
        predict: Predict,
        /// Whether numbers are scaled to mean 0 and standard deviation 1 of the training part.
        standardise: bool,
    },
    /// Pictures and their classes in IDX files, such as MNIST's.
    Idx {
        /// The folder of the files; `None` is where they are usually installed.
        folder: Option<PathBuf>,
        /// Whether a picture is a sequence of its rows, not one row of all its pixels.
        rows_as_steps: bool,
    },
    /// Arrays of a `.npz` or `.safetensors` file.
    Arrays {
        /// The file.
        file: PathBuf,
        /// The array that is read: (N, F), or (N, T, F) of sequences; (N) or (N, T) of ids.
        inputs: String,
        /// The array that is predicted.
        targets: String,
        /// The array (N) of the lengths of sequences; `None`: all are equally long.
        lengths: Option<String>,
        /// What the predicted array holds.
        target: TargetKind,
        /// How many ids there are, if the inputs are ids; `None`: they are numbers.
        vocabulary: Option<u32>,
        /// What a sequence has as its target; `None`: examples are no sequences.
        predict: Option<Predict>,
    },
}

words! {
    /// What a text is cut into.
    Unit {
        /// Unicode characters.
        Char = "char",
        /// Bytes.
        Byte = "byte",
        /// Words between white space.
        Word = "word",
    }
}

words! {
    /// What a target is.
    TargetKind {
        /// A number: regression.
        Number = "number",
        /// One of some classes: classification.
        Class = "class",
        /// 0 or 1, each by itself: classification with several labels.
        Bit = "bit",
    }
}

words! {
    /// What a sequence has as its target.
    Predict {
        /// A target for each step.
        Each = "each",
        /// One for the whole, predicted from its last step.
        Last = "last",
    }
}

impl DataConfig {
    /// What a file without `[data]` learns from.
    pub(super) fn left_out() -> Self {
        let source = Source::Text { text: None, unit: Unit::Char, vocabulary: None };
        Self { source, validation: 0.1, test: 0.0, shuffle: false, workers: 2 }
    }

    /// What is predicted; `Class` for a text, whose units are classes.
    pub fn target(&self) -> TargetKind {
        match &self.source {
            Source::Text { .. } | Source::Idx { .. } => TargetKind::Class,
            Source::Series { .. } => TargetKind::Number,
            Source::Table { target, .. } | Source::Arrays { target, .. } => *target,
        }
    }

    /// Whether the inputs are ids, which only an embedding can read.
    pub fn reads_ids(&self) -> bool {
        matches!(self.source, Source::Text { .. } | Source::Arrays { vocabulary: Some(_), .. })
    }

    /// Whether an example is known to be no sequence.
    pub(super) fn is_without_time(&self) -> bool {
        matches!(self.source, Source::Table { .. } | Source::Idx { rows_as_steps: false, .. })
    }

    /// Whether each step of a sequence is known to have a target.
    pub(super) fn predicts_each_step(&self) -> bool {
        match &self.source {
            Source::Text { .. } => true,
            Source::Series { predict, .. } => *predict == Predict::Each,
            Source::Arrays { predict, .. } => *predict == Some(Predict::Each),
            Source::Table { .. } | Source::Idx { .. } => false,
        }
    }

    /// The file or folder that it names, if any.
    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.source {
            Source::Text { text: path, .. } | Source::Idx { folder: path, .. } => path.as_mut(),
            Source::Table { file, .. } | Source::Series { file, .. } | Source::Arrays { file, .. } => Some(file),
        }
    }
}

impl Source {
    /// Whether it is a text in words.
    pub fn is_of_words(&self) -> bool {
        matches!(self, Self::Text { unit: Unit::Word, .. })
    }

    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Table { .. } => "table",
            Self::Series { .. } => "series",
            Self::Idx { .. } => "idx",
            Self::Arrays { .. } => "arrays",
        }
    }
}
