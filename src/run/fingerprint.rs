//! A fingerprint of a run's data, so that a run is not taken up with data that have changed.

use flate2::Crc;

use super::source::Source;
use crate::data::{Dataset, Values};

impl Source {
    /// The data's fingerprint: how much there is, and a checksum of it.
    pub fn fingerprint(&self) -> String {
        let mut crc = Crc::new();
        let len = match self {
            Source::Text(text) => {
                crc.update(&serde_json::to_vec(&text.vocabulary).expect("units can be written"));
                crc.update(bytemuck::cast_slice(&text.ids));
                text.ids.len()
            }
            Source::Examples(examples) => {
                let parts = &examples.parts;
                let all = [&parts.train, &parts.validation, &parts.test];
                all.into_iter().for_each(|part| note(&mut crc, part));
                all.into_iter().map(Dataset::len).sum()
            }
        };
        format!("{len}:{:08x}", crc.sum())
    }
}

/// Which examples a part has, how long they are, and all values it shares with other parts.
fn note(crc: &mut Crc, part: &Dataset) {
    for i in 0..part.len() {
        crc.update(&(part.origin(i) as u64).to_le_bytes());
        crc.update(&(part.length(i) as u64).to_le_bytes());
    }
    for field in part.fields() {
        match field.values() {
            Values::Numbers(x) | Values::Bits(x) => crc.update(bytemuck::cast_slice(x)),
            Values::Pixels(x) => crc.update(x),
            Values::Ids { ids, .. } | Values::Classes { ids, .. } => crc.update(bytemuck::cast_slice(ids)),
        }
    }
}
