//! That the file with every key has every key, and that what it says of each is so.

use std::collections::{HashMap, HashSet};

use super::super::keys::{BUDGET, CHECKPOINT, GROUP, KINDS, TOP, TRAIN};
use super::super::*;

/// A table of the file, with its `#` taken away if it is an alternative.
struct Block {
    lines: Vec<String>,
    is_alternative: bool,
}

impl Block {
    /// The tables of the file, the lines before the first one being the first.
    fn all() -> Vec<Self> {
        let blocks = Config::REFERENCE.split("\n\n").map(|block| {
            let said = block.lines().filter(|line| !line.starts_with("# "));
            let is_alternative = block.starts_with("#[");
            let bare = said.map(|line| line.strip_prefix('#').unwrap_or(line).to_owned());
            Self { lines: bare.collect(), is_alternative }
        });
        blocks.collect()
    }

    fn head(&self) -> &str {
        self.lines[0].split('#').next().expect("a first part").trim_end()
    }

    fn word(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix("type = \"")?.split('"').next())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| !line.starts_with('[')).filter_map(|line| Some(line.split_once(" = ")?.0))
    }

    /// A run in which this table fits.
    fn run(&self, lines: &[String]) -> String {
        let data = |target: &str| {
            format!(
                "[data]\ntype = \"arrays\"\nfile = \"a.npz\"\ninputs = \"x\"\ntargets = \"y\"\ntarget = \"{target}\"\n"
            )
        };
        // Other layers stand in the whole file only.
        let is_of_layers = |line: &&String| ["input = ", "tied = "].iter().any(|key| line.starts_with(key));
        let lines = lines.iter().filter(|line| !is_of_layers(line)).cloned().collect::<Vec<_>>().join("\n");
        let embedding = "[[layer]]\ntype = \"embedding\"\nsize = 4\n";
        let linear = "[[layer]]\ntype = \"linear\"\n";
        match (self.head(), self.word()) {
            ("[data]", Some("arrays")) => {
                format!("{}\n{lines}\n", if lines.contains("\nvocabulary") { embedding } else { linear })
            }
            ("[data]", Some("text") | None) => format!("{lines}\n{embedding}"),
            ("[[layer]]", Some("embedding")) => format!("{lines}\n{linear}"),
            ("[data]", _) => format!("{lines}\n{linear}"),
            ("[[layer]]", _) => {
                format!("{}[[layer]]\nname = \"before\"\ntype = \"lstm\"\nhidden_size = 3\n{lines}\n", data("number"))
            }
            ("[train.loss]", Some("mse" | "l1" | "huber")) => format!("{}{linear}{lines}\n", data("number")),
            ("[train.loss]", Some("bce_with_logits")) => format!("{}{linear}{lines}\n", data("bit")),
            ("[train.loss]", _) => format!("{}{linear}{lines}\n", data("class")),
            ("[train.schedule]", _) => format!("{embedding}[train]\nevaluate_every = 9\n{lines}\n"),
            _ => format!("{lines}\n{embedding}"),
        }
    }
}

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::from_toml(text, "reference.toml")
}

#[test]
fn the_file_is_a_run_and_each_alternative_is_one() {
    config(Config::REFERENCE).unwrap_or_else(|error| panic!("{error}"));
    let alternatives: Vec<_> = Block::all().into_iter().filter(|block| block.is_alternative).collect();
    assert!(alternatives.len() > 15);
    for block in alternatives {
        let text = block.run(&block.lines);
        config(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[test]
fn it_names_every_key_of_every_type_and_no_other() {
    let mut found: HashMap<(String, Option<String>), HashSet<String>> = HashMap::new();
    for block in Block::all() {
        let at = (block.head().to_owned(), block.word().map(str::to_owned));
        found.entry(at).or_default().extend(block.keys().map(str::to_owned));
    }
    // In the order of `KINDS`.
    let heads = ["[data]", "[train.optimizer]", "[[layer]]", "[train.loss]", "[train.schedule]"];
    for (kind, head) in KINDS.into_iter().zip(heads) {
        for (word, keys) in kind.types {
            let named = &found[&(head.to_owned(), Some((*word).to_owned()))];
            let wanted: HashSet<_> = keys.iter().map(|key| (*key).to_owned()).collect();
            let left: Vec<_> = wanted.symmetric_difference(named).collect();
            assert!(left.is_empty(), "{head} {word}: {left:?}");
        }
    }
    let plain = [("[train]", TRAIN), ("[[train.group]]", GROUP), ("[checkpoint]", CHECKPOINT), ("[budget]", BUDGET)];
    for (head, keys) in plain {
        let named = &found[&(head.to_owned(), None)];
        let is_table = |key: &str| ["loss", "optimizer", "schedule", "group"].contains(&key);
        for key in keys.iter().filter(|key| !is_table(key)) {
            assert!(named.contains(*key), "{head} {key}");
        }
    }
    assert_eq!(TOP.len(), 6, "seed, which the file begins with, and tables");
}

#[test]
fn what_it_says_of_a_key_that_is_left_out_is_so() {
    let mut checked = 0;
    for block in Block::all() {
        for (i, line) in block.lines.iter().enumerate() {
            let Some((entry, value)) = line.split_once("left out: ") else { continue };
            let Some((key, _)) = entry.split_once(" = ") else { continue };
            // Several words are an explanation, not a value.
            if value.contains(' ') && !value.starts_with('[') {
                continue;
            }
            let with = |entry: Option<String>| {
                let mut lines = block.lines.clone();
                lines.splice(i..=i, entry);
                // It would bind `unit`.
                lines.retain(|line| !line.starts_with("vocabulary = "));
                // It wants halves.
                let wants =
                    |line: &String| line.starts_with("loss_scale = ") || line.starts_with("parameter_storage = ");
                lines.retain(|line| key != "storage" || !wants(line));
                config(&block.run(&lines))
            };
            let stated = with(Some(format!("{key} = {value}"))).or_else(|_| with(Some(format!("{key} = \"{value}\""))));
            let [stated, left_out] = [stated, with(None)].map(|read| read.unwrap_or_else(|e| panic!("{e}\n{line}")));
            assert_eq!(left_out, stated, "{line}");
            checked += 1;
        }
    }
    assert!(checked > 90, "{checked} values");
}
