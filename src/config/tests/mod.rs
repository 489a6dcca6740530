//! What a run file may say, what it may not, and that writing and reading are inverse.

mod any;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use any::Any;

const MODEL: &str = "[[layer]]\ntype = \"embedding\"\nsize = 4\n";

fn read(text: &str) -> Config {
    Config::from_toml(text, "run.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> ConfigError {
    Config::from_toml(text, "run.toml").expect_err(text)
}

#[test]
fn every_mistake_is_reported_where_it_stands() {
    let files = [include_str!("mistakes.txt"), include_str!("mistakes_in_types.txt")];
    let cases = files.into_iter().flat_map(|file| file.split("\n\n").skip(1));
    let mut seen = 0;
    for case in cases {
        let (file, said): (Vec<_>, Vec<_>) = case.lines().partition(|line| !line.starts_with("=> "));
        let mut file = file.join("\n") + "\n";
        if !file.contains("layer") {
            file += MODEL;
        }
        let said: Vec<_> = said.iter().map(|line| line.replace("=> ", "run.toml:")).collect();
        assert_eq!(refused(&file).to_string(), said.join("\n"), "{file}");
        seen += 1;
    }
    assert!(seen >= 110, "{seen} cases");
}

#[test]
fn the_readme_shows_the_documented_file() {
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(Config::DEFAULT_FILE.trim_end()), "the README shows another run.toml");
}

#[test]
fn the_documented_file_is_the_default_run() {
    assert_eq!(read(Config::DEFAULT_FILE), Config::default_run());
}

#[test]
fn every_key_has_a_home() {
    let typed = keys::KINDS.into_iter().flat_map(|kind| kind.types).flat_map(|(_, keys)| *keys);
    for key in typed
        .chain([keys::TOP, keys::TRAIN, keys::GROUP, keys::CHECKPOINT, keys::BUDGET].concat().iter())
        .filter(|k| **k != "type")
    {
        assert!(keys::home(key, None).is_some(), "{key}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let layers = "[[layer]]\ntype = \"embedding\"\nsize = 64\n[[layer]]\ntype = \"rnn\"\n\
                  hidden_size = 256\n[[layer]]\ntype = \"linear\"\n";
    let mut expected = Config::default_run();
    (expected.train.batch, expected.train.length) = (16, Length::Steps(1000));
    (expected.train.window, expected.train.clip_norm) = (None, None);
    expected.budget.memory = None;
    assert_eq!(read(layers), expected);
    let empty_tables = format!("{layers}[data]\n[train]\n[checkpoint]\n[budget]\n");
    assert_eq!(read(&empty_tables), expected);
}

#[test]
fn what_an_optimizer_leaves_out_is_as_in_torch() {
    let optimizer = |word: &str| {
        let text = format!("train.optimizer.type = \"{word}\"\n{MODEL}");
        read(&text).train.optimizer
    };
    let (learning_rate, betas, eps, weight_decay) = (1e-3, [0.9, 0.999], 1e-8, 0.0);
    assert_eq!(optimizer("adamw"), OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay: 0.01 });
    assert_eq!(optimizer("adam"), OptimizerConfig::Adam { learning_rate, betas, eps, weight_decay });
    let (momentum, nesterov, dampening) = (0.0, false, 0.0);
    let sgd = OptimizerConfig::Sgd { learning_rate, momentum, nesterov, dampening, weight_decay };
    assert_eq!(optimizer("sgd"), sgd);
    let (learning_rate, alpha, centered) = (1e-2, 0.99, false);
    let rmsprop = OptimizerConfig::RmsProp { learning_rate, alpha, eps, momentum, centered, weight_decay };
    assert_eq!(optimizer("rmsprop"), rmsprop);
    let (lr_decay, eps, initial_accumulator_value) = (0.0, 1e-10, 0.0);
    let adagrad = OptimizerConfig::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value, weight_decay };
    assert_eq!(optimizer("adagrad"), adagrad);
}

#[test]
fn the_loss_that_is_left_out_is_the_usual_one_for_the_targets() {
    for (target, loss) in [("class", "cross_entropy"), ("number", "mse"), ("bit", "bce_with_logits")] {
        let data =
            format!("type = \"arrays\"\nfile = \"a.npz\"\ninputs = \"x\"\ntargets = \"y\"\ntarget = \"{target}\"");
        let config = read(&format!("[data]\n{data}\n[[layer]]\ntype = \"linear\"\n"));
        assert_eq!((config.train.loss.type_name(), config.train.carry_state), (loss, false));
        assert!(config.data.shuffle);
    }
    let streams = "data = { type = \"arrays\", file = \"a.npz\", inputs = \"x\", targets = \"y\" }\n\
                   train.carry_state = true\nlayer = [{ type = \"lstm\", hidden_size = 3 }]\n";
    assert!(!read(streams).data.shuffle, "what is carried on is read in order");
}

#[test]
fn a_layer_without_a_name_is_called_by_its_type_and_number() {
    let words = ["linear", "tanh", "linear", "linear", "tanh"];
    let mut text = MODEL.to_owned();
    for word in words {
        text += &format!("[[layer]]\ntype = \"{word}\"\n");
    }
    text += "[[layer]]\ntype = \"linear\"\nname = \"head-1.x\"\n";
    text += "[[layer]]\ntype = \"linear\"\n";
    let names: Vec<_> = read(&text).layers.into_iter().map(|layer| layer.name).collect();
    let expected = ["embedding", "linear", "tanh", "linear_2", "linear_3", "tanh_2", "head-1.x", "linear_5"];
    assert_eq!(names, expected);
}

#[test]
fn numbers_and_tables_may_be_written_in_any_way_of_toml() {
    let text = "\u{feff}seed = 0xff\r\ntrain = { batch = 1_6, clip_norm = 2, optimizer = \
                { type = \"sgd\", learning_rate = 1 } }\r\nbudget.memory = 4096\r\n\
                layer = [{ type = \"embedding\", size = 0b100 }]\r\n";
    let config = read(text);
    assert_eq!(config.seed, 255);
    assert_eq!(config.train.batch, 16);
    assert_eq!(config.train.clip_norm, Some(2.0));
    assert_eq!(config.budget.memory, Some(Bytes(4096)));
    assert_eq!(config.layers[0].kind, LayerKind::Embedding { size: 4, padding_idx: None });
}

#[test]
fn what_is_written_reads_back_the_same() {
    assert_eq!(read(&Config::default_run().to_toml()), Config::default_run());
    let mut any = Any(0);
    for _ in 0..2000 {
        let config = any.config();
        assert_eq!(read(&config.to_toml()), config);
    }
}

#[test]
fn floats_are_written_in_their_shortest_form() {
    let mut config = Config::default_run();
    config.train.clip_norm = Some(f32::INFINITY);
    let text = config.to_toml();
    for line in ["learning_rate = 0.002", "betas = [0.9, 0.999]", "eps = 1e-8", "clip_norm = inf"] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    config.data.validation = f64::NAN;
    let said = refused(&config.to_toml()).to_string();
    assert!(said.contains("`validation` is the float nan"), "{said}");
}

#[test]
fn a_damaged_file_is_refused_or_read_but_never_a_panic() {
    let whole = Config::DEFAULT_FILE;
    let lines = whole.lines().count() + 1;
    let check = |text: &str| {
        if let Err(error) = Config::from_toml(text, "run.toml") {
            assert!(!error.problems().is_empty());
            assert!(error.problems().iter().all(|p| p.line <= lines && p.column > 0), "{error}");
        }
    };
    for (i, _) in whole.char_indices() {
        check(&whole[..i]);
        check(&whole[i..]);
        for put in ["", "\"", "=", "[", "é", "\n", "\u{0}", "9"] {
            check(&format!("{}{put}{}", &whole[..i], &whole[i + 1..]));
        }
    }
    check(&"[".repeat(100_000));
    check(&format!("{}=1", "a.".repeat(100_000)));
}

/// A folder of its own for each test, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind harms no other test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_relative_text_is_found_beside_the_file() {
    let folder = Folder::new("config-relative");
    let path = folder.file("run.toml", format!("data.text = \"a/b.txt\"\n{MODEL}").as_bytes());
    let mut config = Config::read(&path).expect("a good file");
    assert_eq!(config.data.path_mut(), Some(&mut folder.0.join("a/b.txt")));
    let here = std::env::current_dir().expect("tests have a working folder");
    assert_eq!(read::beside(Path::new("run.toml"), Path::new("a.txt")), here.join("a.txt"));

    let elsewhere = std::env::temp_dir().join("text");
    let elsewhere = elsewhere.to_str().expect("a Unicode path");
    let text = format!("data.text = '{elsewhere}'\n{MODEL}");
    let path = folder.file("absolute.toml", text.as_bytes());
    let mut config = Config::read(&path).expect("a good file");
    assert_eq!(config.data.path_mut().map(|path| path.as_path()), Some(Path::new(elsewhere)));
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = Folder::new("config-unreadable");
    let missing = folder.0.join("missing.toml");
    let said = Config::read(&missing).expect_err("no such file").to_string();
    assert!(said.starts_with(&format!("cannot read {}: ", missing.display())), "{said}");
    assert!(Config::read(&folder.0).is_err(), "a folder");

    let latin1 = folder.file("latin1.toml", b"seed = 1\n# Gr\xf6\xdfe\n");
    let said = Config::read(&latin1).expect_err("not UTF-8").to_string();
    let expected = "2:5: the byte 0xf6 is not UTF-8; save the file as UTF-8";
    assert_eq!(said, format!("{}:{expected}", latin1.display()));

    let large = folder.file("large.toml", &vec![b'\n'; (1 << 20) + 1]);
    let said = Config::read(&large).expect_err("too large").to_string();
    assert!(said.ends_with("is larger than 1 MiB, which is all that a run file may be"), "{said}");
}

#[test]
fn what_is_said_of_thousands_of_mistakes_does_not_grow_with_their_square() {
    let layer = |i| format!("[[layer]]\ntype = \"add\"\nname = \"n{i}\"\ninput = [\"embedding\", \"none{i}\"]\n");
    let file = MODEL.to_owned() + &(0..3000).map(layer).collect::<String>();
    let error = refused(&file);
    assert_eq!(error.problems().len(), 3000);
    let longest = error.problems().iter().map(|problem| problem.message.len()).max().unwrap_or(0);
    assert!(longest < 400, "{longest}");
    let last = &error.problems()[2999].message;
    assert!(last.contains("(layers before it: ..., n2979, n2980") && last.ends_with("n2998)"), "{last}");
}
