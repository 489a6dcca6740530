//! Every example that ships takes what its plan says, and the driver reserves for it what is told, to the byte: at its
//! start and after whatever is done with it, in full and in halves, as described and in the ways that need less memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plimsoll::config::{Config, Source};
use plimsoll::device::Device;
use plimsoll::engine::Drawn;
use plimsoll::plan::reserved::Blocks;
use plimsoll::random::{Purpose, Stream};
use plimsoll::run::{Part, Run};
use plimsoll::target::Target;
use plimsoll::text::{Streams, Text, Unit, Vocabulary};
use plimsoll::training::{Batch, Sampling, Segments, Session, Storage, Training, Writer};

// Networks that examples write themselves are taken from them, so that they cannot be others here.
#[allow(dead_code, reason = "nobody runs their `main` here")]
#[path = "../examples/char_rnn.rs"]
mod char_rnn;
#[allow(dead_code, reason = "nobody runs their `main` here")]
#[path = "../examples/custom.rs"]
mod custom;
#[allow(dead_code, reason = "nobody runs their `main` here")]
#[path = "../examples/dry_run.rs"]
mod dry_run;
#[allow(dead_code, reason = "nobody runs their `main` here")]
#[path = "../examples/mlp.rs"]
mod mlp;

/// The examples of which the networks are taken as they are.
const WRITTEN: [&str; 4] = ["char_rnn", "custom", "dry_run", "mlp"];
/// The run files that there are.
const RUN_FILES: [&str; 4] = ["fashion_mnist_lstm", "fashion_mnist_mlp", "time_series", "word_language_model"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// What an example trains.
struct Example {
    name: &'static str,
    training: Training,
    /// A batch of so many rows.
    batch: Box<dyn Fn(u32) -> Batch>,
    /// Of what it can write.
    vocabulary: Option<Vocabulary>,
}

impl Example {
    fn of_text(name: &'static str, training: Training, text: &Text) -> Self {
        let (ids, window) = (text.ids.clone(), training.window);
        let batch = move |rows| Streams::new(ids.clone().into(), rows, window).unwrap().next_window().into();
        Self { name, training, batch: Box::new(batch), vocabulary: Some(text.vocabulary.clone()) }
    }

    fn of_run(name: &'static str, config: Config) -> Self {
        // As many as are asked for, though there may be too few made-up images for as many steps.
        let report_every = config.train.report_every;
        let run = Run { predict: true, ..Run::new(config).unwrap() };
        let training = Training { report_every, ..run.training().unwrap() };
        let vocabulary = run.text().map(|text| text.vocabulary.clone());
        let batch = move |rows| run.source.once(&run.config, Part::Train, rows).unwrap().next().unwrap();
        Self { name, training, batch: Box::new(batch), vocabulary }
    }
}

/// A run file, with images made up in place of Fashion-MNIST, which is not shipped.
fn config(name: &str, images: &Path) -> Config {
    let mut config = Config::read(&folder().join(format!("{name}.toml"))).unwrap();
    if let Source::Idx { folder, .. } = &mut config.data.source {
        *folder = Some(images.to_path_buf());
    }
    config
}

/// Images of the size and with the classes of Fashion-MNIST, black all of them, in a folder that goes when this does.
struct Images(PathBuf);

impl Images {
    fn made_up(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("plimsoll-images-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let put = |name: &str, extents: &[u32], elements: &[u8]| {
            let magic = [0, 0, 8, u8::try_from(extents.len()).unwrap()];
            let bytes = [&magic[..], &extents.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>(), elements];
            std::fs::write(folder.join(name), bytes.concat()).unwrap();
        };
        for (part, count) in [("train", 300), ("t10k", 150)] {
            let labels: Vec<u8> = (0..10).cycle().take(count as usize).collect();
            put(&format!("{part}-images-idx3-ubyte"), &[count, 28, 28], &vec![0; 28 * 28 * labels.len()]);
            put(&format!("{part}-labels-idx1-ubyte"), &[count], &labels);
        }
        Self(folder)
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// All of them, and the default run.
fn examples(images: &Images) -> Vec<Example> {
    let spirals = |rows| mlp::spirals(&mut Stream::new(1, Purpose::Data, 0), rows);
    let pairs = |rows| custom::pairs(&mut Stream::new(1, Purpose::Data, 0), rows);
    let text = Text::embedded(Unit::Char).unwrap();
    // The dry run has no text, only the size of a vocabulary.
    let letters: String = ('!'..).take(100).cycle().take(5_000).collect();
    let letters = Text::from_bytes(letters.as_bytes(), Unit::Char, "letters").unwrap();
    let mut all = vec![
        Example { name: "mlp", training: mlp::training(), batch: Box::new(spirals), vocabulary: None },
        Example { name: "custom", training: custom::training(), batch: Box::new(pairs), vocabulary: None },
        Example::of_text("char_rnn", char_rnn::training(text.vocabulary.size()), &text),
        Example::of_text("dry_run", dry_run::training(), &letters),
        Example::of_run("the default run", Config::default_run()),
    ];
    all.extend(RUN_FILES.map(|name| Example::of_run(name, config(name, &images.0))));
    all
}

/// As it is described, in segments where it has time, with gradients released where they can be, and with activations
/// recomputed where that makes anything again.
fn ways(training: &Training, states: Option<u32>, target: &Target) -> Vec<(&'static str, Training)> {
    let mut all = vec![("as described", training.clone())];
    if training.window > 1 {
        let segments = Segments { timesteps: training.window.div_ceil(3), states };
        all.push(("in segments", training.clone().segments(segments)));
    }
    if training.keeps_gradients().is_none() {
        all.push(("with gradients released", Training { release_gradients: true, ..training.clone() }));
    }
    // What cannot be cut into blocks is refused, and of some blocks nothing can be made again.
    let dispatches = |training: &Training| training.plan(target).map(|planned| planned.plan.dispatches("first"));
    let again = training.clone().recompute(3);
    if dispatches(&again).is_ok_and(|more| more > dispatches(training).unwrap()) {
        all.push(("with activations recomputed", again));
    }
    all
}

/// Holds all that examples do in this storage against what is told of it; says how often, way by way.
fn hold(storage: Storage, states: Option<u32>) -> Vec<&'static str> {
    let images = Images::made_up(&format!("{storage:?}"));
    let device = Device::open().unwrap();
    let memory = device.target().buffer_memory.expect("a Vulkan driver that places buffers by a plain rule");
    let mut blocks = Blocks::of_fresh_device(memory);
    let mut held = Vec::new();
    for Example { name, training, batch, vocabulary } in examples(&images) {
        let training = Training { storage, predict: true, ..training };
        for (way, training) in ways(&training, states, device.target()) {
            let mut session = Session::new(&training, &device).unwrap();
            let planned = session.plan().planned_bytes();
            let taken = blocks.take(session.plan());
            let told = Drawn { allocated_bytes: blocks.allocated_bytes(), reserved_bytes: blocks.reserved_bytes() };
            let look = |session: &Session, phase| {
                let at = format!("{name} {way} in {storage:?}, {phase}");
                assert_eq!(session.held().map(|held| held.bytes), Some(planned), "{at}");
                assert_eq!(session.reserved(), Some(told), "{at}");
            };
            look(&session, "at its start");
            // Once more for the way that most are run in; each takes another step when it was taken up.
            for _ in 0..if way == "as described" { 2 } else { 1 } {
                session.step(&batch(training.batch)).unwrap();
            }
            look(&session, "after some steps");
            session.evaluate([batch(training.micro_batch())]).unwrap();
            look(&session, "after evaluation");
            session.predict(&batch(training.micro_batch())).unwrap();
            look(&session, "after a prediction");
            if let Some(vocabulary) = vocabulary.as_ref() {
                Writer::new(&mut session, vocabulary, Sampling::default()).unwrap().write("", 3).unwrap();
                look(&session, "after it has written");
            }
            let state = session.capture().unwrap();
            look(&session, "after a checkpoint");
            session.restore(&state).unwrap();
            session.step(&batch(training.batch)).unwrap();
            session.finish().unwrap();
            look(&session, "after it was taken up");
            assert_eq!(session.allocations_after_first_step(), Some(0), "{name} {way} in {storage:?}");
            drop(session);
            blocks.give_back(taken);
            held.push(way);
        }
    }
    held
}

#[test]
fn every_example_in_full_takes_what_is_told_whatever_it_does() {
    let held = hold(Storage::F32, None);
    let count = |way| held.iter().filter(|held| **held == way).count();
    assert_eq!([count("as described"), count("in segments"), count("with gradients released")], [9, 6, 3], "{held:?}");
    assert_eq!(count("with activations recomputed"), 6, "{held:?}");
}

#[test]
fn every_example_in_halves_takes_what_is_told_whatever_it_does() {
    let held = hold(Storage::F16, Some(1));
    let count = |way| held.iter().filter(|held| **held == way).count();
    assert_eq!([count("as described"), count("in segments"), count("with gradients released")], [9, 6, 3], "{held:?}");
    assert_eq!(count("with activations recomputed"), 6, "{held:?}");
}

#[test]
fn no_example_is_left_out() {
    let (mut run_files, mut written) = (BTreeSet::new(), BTreeSet::new());
    for path in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => drop(run_files.insert(name)),
            Some("rs") => {
                let text = std::fs::read_to_string(&path).unwrap();
                if ["Training::", "Model::", "Custom::"].iter().any(|word| text.contains(word)) {
                    written.insert(name);
                } else if text.contains("Session::") {
                    // It trains what a run file describes, which is one of those here.
                    assert!(text.contains("Config::read"), "{name} has its network from elsewhere");
                }
            }
            _ => {}
        }
    }
    assert!(run_files.iter().eq(&RUN_FILES), "{run_files:?}");
    assert!(written.iter().eq(&WRITTEN), "{written:?}");
}
