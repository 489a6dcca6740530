//! A text as token ids: what its units are, which part is for training, and what its bare
//! frequencies predict.

mod embedded;
mod error;
mod streams;
mod vocabulary;
mod words;

pub use crate::ops::IGNORE;
pub use error::TextError;
pub use streams::{Streams, Window};
pub use vocabulary::{Unit, Vocabulary};

use std::collections::HashMap;
use std::path::Path;

use crate::storage;

/// A text, and the vocabulary of all its units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The units that occur anywhere in the text, also in its validation part.
    pub vocabulary: Vocabulary,
    /// The text, one id a unit.
    pub ids: Vec<u32>,
}

impl Text {
    /// The text that `bytes` are; `name` is what errors call it.
    ///
    /// # Errors
    /// [`TextError::Empty`] without bytes, [`TextError::NotUtf8`] for characters that are none.
    pub fn from_bytes(bytes: &[u8], unit: Unit, name: &str) -> Result<Text, TextError> {
        if bytes.is_empty() {
            return Err(TextError::Empty { name: name.into() });
        }
        let vocabulary = Vocabulary::of(bytes, unit, name)?;
        let ids = vocabulary.encode(bytes)?;
        Ok(Text { vocabulary, ids })
    }

    /// The text that `bytes` are, in words, of which the `most` most frequent are known and all
    /// others are `<unk>`.
    ///
    /// # Errors
    /// [`TextError::Zero`] for no words at all, else as [`Text::from_bytes`].
    pub fn from_words(bytes: &[u8], most: usize, name: &str) -> Result<Text, TextError> {
        if most == 0 {
            return Err(TextError::Zero { what: "vocabulary" });
        }
        let vocabulary = Vocabulary::of_words(bytes, most, name)?;
        let ids = vocabulary.encode(bytes)?;
        Ok(Text { vocabulary, ids })
    }

    /// The text of a file in words, as [`Text::from_words`] has it.
    ///
    /// # Errors
    /// [`TextError::Storage`] if the file cannot be read, else as [`Text::from_words`].
    pub fn read_words(path: &Path, most: usize) -> Result<Text, TextError> {
        Text::from_words(&storage::read_file(path)?, most, &path.display().to_string())
    }

    /// The text of a file, of which errors give the path.
    ///
    /// # Errors
    /// [`TextError::Storage`] if the file cannot be read, else as [`Text::from_bytes`].
    pub fn read(path: &Path, unit: Unit) -> Result<Text, TextError> {
        Text::from_bytes(&storage::read_file(path)?, unit, &path.display().to_string())
    }

    /// The ids for training and, the last `floor(validation * N)` of the N ids, those for
    /// validation.
    ///
    /// # Errors
    /// [`TextError::Fraction`] unless `0 <= validation < 1`.
    pub fn split(&self, validation: f64) -> Result<(&[u32], &[u32]), TextError> {
        if !(0.0..1.0).contains(&validation) {
            return Err(TextError::Fraction { validation });
        }
        #[expect(clippy::cast_possible_truncation, reason = "the floor of what is less than the number of ids")]
        let held_out = (self.ids.len() as f64 * validation) as usize;
        Ok(self.ids.split_at(self.ids.len() - held_out))
    }
}

/// Nats per token that the frequencies of pairs in `train`, each count plus one, need for
/// `validation`: what a bigram model with add-one smoothing comes to.
///
/// `- 1/(M-1) sum over j of ln((count of (v[j-1], v[j]) in train + 1) / (count of v[j-1] as a first + V))`
///
/// # Errors
/// As [`unigram_entropy`]; [`TextError::Empty`] with less than two ids of validation.
pub fn bigram_entropy(train: &[u32], validation: &[u32], vocabulary_len: usize) -> Result<f64, TextError> {
    if validation.len() < 2 {
        return Err(TextError::Empty { name: "the validation part".into() });
    }
    if let Some(&id) = train.iter().chain(validation).find(|&&id| id as usize >= vocabulary_len) {
        return Err(TextError::UnknownId { id, known: vocabulary_len });
    }
    let mut pairs: HashMap<(u32, u32), u64> = HashMap::new();
    let mut firsts: HashMap<u32, u64> = HashMap::new();
    for pair in train.windows(2) {
        *pairs.entry((pair[0], pair[1])).or_default() += 1;
        *firsts.entry(pair[0]).or_default() += 1;
    }
    let nats = validation.windows(2).map(|pair| {
        let seen = pairs.get(&(pair[0], pair[1])).copied().unwrap_or(0) + 1;
        let all = firsts.get(&pair[0]).copied().unwrap_or(0) + vocabulary_len as u64;
        (all as f64 / seen as f64).ln()
    });
    Ok(nats.sum::<f64>() / (validation.len() - 1) as f64)
}

/// Nats per token that the frequencies of `train`, each count plus one, need for `validation`.
/// Whoever needs more has learnt less than to count:
///
/// `- 1/M sum over j of ln((count of v[j] in train + 1) / (N + V))`
///
/// for N ids of `train`, M ids `v` of `validation` and V = `vocabulary_len`.
///
/// # Errors
/// [`TextError::Empty`] without validation, [`TextError::UnknownId`] if either part has an id that
/// is not below V.
pub fn unigram_entropy(train: &[u32], validation: &[u32], vocabulary_len: usize) -> Result<f64, TextError> {
    if validation.is_empty() {
        return Err(TextError::Empty { name: "the validation part".into() });
    }
    let (counts, wanted) = (frequencies(train, vocabulary_len)?, frequencies(validation, vocabulary_len)?);
    let total = (train.len() + vocabulary_len) as f64;
    let nats = counts.iter().zip(&wanted).map(|(&n, &m)| m as f64 * -((n + 1) as f64 / total).ln());
    Ok(nats.sum::<f64>() / validation.len() as f64)
}

/// Nats per token that the frequencies of `ids` need for `ids` themselves: `- sum of p ln p`; 0
/// without ids.
pub fn entropy(ids: &[u32]) -> f64 {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let fractions = sorted.chunk_by(|a, b| a == b).map(|run| run.len() as f64 / ids.len() as f64);
    fractions.fold(0.0, |nats, p| nats - p * p.ln())
}

/// How often each of the ids below `vocabulary_len` occurs.
fn frequencies(ids: &[u32], vocabulary_len: usize) -> Result<Vec<usize>, TextError> {
    let mut counts = vec![0; vocabulary_len];
    for &id in ids {
        match counts.get_mut(id as usize) {
            Some(count) => *count += 1,
            None => {
                return Err(TextError::UnknownId { id, known: vocabulary_len });
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::Scratch;

    fn text(bytes: &[u8], unit: Unit) -> Result<Text, TextError> {
        Text::from_bytes(bytes, unit, "poem.txt")
    }

    #[test]
    fn ids_are_the_places_of_units_in_the_sorted_vocabulary() {
        let chars = text("naïve né".as_bytes(), Unit::Char).unwrap();
        assert_eq!(chars.ids, [3, 1, 6, 4, 2, 0, 3, 5]); // ' ' a e n v é ï
        assert_eq!(chars.vocabulary.len(), 7);
        let bytes = text("né".as_bytes(), Unit::Byte).unwrap();
        assert_eq!(bytes.ids, [0, 2, 1]); // 6E, C3, A9
    }

    #[test]
    fn what_is_not_utf_8_is_refused_with_its_place_and_a_way_out() {
        let bytes = b"abc\xFFdef";
        let said = text(bytes, Unit::Char).unwrap_err().to_string();
        assert!(said.contains("poem.txt") && said.contains("byte 3") && said.contains(r#"unit = "byte""#), "{said}");
        assert_eq!(text(bytes, Unit::Byte).unwrap().ids.len(), 7);
        // Cut within a character: the place is where the character begins.
        let cut = &"aé".as_bytes()[..2];
        assert!(matches!(text(cut, Unit::Char), Err(TextError::NotUtf8 { offset: 1, .. })));
    }

    #[test]
    fn an_empty_text_and_a_missing_file_are_said_to_be_so() {
        for unit in [Unit::Char, Unit::Byte] {
            assert_eq!(text(b"", unit).unwrap_err().to_string(), "poem.txt is empty");
        }
        let folder = Scratch::new();
        let said = Text::read(&folder.path("no.txt"), Unit::Char).unwrap_err().to_string();
        assert!(said.ends_with("no.txt does not exist"), "{said}");
        std::fs::write(folder.path("a.txt"), "ab").unwrap();
        assert_eq!(Text::read(&folder.path("a.txt"), Unit::Char).unwrap(), text(b"ab", Unit::Char).unwrap());
    }

    #[test]
    fn validation_is_the_last_part_rounded_down() {
        let text = text(b"0123456789abcdefghi", Unit::Byte).unwrap();
        for (fraction, held_out) in [(0.0, 0), (0.05, 0), (0.1, 1), (0.5, 9), (0.999_999, 18), (1.0f64.next_down(), 18)]
        {
            let (train, validation) = text.split(fraction).unwrap();
            assert_eq!(validation.len(), held_out, "{fraction}");
            assert_eq!([train, validation].concat(), text.ids);
        }
        for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(text.split(fraction), Err(TextError::Fraction { .. })), "{fraction}");
        }
    }

    #[test]
    fn entropy_of_even_frequencies_is_the_logarithm_of_their_number() {
        assert_eq!(entropy(&[]), 0.0);
        assert_eq!(entropy(&[5, 5, 5]), 0.0);
        assert!((entropy(&[0, 9, 1, 7, 1, 9, 0, 7]) - 4f64.ln()).abs() < 1e-15);
        let uneven = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((entropy(&[1, 1, 2, 1]) - uneven).abs() < 1e-15);
    }

    #[test]
    fn unigram_entropy_is_the_cross_entropy_under_counts_plus_one() {
        // Counts 3, 1, 0 of 4 ids: (4, 2, 1) / 7.
        let got = unigram_entropy(&[0, 0, 1, 0], &[0, 2, 2, 1], 3).unwrap();
        let wanted = ((7.0f64 / 4.0).ln() + 2.0 * 7.0f64.ln() + (7.0f64 / 2.0).ln()) / 4.0;
        assert!((got - wanted).abs() < 1e-15);
        // Nothing learnt: all ids are alike.
        assert!((unigram_entropy(&[], &[2, 0], 3).unwrap() - 3f64.ln()).abs() < 1e-15);
        assert!(matches!(unigram_entropy(&[0], &[], 3), Err(TextError::Empty { .. })));
        assert!(matches!(unigram_entropy(&[0], &[3], 3), Err(TextError::UnknownId { id: 3, known: 3 })));
        assert!(matches!(unigram_entropy(&[4], &[0], 3), Err(TextError::UnknownId { id: 4, known: 3 })));
    }
}
