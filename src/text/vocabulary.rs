//! The units of a text, numbered in their own order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TextError;
use super::words::Words;

/// What one token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A character: a Unicode scalar value.
    Char,
    /// A byte; any file is a text of bytes.
    Byte,
    /// A word: what stands between white space. A newline is the word `<eos>`, as in PyTorch's
    /// `word_language_model`, and words that the vocabulary has not are its `<unk>`, if it has one.
    Word,
}

impl fmt::Display for Unit {
    /// As in a configuration: `char`, `byte`, `word`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Char => "char",
            Unit::Byte => "byte",
            Unit::Word => "word",
        })
    }
}

/// The units that a text can have; a unit's id is its place among them. Never empty.
///
/// As JSON: `{"unit":"char","units":["\n"," ","a"]}`, `{"unit":"byte","units":[10,32,97]}` or
/// `{"unit":"word","units":["the","<eos>","<unk>"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Units", into = "Units")]
pub struct Vocabulary(Units);

/// Each once: characters and bytes in rising order, words from the most frequent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unit", content = "units", rename_all = "lowercase")]
enum Units {
    Char(Vec<char>),
    Byte(Vec<u8>),
    Word(Words),
}

impl Vocabulary {
    /// All units of a text that is not empty; `name` is what errors call it.
    pub(super) fn of(bytes: &[u8], unit: Unit, name: &str) -> Result<Vocabulary, TextError> {
        Ok(Vocabulary(match unit {
            Unit::Char => {
                // A table of all characters up to the highest, as sorting a long text takes far longer.
                let text = characters(bytes, name)?;
                let highest = text.chars().max().unwrap_or('\0');
                let mut seen = vec![false; highest as usize + 1];
                text.chars().for_each(|c| seen[c as usize] = true);
                Units::Char(('\0'..=highest).filter(|&c| seen[c as usize]).collect())
            }
            Unit::Byte => {
                let mut seen = [false; 256];
                bytes.iter().for_each(|&byte| seen[usize::from(byte)] = true);
                Units::Byte((0..=u8::MAX).filter(|&byte| seen[usize::from(byte)]).collect())
            }
            Unit::Word => Units::Word(Words::of(characters(bytes, name)?, usize::MAX, name)?),
        }))
    }

    /// The `most` most frequent words of a text, and `<unk>` for the others, if there are others;
    /// `name` is what errors call the text.
    pub(super) fn of_words(bytes: &[u8], most: usize, name: &str) -> Result<Vocabulary, TextError> {
        Ok(Vocabulary(Units::Word(Words::of(characters(bytes, name)?, most, name)?)))
    }

    /// What the tokens stand for.
    pub fn unit(&self) -> Unit {
        match self.0 {
            Units::Char(_) => Unit::Char,
            Units::Byte(_) => Unit::Byte,
            Units::Word(_) => Unit::Word,
        }
    }

    /// Number of units; ids are below it.
    pub fn len(&self) -> usize {
        match &self.0 {
            Units::Char(known) => known.len(),
            Units::Byte(known) => known.len(),
            Units::Word(known) => known.len(),
        }
    }

    /// The same as a dimension of a tensor.
    pub fn size(&self) -> u32 {
        u32::try_from(self.len()).expect("every unit has an id of 32 bits")
    }

    /// Never: a text has units.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of a `&str` or of bytes.
    ///
    /// # Errors
    /// [`TextError::UnknownUnit`] for the first unit that is not known (never, where words have an
    /// `<unk>`), [`TextError::NotUtf8`] if the units are characters or words and the bytes are not.
    pub fn encode(&self, text: impl AsRef<[u8]>) -> Result<Vec<u32>, TextError> {
        let bytes = text.as_ref();
        match &self.0 {
            Units::Char(known) => {
                let text = characters(bytes, "the text to encode")?;
                ids(known, text.chars(), |c| format!("the character {c:?} (U+{:04X})", u32::from(c)))
            }
            Units::Byte(known) => ids(known, bytes.iter().copied(), |byte| format!("the byte {byte} (0x{byte:02X})")),
            Units::Word(known) => known.encode(characters(bytes, "the text to encode")?),
        }
    }

    /// The text of `ids`; words are joined by spaces, and `<eos>` ends a line. An id that is not
    /// known, and a byte that is not UTF-8 among its neighbours, becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        match &self.0 {
            Units::Char(known) => {
                ids.iter().map(|&id| known.get(id as usize).copied().unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Units::Byte(known) => {
                let mut bytes = Vec::with_capacity(ids.len());
                for &id in ids {
                    match known.get(id as usize) {
                        Some(&byte) => bytes.push(byte),
                        None => bytes.extend("\u{FFFD}".as_bytes()),
                    }
                }
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Units::Word(known) => known.decode(ids),
        }
    }
}

impl TryFrom<Units> for Vocabulary {
    type Error = TextError;

    fn try_from(units: Units) -> Result<Vocabulary, TextError> {
        let unsorted = match &units {
            Units::Char(known) => first_unsorted(known),
            Units::Byte(known) => first_unsorted(known),
            Units::Word(_) => None, // Their order is free, and reading them has checked the rest.
        };
        match unsorted {
            Some(position) => Err(TextError::Unsorted { position }),
            None => Ok(Vocabulary(units)),
        }
    }
}

impl From<Vocabulary> for Units {
    fn from(vocabulary: Vocabulary) -> Units {
        vocabulary.0
    }
}

/// The first unit that is not above the one before it; 0 if there is none at all.
fn first_unsorted<U: Ord>(known: &[U]) -> Option<usize> {
    if known.is_empty() { Some(0) } else { known.windows(2).position(|pair| pair[0] >= pair[1]).map(|i| i + 1) }
}

fn characters<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, TextError> {
    std::str::from_utf8(bytes).map_err(|error| TextError::NotUtf8 { name: name.into(), offset: error.valid_up_to() })
}

fn ids<U: Copy + Ord>(
    known: &[U],
    units: impl Iterator<Item = U>,
    in_words: impl Fn(U) -> String,
) -> Result<Vec<u32>, TextError> {
    let id = |(position, unit)| match known.binary_search(&unit) {
        Ok(place) => Ok(u32::try_from(place).expect("there are fewer than 2^21 characters")),
        Err(_) => Err(TextError::UnknownUnit { unit: in_words(unit), position, known: known.len() }),
    };
    units.enumerate().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(text: &[u8], unit: Unit) -> Vocabulary {
        Vocabulary::of(text, unit, "test").unwrap()
    }

    #[test]
    fn decoding_undoes_encoding() {
        for text in ["To be, or not to be\n", "naïve — 日本 🚢", "\u{0}\u{10FFFF}"] {
            for unit in [Unit::Char, Unit::Byte] {
                let vocabulary = vocabulary(text.as_bytes(), unit);
                assert_eq!(vocabulary.decode(&vocabulary.encode(text).unwrap()), text);
            }
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(vocabulary(&all, Unit::Byte).encode(&all).unwrap(), (0..256).collect::<Vec<u32>>());
    }

    #[test]
    fn an_unknown_unit_is_named_with_its_place_and_the_number_of_known_ones() {
        let said = vocabulary(b"abc", Unit::Char).encode("aé\u{301}").unwrap_err().to_string();
        assert_eq!(said, "the character 'é' (U+00E9), unit 1 from 0, is not among the 3 of the vocabulary");
        let said = vocabulary(b"ab", Unit::Byte).encode([b'a', b'b', 10]).unwrap_err().to_string();
        assert!(said.starts_with("the byte 10 (0x0A), unit 2 ") && said.contains("among the 2 of"), "{said}");
        let vocabulary = vocabulary(b"ab", Unit::Char);
        assert!(matches!(vocabulary.encode(b"ab\x80"), Err(TextError::NotUtf8 { offset: 2, .. })));
    }

    #[test]
    fn what_cannot_be_decoded_becomes_the_replacement_character() {
        assert_eq!(vocabulary(b"ab", Unit::Char).decode(&[0, 2, 1, u32::MAX]), "a\u{FFFD}b\u{FFFD}");
        let bytes = vocabulary("aé".as_bytes(), Unit::Byte); // 61, A9, C3
        assert_eq!(bytes.decode(&[2, 1, 0, 2, 3, 0]), "éa\u{FFFD}\u{FFFD}a");
    }

    #[test]
    fn json_is_readable_and_read_back() {
        let chars = vocabulary("b\na".as_bytes(), Unit::Char);
        let bytes = vocabulary(b"b\na", Unit::Byte);
        for (vocabulary, json) in
            [(chars, r#"{"unit":"char","units":["\n","a","b"]}"#), (bytes, r#"{"unit":"byte","units":[10,97,98]}"#)]
        {
            assert_eq!(serde_json::to_string(&vocabulary).unwrap(), json);
            assert_eq!(serde_json::from_str::<Vocabulary>(json).unwrap(), vocabulary);
        }
    }

    #[test]
    fn json_that_is_no_sorted_set_is_refused() {
        for (json, wanted) in [
            (r#"{"unit":"char","units":["b","a"]}"#, "unit 1"),
            (r#"{"unit":"byte","units":[1,2,2]}"#, "unit 2"),
            (r#"{"unit":"byte","units":[]}"#, "one unit or more"),
            (r#"{"unit":"byte","units":[256]}"#, "256"),
            (r#"{"unit":"char","units":["ab"]}"#, "ab"),
            (r#"{"unit":"line","units":["ab"]}"#, "line"),
        ] {
            let said = serde_json::from_str::<Vocabulary>(json).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
