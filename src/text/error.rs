//! What can go wrong with a text, said with the numbers and with what would do.

use crate::storage::StorageError;

/// A text that could not be read, understood or cut into streams.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The file could not be read; the storage error names it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is not one unit.
    #[error("{name} is empty")]
    Empty {
        /// The text's name, or its path.
        name: String,
    },
    /// Bytes that are not characters.
    #[error("{name} is not UTF-8 at byte {offset}; unit = \"byte\" reads any file")]
    NotUtf8 {
        /// The text's name, or its path.
        name: String,
        /// Where the first such byte is, counted from 0.
        offset: usize,
    },
    /// A unit that the vocabulary has not.
    #[error("{unit}, unit {position} from 0, is not among the {known} of the vocabulary")]
    UnknownUnit {
        /// The unit, in words.
        unit: String,
        /// Units before it.
        position: usize,
        /// Units in the vocabulary.
        known: usize,
    },
    /// An id that no unit has.
    #[error("there is no token {id}: the vocabulary has {known} units, counted from 0")]
    UnknownId {
        /// The id.
        id: u32,
        /// Units in the vocabulary.
        known: usize,
    },
    /// A vocabulary, read from elsewhere, that is not in order.
    #[error("a vocabulary is one unit or more, rising: unit {position} from 0 breaks the order")]
    Unsorted {
        /// The first unit that is not above the one before it.
        position: usize,
    },
    /// A vocabulary of words, read from elsewhere, with what cannot be a word of it.
    #[error(
        "a vocabulary of words is one or more, each once and without white space: unit {position} from 0 is {word:?}"
    )]
    NotAWord {
        /// The first unit that is empty, has white space, or was there before.
        position: usize,
        /// That unit; nothing if there is none at all.
        word: String,
    },
    /// A validation part that is no part.
    #[error("validation = {validation} must be at least 0 and less than 1")]
    Fraction {
        /// What was asked for.
        validation: f64,
    },
    /// A batch of no streams, a window of no units, or a vocabulary of no words.
    #[error("{what} = 0 must be at least 1")]
    Zero {
        /// "batch", "window" or "vocabulary".
        what: &'static str,
    },
    /// Streams of fewer than the two units that one prediction takes.
    #[error("{}", too_short(*units, *batch, *largest_batch))]
    TooShort {
        /// Units of the text.
        units: u64,
        /// Streams that were asked for; at least 1.
        batch: u32,
        /// Streams that could be had; 0 if not even one.
        largest_batch: u64,
    },
    /// A window of more tokens than can be numbered.
    #[error("batch * window = {batch} * {window} is more than the {limit} tokens that can be counted")]
    WindowTooLarge {
        /// Streams that were asked for.
        batch: u32,
        /// Units a stream that were asked for.
        window: u32,
        /// Most tokens of a window.
        limit: u32,
    },
}

fn too_short(units: u64, batch: u32, largest_batch: u64) -> String {
    let each = units / u64::from(batch.max(1));
    let fits = match largest_batch {
        0 => "no batch fits".into(),
        batch => format!("the largest batch is {batch}"),
    };
    format!("{units} units cut into {batch} streams leave {each} to each, and 2 are needed; {fits}")
}
