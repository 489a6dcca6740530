//! Words as units: what stands between white space, with `<eos>` for a newline and `<unk>` for the
//! words that were left out.
//!
//! ```text
//! the cat\nsat  ->  the cat <eos> sat
//! ```
//!
//! PyTorch's `word_language_model` ends the last line with an `<eos>` also where the file ends
//! without a newline; here every newline is one `<eos>`, so that decoding undoes encoding.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};

use super::TextError;

/// The word that a newline is.
pub(super) const END: &str = "<eos>";
/// The word that stands for all that are not known.
pub(super) const UNKNOWN: &str = "<unk>";

/// Words, from the most frequent, and the id of each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(super) struct Words {
    known: Vec<String>,
    /// The place of each word in `known`.
    ids: HashMap<String, u32>,
}

impl Words {
    /// The `most` most frequent words of `text`, ties in the order in which they first appear, and
    /// after them `<unk>`, if words were left out and it is not among those kept.
    pub(super) fn of(text: &str, most: usize, name: &str) -> Result<Words, TextError> {
        let mut counts: HashMap<&str, (u64, usize)> = HashMap::new();
        for (position, word) in words(text).enumerate() {
            counts.entry(word).or_insert((0, position)).0 += 1;
        }
        if counts.is_empty() {
            return Err(TextError::Empty { name: name.into() });
        }
        let mut order: Vec<(&str, (u64, usize))> = counts.into_iter().collect();
        order.sort_unstable_by_key(|&(_, (count, first))| (std::cmp::Reverse(count), first));
        let left_out = order.len() > most;
        let mut known: Vec<String> = order.iter().take(most).map(|(word, _)| (*word).to_string()).collect();
        if left_out && !known.iter().any(|word| word == UNKNOWN) {
            known.push(UNKNOWN.into());
        }
        Words::try_from(known)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The ids of a text's words; without `<unk>` among the words, an unknown one is an error.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let unknown = self.ids.get(UNKNOWN);
        let id = |(position, word)| match self.ids.get(word).or(unknown) {
            Some(&id) => Ok(id),
            None => Err(TextError::UnknownUnit { unit: format!("the word {word:?}"), position, known: self.len() }),
        };
        words(text).enumerate().map(id).collect()
    }

    /// The words of `ids`, with spaces between them but not at the ends of lines.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids {
            let word = self.known.get(id as usize).map_or("\u{FFFD}", String::as_str);
            if word == END {
                text.push('\n');
                continue;
            }
            if !(text.is_empty() || text.ends_with('\n')) {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Words) -> bool {
        self.known == other.known // The ids follow from them.
    }
}

impl Eq for Words {}

impl TryFrom<Vec<String>> for Words {
    type Error = TextError;

    fn try_from(known: Vec<String>) -> Result<Words, TextError> {
        if known.is_empty() {
            return Err(TextError::NotAWord { position: 0, word: String::new() });
        }
        let mut ids = HashMap::with_capacity(known.len());
        for (position, word) in known.iter().enumerate() {
            let refused = TextError::NotAWord { position, word: word.clone() };
            let Ok(id) = u32::try_from(position) else { return Err(refused) };
            match ids.entry(word.clone()) {
                Entry::Vacant(place) if is_word(word) => place.insert(id),
                _ => return Err(refused),
            };
        }
        Ok(Words { known, ids })
    }
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Vec<String> {
        words.known
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && !word.contains(char::is_whitespace)
}

/// The words of a text, and `<eos>` wherever a line ends.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').flat_map(|line| line.split_whitespace().chain(line.ends_with('\n').then_some(END)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Text, Unit, Vocabulary};

    fn text(words: &str, most: usize) -> Text {
        Text::from_words(words.as_bytes(), most, "poem.txt").unwrap()
    }

    #[test]
    fn words_are_numbered_from_the_most_frequent_and_ties_by_first_appearance() {
        let text = text("b a c a\nb a\n", usize::MAX);
        assert_eq!(
            serde_json::to_string(&text.vocabulary).unwrap(),
            r#"{"unit":"word","units":["a","b","<eos>","c"]}"#
        );
        assert_eq!(text.ids, [1, 0, 3, 0, 2, 1, 0, 2]);
        assert_eq!((text.vocabulary.unit(), text.vocabulary.len()), (Unit::Word, 4));
        assert_eq!(Text::from_bytes(b"b a c a\nb a\n", Unit::Word, "poem.txt").unwrap(), text);
    }

    #[test]
    fn a_cut_vocabulary_knows_every_text() {
        let text = text("b a c a d\nb a", 2);
        assert_eq!(text.vocabulary.len(), 3, "two words and <unk>");
        assert_eq!(text.vocabulary.decode(&text.ids), "b a <unk> a <unk> <unk> b a");
        assert_eq!(text.vocabulary.encode("never seen").unwrap(), [2, 2]);
    }

    #[test]
    fn an_unk_of_the_text_itself_is_the_one_that_is_used() {
        let text = text("<unk> <unk> a b", 2);
        assert_eq!(text.ids, [0, 0, 1, 0]);
        assert_eq!(text.vocabulary.len(), 2);
    }

    #[test]
    fn without_unk_an_unknown_word_is_named() {
        let said = text("a b", usize::MAX).vocabulary.encode("a zebra").unwrap_err().to_string();
        assert_eq!(said, "the word \"zebra\", unit 1 from 0, is not among the 2 of the vocabulary");
    }

    #[test]
    fn decoding_undoes_encoding_where_words_are_one_space_apart() {
        for lines in ["a b\nc\n", "a", "\n\na b\n", "naïve 日本\nx"] {
            let text = text(lines, usize::MAX);
            assert_eq!(text.vocabulary.decode(&text.ids), lines);
        }
        assert_eq!(text("a  b\t\r\n c", usize::MAX).ids.len(), 4);
        assert_eq!(text("a b", usize::MAX).vocabulary.decode(&[0, 9]), "a \u{FFFD}");
    }

    #[test]
    fn json_is_read_back_and_refused_where_it_is_no_vocabulary() {
        let vocabulary = text("b a c a\n", 2).vocabulary;
        let json = serde_json::to_string(&vocabulary).unwrap();
        assert_eq!(serde_json::from_str::<Vocabulary>(&json).unwrap(), vocabulary);
        for (units, wanted) in
            [("[]", "one or more"), (r#"["a","a"]"#, "unit 1"), (r#"["a b"]"#, "white space"), (r#"[""]"#, "unit 0")]
        {
            let json = format!(r#"{{"unit":"word","units":{units}}}"#);
            let said = serde_json::from_str::<Vocabulary>(&json).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }

    #[test]
    fn nothing_but_white_space_is_no_text_and_no_words_are_no_vocabulary() {
        assert!(matches!(Text::from_words(b" \t ", 9, "x"), Err(TextError::Empty { .. })));
        assert!(matches!(Text::from_words(b"a", 0, "x"), Err(TextError::Zero { what: "vocabulary" })));
        assert!(matches!(Text::from_words(b"a \xFF", 9, "x"), Err(TextError::NotUtf8 { offset: 2, .. })));
    }
}
