//! The text that is at hand wherever Plimsoll is: its own Rust and WGSL sources, in the order of
//! their paths. `build.rs` gathers them.

use super::{Text, TextError, Unit};

impl Text {
    /// The project's own sources, as text.
    pub const EMBEDDED: &str = include_str!(concat!(env!("OUT_DIR"), "/embedded.txt"));

    /// The embedded text in units of `unit`.
    ///
    /// # Errors
    /// None in practice: it is neither empty nor anything but UTF-8.
    pub fn embedded(unit: Unit) -> Result<Self, TextError> {
        Self::from_bytes(Self::EMBEDDED.as_bytes(), unit, "the embedded text")
    }

    /// The embedded text in words, as [`Text::from_words`] has it.
    ///
    /// # Errors
    /// [`TextError::Zero`] for no words at all.
    pub fn embedded_words(most: usize) -> Result<Self, TextError> {
        Self::from_words(Self::EMBEDDED.as_bytes(), most, "the embedded text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shaders_and_then_sources_are_embedded_each_file_once() {
        let text = Text::EMBEDDED;
        for file in [include_str!("embedded.rs"), include_str!("../../shaders/adam.wgsl")] {
            assert_eq!(text.matches(&file.replace("\r\n", "\n")).count(), 1);
        }
        let shader = text.find(include_str!("../../shaders/adam.wgsl").trim_end());
        assert!(shader < text.find(include_str!("../autodiff.rs").trim_end()));
    }
}
