//! The words that a run file may use, and the nearest of them to a word that it may not.

/// Types and the keys that each allows.
pub(super) type Types = &'static [(&'static str, &'static [&'static str])];

/// A table whose keys depend on its `type`.
pub(super) struct Kind {
    /// Its key.
    pub(super) key: &'static str,
    /// As a sentence names one: "a layer".
    pub(super) place: &'static str,
    /// As a sentence names where they stand, whatever their type.
    whole: &'static str,
    pub(super) types: Types,
}

pub(super) const TOP: &[&str] = &["seed", "data", "layer", "train", "checkpoint", "budget"];
pub(super) const TRAIN: &[&str] = &[
    "batch",
    "window",
    "accumulate",
    "steps",
    "epochs",
    "report_every",
    "evaluate_every",
    "clip_norm",
    "clip_value",
    "carry_state",
    "storage",
    "parameter_storage",
    "loss_scale",
    "non_finite",
    "loss",
    "optimizer",
    "schedule",
    "warmup",
    "group",
];
pub(super) const GROUP: &[&str] = &["parameters", "weight_decay", "learning_rate"];
pub(super) const CHECKPOINT: &[&str] = &["every", "keep"];
pub(super) const BUDGET: &[&str] =
    &["memory", "segment", "segment_states", "recompute", "release_gradients", "keep_copies", "bargain"];

pub(super) const DATA: Kind = Kind {
    key: "data",
    place: "`[data]`",
    whole: "in `[data]`",
    types: &[
        ("text", &["type", "text", "unit", "vocabulary", "validation", "test", "workers"]),
        (
            "table",
            &["type", "file", "inputs", "targets", "target", "standardise", "validation", "test", "shuffle", "workers"],
        ),
        (
            "series",
            &[
                "type",
                "file",
                "inputs",
                "targets",
                "horizon",
                "predict",
                "standardise",
                "validation",
                "test",
                "shuffle",
                "workers",
            ],
        ),
        ("idx", &["type", "folder", "rows_as_steps", "validation", "shuffle", "workers"]),
        (
            "arrays",
            &[
                "type",
                "file",
                "inputs",
                "targets",
                "lengths",
                "target",
                "vocabulary",
                "predict",
                "validation",
                "test",
                "shuffle",
                "workers",
            ],
        ),
    ],
};

pub(super) const LAYER: Kind = Kind {
    key: "layer",
    place: "a layer",
    whole: "in a `[[layer]]`",
    types: &[
        ("embedding", &["type", "name", "size", "padding_idx", "init"]),
        (
            "rnn",
            &[
                "type",
                "name",
                "input",
                "hidden_size",
                "layers",
                "bidirectional",
                "dropout",
                "nonlinearity",
                "bias",
                "init",
            ],
        ),
        (
            "gru",
            &[
                "type",
                "name",
                "input",
                "hidden_size",
                "layers",
                "bidirectional",
                "dropout",
                "bias",
                "reset_after",
                "init",
            ],
        ),
        (
            "lstm",
            &[
                "type",
                "name",
                "input",
                "hidden_size",
                "layers",
                "bidirectional",
                "dropout",
                "bias",
                "forget_bias",
                "init",
            ],
        ),
        ("linear", &["type", "name", "input", "out_features", "bias", "tied", "init"]),
        ("layer_norm", &["type", "name", "input", "eps", "elementwise_affine", "bias"]),
        ("dropout", &["type", "name", "input", "p"]),
        ("tanh", &["type", "name", "input"]),
        ("relu", &["type", "name", "input"]),
        ("sigmoid", &["type", "name", "input"]),
        ("silu", &["type", "name", "input"]),
        ("gelu", &["type", "name", "input", "approximate"]),
        ("softplus", &["type", "name", "input", "beta", "threshold"]),
        ("leaky_relu", &["type", "name", "input", "negative_slope"]),
        ("add", &["type", "name", "input"]),
        ("concat", &["type", "name", "input"]),
        ("last", &["type", "name", "input"]),
    ],
};

pub(super) const LOSS: Kind = Kind {
    key: "loss",
    place: "a loss",
    whole: "in `loss`",
    types: &[
        ("cross_entropy", &["type", "label_smoothing", "class_weights"]),
        ("mse", &["type"]),
        ("l1", &["type"]),
        ("huber", &["type", "delta"]),
        ("bce_with_logits", &["type"]),
    ],
};

pub(super) const OPTIMIZER: Kind = Kind {
    key: "optimizer",
    place: "an optimizer",
    whole: "in `optimizer`",
    types: &[
        ("adamw", &["type", "learning_rate", "betas", "eps", "weight_decay"]),
        ("adam", &["type", "learning_rate", "betas", "eps", "weight_decay"]),
        ("sgd", &["type", "learning_rate", "momentum", "nesterov", "dampening", "weight_decay"]),
        ("rmsprop", &["type", "learning_rate", "alpha", "eps", "momentum", "centered", "weight_decay"]),
        ("adagrad", &["type", "learning_rate", "lr_decay", "eps", "initial_accumulator_value", "weight_decay"]),
    ],
};

pub(super) const SCHEDULE: Kind = Kind {
    key: "schedule",
    place: "a schedule",
    whole: "in `schedule`",
    types: &[
        ("constant", &["type"]),
        ("linear", &["type", "start_factor", "end_factor", "steps"]),
        ("cosine", &["type", "steps", "eta_min"]),
        ("step", &["type", "step_size", "gamma"]),
        ("exponential", &["type", "gamma", "every"]),
        (
            "one_cycle",
            &[
                "type",
                "max_lr",
                "steps",
                "pct_start",
                "div_factor",
                "final_div_factor",
                "anneal",
                "cycle_momentum",
                "base_momentum",
                "max_momentum",
                "three_phase",
            ],
        ),
        ("plateau", &["type", "factor", "patience", "threshold", "cooldown", "min_lr"]),
    ],
};

pub(super) const KINDS: [&Kind; 5] = [&DATA, &OPTIMIZER, &LAYER, &LOSS, &SCHEDULE];

/// The place where `key`, which stands in a wrong table, is at home. If that table is of a `kind`,
/// its other types are asked first.
pub(super) fn home(key: &str, kind: Option<&Kind>) -> Option<String> {
    const PLAIN: [(&str, &[&str]); 4] = [
        ("at the top of the file", TOP),
        ("in `[train]`", TRAIN),
        ("in `[checkpoint]`", CHECKPOINT),
        ("in `[budget]`", BUDGET),
    ];
    let plain = || PLAIN.iter().find(|(_, keys)| keys.contains(&key)).map(|(place, _)| (*place).to_owned());
    let typed = || KINDS.iter().find_map(|kind| kind.home(key, false));
    let group = || GROUP.contains(&key).then(|| "in a `[[train.group]]`".to_owned());
    kind.and_then(|kind| kind.home(key, true)).or_else(plain).or_else(typed).or_else(group)
}

impl Kind {
    pub(super) fn words(&self) -> Vec<&'static str> {
        self.types.iter().map(|(word, _)| *word).collect()
    }

    /// Where among its types `key` is at home, as one of them says it that has no such key, or a
    /// table of another kind. Every table has a `type`, so that tells nothing.
    fn home(&self, key: &str, from_within: bool) -> Option<String> {
        // A longer list is no help.
        const MOST: usize = 6;
        let having: Vec<_> = self.types.iter().filter(|(_, keys)| keys.contains(&key)).map(|(word, _)| *word).collect();
        match having[..] {
            _ if key == "type" => None,
            [] => None,
            _ if having.len() > MOST && from_within => Some(format!("{} of another type", self.whole)),
            _ if having.len() > MOST || having.len() == self.types.len() => Some(self.whole.to_owned()),
            _ => Some(format!("in {} of type {}", self.place, alternatives(&having))),
        }
    }
}

/// `a`, `b` or `c`
pub(super) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match &quoted[..] {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        all => all.concat(),
    }
}

/// The word most like `given`, if any is.
pub(super) fn nearest<'w>(given: &str, words: &[&'w str]) -> Option<&'w str> {
    // Low enough for `lr` to find `learning_rate`, high enough for `foo` to find nothing.
    const ALIKE: f64 = 0.7;
    closest(given, words).filter(|(alike, _)| *alike >= ALIKE).map(|(_, word)| word)
}

/// What PyTorch calls some keys, and what a run file does.
const PYTORCH: &[(&str, &str)] = &[
    ("batch_size", "batch"),
    ("lr", "learning_rate"),
    ("num_layers", "layers"),
    ("embedding_dim", "size"),
    ("num_embeddings", "vocabulary"),
    ("T_max", "steps"),
    ("total_iters", "steps"),
    ("total_steps", "steps"),
    ("anneal_strategy", "anneal"),
];

/// A word that must be meant, wherever else `given` might be at home: it differs by next to nothing,
/// as `layer` does from `layers`, or is the one for what PyTorch calls `given`.
pub(super) fn meant<'w>(given: &str, words: &[&'w str]) -> Option<&'w str> {
    const ALIKE: f64 = 0.95;
    let ours = PYTORCH.iter().find(|(theirs, _)| *theirs == given).map(|(_, ours)| ours);
    let named = words.iter().find(|word| Some(*word) == ours).copied();
    named.or_else(|| closest(given, words).filter(|(alike, _)| *alike >= ALIKE).map(|(_, word)| word))
}

fn closest<'w>(given: &str, words: &[&'w str]) -> Option<(f64, &'w str)> {
    let given = given.to_lowercase();
    let likeness = |word: &&'w str| (strsim::jaro_winkler(&given, word), *word);
    words.iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0))
}

/// `; did you mean ...?`, or nothing.
pub(super) fn did_you_mean(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}
