//! What a run file may say, what it may not, and that writing and reading are inverse.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const MODEL: &str = "[[layer]]\ntype = \"embedding\"\nsize = 4\n";

fn read(text: &str) -> Config {
    Config::from_toml(text, "run.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> ConfigError {
    Config::from_toml(text, "run.toml").expect_err(text)
}

#[test]
fn every_mistake_is_reported_where_it_stands() {
    let cases = include_str!("mistakes.txt").split("\n\n").skip(1);
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
    assert!(seen >= 35, "{seen} cases");
}

#[test]
fn the_readme_shows_the_documented_file() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(include_str!("run.toml").trim_end()), "the README shows another run.toml");
}

#[test]
fn the_documented_file_is_the_default_run() {
    assert_eq!(read(include_str!("run.toml")), Config::default_run());
}

#[test]
fn the_documented_file_names_every_key() {
    let documented = include_str!("run.toml");
    let says = |key: &str| {
        let line = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        documented.lines().any(line) || documented.contains(&format!("[{key}]"))
    };
    let typed = keys::LAYERS.iter().chain(keys::OPTIMIZERS).flat_map(|(_, keys)| *keys);
    let all = [keys::TOP, keys::DATA, keys::TRAIN, keys::BUDGET].concat();
    for key in typed.chain(&all).filter(|key| **key != "optimizer") {
        assert!(says(key), "{key}");
    }
    for (word, _) in keys::LAYERS.iter().chain(keys::OPTIMIZERS) {
        assert!(documented.contains(word), "{word}");
    }
}

#[test]
fn every_key_that_is_in_one_place_only_has_its_home_there() {
    let typed = keys::LAYERS.iter().chain(keys::OPTIMIZERS);
    let typed: Vec<_> = typed.flat_map(|(_, keys)| *keys).collect();
    let all = [keys::TOP, keys::DATA, keys::TRAIN, keys::BUDGET].concat();
    let once = |key: &str| typed.iter().filter(|k| ***k == key).count() < 2;
    for key in typed.iter().copied().chain(&all).filter(|key| once(key)) {
        assert!(keys::home(key).is_some(), "{key}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let layers = "[[layer]]\ntype = \"embedding\"\nsize = 64\n[[layer]]\ntype = \"rnn\"\n\
                  hidden_size = 256\n[[layer]]\ntype = \"linear\"\n";
    let mut expected = Config::default_run();
    (expected.train.batch, expected.train.steps) = (16, 1000);
    expected.train.clip_norm = None;
    expected.budget.memory = None;
    assert_eq!(read(layers), expected);
    let empty_tables = format!("{layers}[data]\n[train]\n[budget]\n");
    assert_eq!(read(&empty_tables), expected);
}

#[test]
fn what_an_optimizer_leaves_out_is_as_in_torch() {
    let optimizer = |word: &str| {
        let text = format!("train.optimizer.type = \"{word}\"\n{MODEL}");
        read(&text).train.optimizer
    };
    let adamw = OptimizerConfig::AdamW { learning_rate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
    let sgd = OptimizerConfig::Sgd { learning_rate: 1e-3, momentum: 0.0, weight_decay: 0.0 };
    assert_eq!(optimizer("adamw"), adamw);
    assert_eq!(optimizer("sgd"), sgd);
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
    assert_eq!(config.layers[0].kind, LayerKind::Embedding { size: 4 });
}

/// The next of a fixed sequence of numbers that look random (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Any run that a file can describe, floats of every magnitude included.
fn any_config(state: &mut u64) -> Config {
    let mut pick = |n: u64| next(state) % n;
    let mut count = || u32::try_from(1 + pick(section::LARGEST)).expect("31 bits");
    let (size, hidden_size, out, window, parts) = (count(), count(), count(), count(), count() % 999 + 1);
    let bits = |x: u64| f32::from_bits(u32::try_from(x).expect("31 bits"));
    let mut float = || bits(1 + pick(0x7f7f_ffff));
    let (learning_rate, eps, weight_decay, clip) = (float(), float(), float(), float());
    let mut below_one = || bits(pick(0x3f80_0000));
    let (momentum, first, second) = (below_one(), below_one(), below_one());
    let nonlinearity = [Nonlinearity::Tanh, Nonlinearity::Relu][usize::from(pick(2) == 0)];
    let out_features = (pick(2) == 0).then_some(out);
    let kinds = [
        LayerKind::Embedding { size },
        LayerKind::Rnn { hidden_size, nonlinearity, bias: pick(2) == 0 },
        LayerKind::Linear { out_features, bias: pick(2) == 0 },
        LayerKind::Tanh,
        LayerKind::Relu,
        LayerKind::Sigmoid,
    ];
    let layer = |(i, kind)| LayerConfig { name: format!("{i}.a_-Z"), kind };
    let betas = [first, second];
    let which = usize::try_from(pick(5)).expect("at most 4");
    let text = ["a b.txt", "C:\\x\\'\"y.txt", "/ü\n\t\u{7f}\u{1}#.txt", "'''\"\"\""];
    let optimizers = [
        OptimizerConfig::Sgd { learning_rate, momentum, weight_decay },
        OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay },
    ];
    Config {
        seed: pick(u64::MAX),
        data: DataConfig {
            text: text.get(which).map(PathBuf::from),
            unit: [Unit::Char, Unit::Byte][usize::from(pick(2) == 0)],
            validation: f64::from_bits(pick(1f64.to_bits())),
        },
        layers: kinds.into_iter().enumerate().map(layer).collect(),
        train: TrainConfig {
            batch: parts * 7,
            window,
            accumulate: parts,
            steps: 1 + pick(u64::MAX),
            optimizer: optimizers[usize::from(pick(2) == 0)].clone(),
            clip_norm: (pick(2) == 0).then_some(clip),
            report_every: window,
        },
        budget: BudgetConfig { memory: (pick(2) == 0).then(|| Bytes((1 + pick(999)) << pick(50))) },
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    assert_eq!(read(&Config::default_run().to_toml()), Config::default_run());
    let mut state = 0;
    for _ in 0..500 {
        let config = any_config(&mut state);
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
    let whole = include_str!("run.toml");
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
    let config = Config::read(&path).expect("a good file");
    assert_eq!(config.data.text, Some(folder.0.join("a/b.txt")));
    let here = std::env::current_dir().expect("tests have a working folder");
    assert_eq!(read::beside(Path::new("run.toml"), Path::new("a.txt")), here.join("a.txt"));

    let elsewhere = std::env::temp_dir().join("text");
    let elsewhere = elsewhere.to_str().expect("a Unicode path");
    let text = format!("data.text = '{elsewhere}'\n{MODEL}");
    let path = folder.file("absolute.toml", text.as_bytes());
    let config = Config::read(&path).expect("a good file");
    assert_eq!(config.data.text.as_deref(), Some(Path::new(elsewhere)));
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
