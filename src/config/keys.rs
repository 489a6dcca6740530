//! The words that a run file may use, and the nearest of them to a word that it may not.

/// Types and the keys that each allows.
pub(super) type Types = &'static [(&'static str, &'static [&'static str])];

pub(super) const TOP: &[&str] = &["seed", "data", "layer", "train", "budget"];
pub(super) const DATA: &[&str] = &["text", "unit", "validation"];
pub(super) const TRAIN: &[&str] = &["batch", "window", "accumulate", "steps", "optimizer", "clip_norm", "report_every"];
pub(super) const BUDGET: &[&str] = &["memory"];
pub(super) const LAYERS: Types = &[
    ("embedding", &["type", "name", "size"]),
    ("rnn", &["type", "name", "hidden_size", "nonlinearity", "bias"]),
    ("linear", &["type", "name", "out_features", "bias"]),
    ("tanh", &["type", "name"]),
    ("relu", &["type", "name"]),
    ("sigmoid", &["type", "name"]),
];
pub(super) const OPTIMIZERS: Types = &[
    ("adamw", &["type", "learning_rate", "betas", "eps", "weight_decay"]),
    ("sgd", &["type", "learning_rate", "momentum", "weight_decay"]),
];

/// Where a key that stands in the wrong table is at home. The first place that has it counts.
const HOMES: Types = &[
    ("at the top of the file", TOP),
    ("in `[data]`", DATA),
    ("in `[train]`", TRAIN),
    ("in `[budget]`", BUDGET),
    ("in `optimizer`", &["learning_rate", "weight_decay"]),
    ("in an optimizer of type `adamw`", &["betas", "eps"]),
    ("in an optimizer of type `sgd`", &["momentum"]),
    ("in a layer of type `embedding`", &["size"]),
    ("in a layer of type `rnn`", &["hidden_size", "nonlinearity"]),
    ("in a layer of type `linear`", &["out_features"]),
];

/// The place where `key` is at home, if there is one.
pub(super) fn home(key: &str) -> Option<&'static str> {
    HOMES.iter().find(|(_, keys)| keys.contains(&key)).map(|(place, _)| *place)
}

/// The word most like `given`, if any is.
pub(super) fn nearest(given: &str, words: &[&'static str]) -> Option<&'static str> {
    // Low enough for `lr` to find `learning_rate`, high enough for `foo` to find nothing.
    const ALIKE: f64 = 0.7;
    let given = given.to_lowercase();
    let likeness = |word: &&'static str| (strsim::jaro_winkler(&given, word), *word);
    let best = words.iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, word)| word)
}

/// `; did you mean ...?`, or nothing.
pub(super) fn did_you_mean(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}
