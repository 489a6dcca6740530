//! Bad input of every kind: each is refused with the file, the place and what is wanted, and with the exit
//! code that says whose fault it is; none is a panic, and none leaves anything behind.

mod common;

use std::process::Command;

use common::{Scratch, assert_has, printed};

const LINEAR: &str = "[[layer]]\ntype = \"linear\"\n";
const MODEL: &str = "[[layer]]\ntype = \"embedding\"\nsize = 4\n[[layer]]\ntype = \"rnn\"\nhidden_size = 8\n\
                     [[layer]]\ntype = \"linear\"\n";

/// What is done in a folder with these files, how it exits, and what it says.
struct Case {
    files: Vec<(&'static str, Vec<u8>)>,
    args: &'static str,
    code: i32,
    said: &'static str,
}

/// A run file that is refused by planning it.
fn run(text: String, said: &'static str) -> Case {
    Case { files: vec![("run.toml", text.into_bytes())], args: "plan run.toml", code: 2, said }
}

/// The model, with more lines.
fn model(more: &str, said: &'static str) -> Case {
    run(format!("{MODEL}{more}\n"), said)
}

/// The model, one part of it changed.
fn changed(from: &str, to: &str, said: &'static str) -> Case {
    run(MODEL.replace(from, to), said)
}

/// The model on a text of these bytes.
fn text(more: &str, bytes: impl Into<Vec<u8>>, said: &'static str) -> Case {
    let case = run(format!("[data]\ntext = \"t.txt\"\n{more}\n{MODEL}"), said);
    case.with("t.txt", bytes)
}

/// A table of columns `a` and `b`.
fn table(more: &str, csv: impl Into<Vec<u8>>, said: &'static str) -> Case {
    let data = "[data]\ntype = \"table\"\nfile = \"t.csv\"\ninputs = [\"a\"]\ntargets = [\"b\"]\n";
    run(format!("{data}{more}\n{LINEAR}[train]\nbatch = 2\n"), said).with("t.csv", csv)
}

/// Windows of the same.
fn series(more: &str, csv: String, said: &'static str) -> Case {
    let data = "[data]\ntype = \"series\"\nfile = \"t.csv\"\ninputs = [\"a\"]\ntargets = [\"b\"]\n";
    let layers = "[[layer]]\ntype = \"rnn\"\nhidden_size = 2\n[[layer]]\ntype = \"last\"\n";
    run(format!("{data}{more}\n{layers}{LINEAR}[train]\nbatch = 2\nwindow = 3\n"), said).with("t.csv", csv)
}

/// Arrays `x` and `y` of a file.
fn arrays(more: &str, file: &'static str, bytes: Vec<u8>, said: &'static str) -> Case {
    let data = format!("[data]\ntype = \"arrays\"\nfile = \"{file}\"\ninputs = \"x\"\ntargets = \"y\"\n");
    run(format!("{data}{more}\n{LINEAR}[train]\nbatch = 2\n"), said).with(file, bytes)
}

/// Files of pictures and classes, one of them another.
fn pictures(name: &'static str, bytes: Vec<u8>, said: &'static str) -> Case {
    let mut case = run(format!("[data]\ntype = \"idx\"\nfolder = \".\"\n{LINEAR}[train]\nbatch = 2\n"), said);
    let usual = [
        ("train-images-idx3-ubyte", idx(0x803, &[4, 2, 2], 16)),
        ("train-labels-idx1-ubyte", idx(0x801, &[4], 4)),
        ("t10k-images-idx3-ubyte", idx(0x803, &[2, 2, 2], 8)),
        ("t10k-labels-idx1-ubyte", idx(0x801, &[2], 2)),
    ];
    let replaced = |usual: &str| name.strip_suffix(".gz").unwrap_or(name) == usual;
    case.files.extend(usual.into_iter().filter(|(usual, _)| !replaced(usual)));
    case.with(name, bytes)
}

/// Weights to start from.
fn weights(bytes: Vec<u8>, said: &'static str) -> Case {
    let case = text("", usual_text(), said).with("w.safetensors", bytes);
    Case { args: "train run.toml --init w.safetensors", ..case }
}

/// Something else that is asked for, in a folder with one file.
fn asked(args: &'static str, file: &'static str, content: &str, said: &'static str) -> Case {
    Case { files: vec![(file, content.as_bytes().to_vec())], args, code: 2, said }
}

impl Case {
    fn with(mut self, name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name, bytes.into()));
        self
    }
}

fn usual_text() -> String {
    "the quick brown fox jumps over the lazy dog\n".repeat(12)
}

/// Twenty rows of two columns.
fn csv() -> String {
    "a,b\n".to_owned() + &(0..20).map(|i| format!("{i},{}\n", i * 2)).collect::<String>()
}

fn idx(magic: u32, sizes: &[u32], zeros: usize) -> Vec<u8> {
    let header = [magic].iter().chain(sizes).flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
    [header, vec![0; zeros]].concat()
}

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Arrays `x` and `y` of as many numbers each.
fn two(x: &[f32], y: &[f32]) -> Vec<u8> {
    let bytes = |all: &[f32]| all.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let (n, m) = (x.len(), y.len());
    let (middle, end) = (4 * n, 4 * n + 4 * m);
    let header = format!(
        r#"{{"x":{{"dtype":"F32","shape":[{n},1],"data_offsets":[0,{middle}]}},"y":{{"dtype":"F32","shape":[{m}],"data_offsets":[{middle},{end}]}}}}"#
    );
    safetensors(&header, &[bytes(x), bytes(y)].concat())
}

fn run_files() -> Vec<Case> {
    let mut cases = vec![
        run(String::new(), "lacks `layer`"),
        run("seed = 1\nseed = 2\n".into(), "2:1: `seed` is given twice"),
        run(format!("[train\n{MODEL}"), "1:7: not TOML"),
        run(format!("seed = 1\u{0}\n{MODEL}"), "not TOML at `1"),
        run("\n".repeat((1 << 20) + 1), "larger than 1 MiB"),
        changed("hidden_size = 8", "hidden_size = 0", "`hidden_size` is the integer 0"),
        changed("hidden_size = 8", "hidden_size = 2147483647", "more than 2^32 elements"),
        changed("size = 4", "size = 4294967296", "`size` is the integer 4294967296"),
        changed("\"rnn\"", "\"rnm\"", "did you mean `rnn`?"),
        changed("hidden_size = 8", "hidden_size = 8\ninput = \"nobody\"", "no layer before it"),
        changed("\"rnn\"", "\"rnn\"\nname = \"embedding\"", "is taken by the layer of line 1"),
        changed("\"linear\"", "\"linear\"\nout_features = 3", "its output has 3 features"),
        run(LINEAR.into(), "text is read by an `embedding`"),
        run(format!("[data]\nvalidation = 1.0\n{MODEL}"), "`validation` is the float 1.0"),
        model("[[layer]]\ntype = \"dropout\"\np = 1.5", "`p` is the float 1.5"),
        model("[budget]\nmemory = \"12 parsecs\"", "the unknown unit `parsecs`"),
        model("[checkpoint]\nevery = \"often\"", "`every` is \"often\", and it has no unit"),
        model("[train]\nsteps = 1\nepochs = 1", "wanted only one of them"),
        model("[train]\noptimizer = { type = \"adam\", betas = [0.9] }", "`betas` has length 1"),
        asked("plan no.toml", "x", "", "cannot read no.toml"),
        Case { files: vec![("run.toml", b"seed = 1\n# Gr\xf6\xdfe\n".to_vec())], ..model("", "2:5: the byte 0xf6") },
    ];
    for (line, said) in [
        ("batch = 0", "`batch` is the integer 0"),
        ("batch = 2147483648", "from 1 to 2147483647"),
        ("batch = -3", "`batch` is the integer -3"),
        ("batch = 1.5", "`batch` is the float 1.5"),
        ("window = 0", "`window` is the integer 0"),
        ("steps = 0", "`steps` is the integer 0"),
        ("accumulate = 3", "1, 2, 4, 8, 16 would"),
        ("clip_norm = nan", "`clip_norm` is the float nan"),
        ("optimizer = { type = \"sgd\", learning_rate = inf }", "`learning_rate` is the float inf"),
        ("optimizer = { type = \"sgd\", learning_rate = 1e400 }", "`learning_rate` is the float 1e400"),
    ] {
        cases.push(model(&format!("[train]\n{line}"), said));
    }
    cases
}

fn data() -> Vec<Case> {
    let row = |to: &str| csv().replace("5,10", to);
    vec![
        text("", "", "t.txt is empty"),
        text("", "a", "no batch fits"),
        text("", "abcdef", "the largest batch is 3"),
        text("", &b"Gr\xf6\xdfe"[..], "not UTF-8 at byte 2"),
        text("unit = \"word\"", " \t \n".replace('\n', " ").repeat(100), "t.txt is empty"),
        run(format!("[data]\ntext = \"no.txt\"\n{MODEL}"), "no.txt does not exist"),
        run(format!("[data]\ntext = \".\"\n{MODEL}"), "it is a folder, not a file"),
        table("", "", "no column `a`"),
        table("", "a,b\n", "a header and no rows"),
        table("", csv().replace("a,b", "a,c"), "there are `a`, `c`"),
        table("", csv().replace("a,b", "a,a"), "2 columns named `a`"),
        table("", row("five,10"), "line 7, column `a`: found \"five\""),
        table("", row("nan,10"), "line 7, column `a`: found \"nan\""),
        table("", row("1e39,10"), "line 7, column `a`: found \"1e39\""),
        table("", row("5,10,15"), "line 7: found 3 cells"),
        table("", row("5,"), "line 7, column `b`: found an empty cell"),
        table("", [csv().as_bytes(), b"\xf6,1\n"].concat(), "line 22: found invalid utf-8"),
        table("", csv() + "\"1,2\n", "line 22: found 1 cells"),
        table("target = \"bit\"", csv(), "line 3, column `b`: found \"2\""),
        series("", "a,b\n1,2\n2,3\n".into(), "take a shorter window"),
        series("horizon = 100", csv(), "100 more for the horizon"),
        pictures("train-images-idx3-ubyte", idx(0x803, &[4, 2, 2], 13), "found 13 bytes of elements, wanted 16"),
        pictures("train-images-idx3-ubyte", idx(0x903, &[4, 2, 2], 16), "wanted bytes in 3 dimensions"),
        pictures("train-images-idx3-ubyte", idx(0x803, &[u32::MAX; 3], 0), "more bytes than can be counted"),
        pictures("train-images-idx3-ubyte.gz", b"hello".to_vec(), "which begins with two zeros"),
        pictures("train-labels-idx1-ubyte", idx(0x801, &[3], 3), "found 3 labels, wanted 4"),
        run(format!("[data]\ntype = \"idx\"\nfolder = \".\"\n{LINEAR}"), "wanted train-images-idx3-ubyte"),
        arrays("", "d.npz", Vec::new(), "wanted a whole .npy or .npz file"),
        arrays("", "d.npz", b"hello world".repeat(10), "wanted a whole .npy or .npz file"),
        arrays("", "d.bin", b"x".to_vec(), "wanted a name that ends in .npz or .safetensors"),
        arrays("", "d.safetensors", two(&[1.0; 4], &[1.0; 3]), "found 4 of `x` and 3 of `y`"),
        arrays("", "d.safetensors", two(&[1.0, f32::NAN, 3.0, 4.0], &[1.0; 4]), "value 1 (example 1): found NaN"),
        arrays("target = \"class\"", "d.safetensors", two(&[1.0; 4], &[0.0, 1.0, -1.0, 1.0]), "element 2: found -1"),
        arrays("target = \"class\"", "d.safetensors", two(&[1.0; 4], &[0.0, 1.0, 0.5, 1.0]), "element 2: found 0.5"),
        arrays("", "d.safetensors", safetensors("{}", b""), "no array `x`"),
    ]
}

fn saved_files() -> Vec<Case> {
    let one = |dtype: &str, from: u32, to: u32| {
        format!(r#""a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[{from},{to}]}}"#)
    };
    let whole = |entries: &[String], data: &[u8]| safetensors(&format!("{{{}}}", entries.join(",")), data);
    let overlapping = [one("F32", 0, 4), one("F32", 0, 4).replace("\"a\"", "\"b\"")];
    vec![
        weights(Vec::new(), "it has 0 bytes"),
        weights([&(1u64 << 62).to_le_bytes()[..], b"{}"].concat(), "its header would have 4611686018427387904 bytes"),
        weights(safetensors("hello", b""), "its header: expected value"),
        weights(whole(&[one("F32", 0, 4)], b"12"), "its tensors take 4 bytes, 2 bytes follow the header"),
        weights(whole(&overlapping, b"1234"), "invalid offset"),
        weights(whole(&[one("I64", 0, 8)], b"12345678"), "`a` is I64"),
        weights(whole(&[one("F32", 0, 4)], b"1234"), "missing: `embedding.weight` [28, 4]"),
        asked("plan --profile nosuch", "x", "", "there is no profile `nosuch`"),
        asked("plan --profile p.json", "p.json", "{\"name\": 3}", "p.json is not a device profile"),
        asked("plan --profile p.json", "p.json", "", "p.json is not a device profile"),
        asked("plan --profile p.json", "p.json", "[]", "the list of adapters is empty"),
        asked("train --resume no", "x", "", "no is no folder"),
        asked("train --resume x", "x", "", "x is no folder"),
        asked("train --resume .", "x", "", "it has no checkpoint"),
        asked("train --resume .", "config.toml", "seed = \"x\"", "`seed` is the string"),
        asked("sample no", "x", "", "no/config.toml"),
        asked("sample .", "config.toml", MODEL, "vocabulary.json does not exist"),
        asked("sample .", "config.toml", MODEL, "is not a vocabulary").with("vocabulary.json", "{}"),
        asked("sample .", "config.toml", MODEL, "model.safetensors does not exist")
            .with("vocabulary.json", r#"{"unit":"char","units":["a","b"]}"#),
        Case {
            args: "train run.toml --out f",
            code: 5,
            ..text("", usual_text(), "f is a file, not a folder").with("f", "")
        },
    ]
}

#[test]
fn every_bad_input_is_refused_with_its_file_its_place_and_what_is_wanted() {
    let cases: Vec<Case> = run_files().into_iter().chain(data()).chain(saved_files()).collect();
    assert!(cases.len() >= 80, "{} cases", cases.len());
    for Case { files, args, code, said } in cases {
        let scratch = Scratch::new();
        for (name, bytes) in &files {
            std::fs::write(scratch.path(name), bytes).unwrap();
        }
        let text = printed(&mut scratch.command(args), code);
        assert_has(&text, &["error: ", said]);
        let left: Vec<_> = scratch.0.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let ours = |name: &std::ffi::OsString| name == ".lock" || name == "metrics.jsonl";
        let new = left.iter().filter(|name| !ours(name) && !files.iter().any(|(file, _)| name == file));
        assert_eq!(new.count(), 0, "{args} left {left:?}");
    }
}

/// What would never end, never begin, or lead out of the run's folder.
#[cfg(unix)]
#[test]
fn pipes_devices_and_links_are_refused_by_name_and_nothing_hangs() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::with_run();
    scratch.write("weights.toml", &scratch.read("run.toml"));
    let pipe = scratch.path("pipe.txt");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    symlink("/dev/zero", scratch.path("zero.txt")).unwrap();
    for file in ["pipe.txt", "zero.txt"] {
        scratch.write("odd.toml", &scratch.read("run.toml").replace("text.txt", file));
        assert_has(&scratch.run("plan odd.toml", 5), &[file, "a pipe or a device, and a file is wanted"]);
        let table = format!(
            "[data]\ntype = \"table\"\nfile = \"{file}\"\ninputs = [\"a\"]\ntargets = [\"b\"]\n[[layer]]\ntype = \"linear\"\n"
        );
        scratch.write("table.toml", &table);
        assert_has(&scratch.run("plan table.toml", 5), &["a pipe or a device"]);
    }
    // A profile may well come through a pipe.
    let profile = "target/p.json";
    std::fs::create_dir_all(scratch.path("target")).unwrap();
    let shipped = include_str!("../../profiles/lavapipe.json");
    scratch.write(profile, shipped);
    let piped = format!("cat {profile} | '{}' plan run.toml --profile /dev/stdin", env!("CARGO_BIN_EXE_plimsoll"));
    assert_has(&printed(Command::new("sh").args(["-c", &piped]).current_dir(&scratch.0), 0), &["llvmpipe", "FITS"]);

    // Links in a run's folder lead out of it.
    scratch.run("train run.toml --out a", 0);
    scratch.write("mine.txt", "keep me");
    let events = std::fs::read_dir(scratch.path("a")).unwrap().flatten().map(|entry| entry.file_name());
    let events = events.map(|name| name.to_string_lossy().into_owned()).find(|name| name.contains("tfevents")).unwrap();
    for file in ["metrics.jsonl", ".lock", &events] {
        let name = format!("a/{file}");
        let was = std::fs::read(scratch.path(&name)).unwrap();
        std::fs::remove_file(scratch.path(&name)).unwrap();
        symlink(scratch.path("mine.txt"), scratch.path(&name)).unwrap();
        let output = scratch.command("train --resume a --steps 9").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("it is a link, and a run writes to its own folder only"), "{file}: {said}");
        assert_eq!(scratch.read("mine.txt"), "keep me", "{file}");
        std::fs::remove_file(scratch.path(&name)).unwrap();
        std::fs::write(scratch.path(&name), was).unwrap();
    }
    // Nor is a page put where it does not belong.
    assert_has(&scratch.run("report a --no-measure --out a/config.toml", 2), &["no place for a page"]);
    assert_has(&scratch.run("report a --no-measure --out /dev/null", 2), &["no place for a page"]);
    // Numbers that no device has, in a file that the page is made from.
    let plan = scratch
        .read("a/plan.json")
        .replace("\"min_storage_buffer_offset_alignment\": ", "\"min_storage_buffer_offset_alignment\": 0");
    scratch.write("a/plan.json", &plan);
    scratch.run("report a --no-measure", 0);
    assert_has(&scratch.read("a/report.html"), &["plan.json cannot be used"]);
}

/// A few bytes that unpack to more than any machine has.
#[test]
fn bombs_are_refused_before_they_go_off() {
    let scratch = Scratch::new();
    let table = |file: &str| {
        format!(
            "[data]\ntype = \"arrays\"\nfile = \"{file}\"\ninputs = \"x\"\ntargets = \"y\"\n[[layer]]\ntype = \"linear\"\n"
        )
    };
    // A header that promises 2^60 numbers, and has none.
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }";
    let padded = format!("{header:<117}\n");
    let npy =
        [&b"\x93NUMPY\x01\x00"[..], &u16::try_from(padded.len()).unwrap().to_le_bytes(), padded.as_bytes()].concat();
    let mut npz = zip_of("x.npy", &npy);
    scratch.write("bomb.toml", &table("bomb.npz"));
    std::fs::write(scratch.path("bomb.npz"), &npz).unwrap();
    assert_has(&scratch.run("plan bomb.toml", 2), &["bomb.npz"]);
    npz.truncate(npz.len() / 2);
    std::fs::write(scratch.path("bomb.npz"), &npz).unwrap();
    assert_has(&scratch.run("plan bomb.toml", 2), &["bomb.npz"]);
}

/// A zip of one file, stored.
fn zip_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let crc = {
        let mut crc = !0u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
            }
        }
        !crc
    };
    let [size, name_len] = [bytes.len(), name.len()].map(|n| u32::try_from(n).unwrap());
    let about = |out: &mut Vec<u8>| {
        out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [crc, size, size].iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(u16::try_from(name_len).unwrap().to_le_bytes());
        out.extend([0, 0]);
    };
    let mut zip = b"PK\x03\x04".to_vec();
    about(&mut zip);
    zip.extend(name.as_bytes());
    zip.extend(bytes);
    let directory = u32::try_from(zip.len()).unwrap();
    zip.extend(b"PK\x01\x02\x14\x00");
    about(&mut zip);
    zip.extend([0; 14]);
    zip.extend(name.as_bytes());
    let length = u32::try_from(zip.len()).unwrap() - directory;
    zip.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    zip.extend(length.to_le_bytes());
    zip.extend(directory.to_le_bytes());
    zip.extend([0, 0]);
    zip
}
