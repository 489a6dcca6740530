//! `plimsoll train`: plan, refuse or go, train, save, and show what came of it.

use std::path::{Path, PathBuf};

use plimsoll::bytes::Bytes;
use plimsoll::config::{Config, Length};
use plimsoll::device::Device;
use plimsoll::error::Error;
use plimsoll::run::checkpoint::Checkpoint;
use plimsoll::run::{Folder, Learner, Resumption, Run, Score, Summary, Tally, Watcher};
use plimsoll::storage::load_tensors;
use plimsoll::training::{Sampling, Session, StepReport, Writer};

use crate::args::TrainArgs;
use crate::driver::compared;
use crate::estimate;
use crate::output::{Failure, say};
use crate::plan::{config, header, planned_here, roles, unit, verdict};
use crate::progress::{Progress, duration, rounded};
use crate::stop;
use crate::table::{draw, grouped};

/// Units of the sample at the end.
const SAMPLE: usize = 300;

pub(crate) fn train(args: &TrainArgs) -> Result<(), Failure> {
    let resumed = args.resume.as_deref().map(|dir| resumption(args, dir)).transpose()?;
    let config = resumed.as_ref().map_or_else(|| wanted(args), |resumed| Ok(resumed.config.clone()))?;
    let run = Run::new(config)?;
    let weights = args.init.as_deref().map(load_tensors).transpose()?;
    let path = resumed.as_ref().map_or_else(|| folder(args), |resumed| Ok(resumed.folder.path().into()))?;
    if let Some(resumed) = &resumed {
        resumed.check_data(&run)?;
        resumed.told.iter().try_for_each(|news| say(news))?;
    }
    let mut device = Device::open()?;
    let probed = args.probe.look(&mut device, resumed.as_ref().and_then(|resumed| resumed.folder.planned_for()));
    let (planned, mut report) = planned_here(&run, &device, probed.clone())?;
    say(&format!("{}\n\n{}\n", header(&run, &report, None), roles(&report)))?;
    if let Some(refusal) = report.refusal.take() {
        return Err(Error::Refused(Box::new(refusal)).into());
    }
    let planned = planned.accepted()?;
    // Weights that do not belong to the model, a folder that cannot be written to and a disk that has
    // no room for the run are found out before the device is put to work.
    if let Some(weights) = &weights {
        planned.matching(weights)?;
    }
    if let Some(disk) = &report.disk {
        disk.check(&path)?;
    }
    let (folder, checkpoint) = match resumed {
        Some(Resumption { folder, checkpoint, .. }) => (folder, checkpoint),
        None => (Folder::create(&path)?, None),
    };
    let remark = checkpoint.as_ref().map_or_else(|| remark(args), |checkpoint| checkpoint.about.remark.clone());
    if weights.is_none() {
        folder.save_config(&run, &remark)?;
    }
    say(&format!("{}\nCompiling kernels; this can take some seconds.", verdict(&report)))?;
    folder.save_plan(&report)?;
    if let Some(told) = estimate::run(&report, run.steps()?) {
        say(&told)?;
    }
    let described = planned.plan.digest();
    let mut news: Vec<String> = Vec::new();
    let mut session = run.start(planned, &device, &mut |told| news.push(told.to_owned()))?;
    news.iter().try_for_each(|told| say(told))?;
    if session.plan().digest() != described {
        let smaller = crate::plan::report(&run, session.planned())?;
        folder.save_plan(&smaller.with_probe(session.planned(), probed))?;
    }
    if let Some(weights) = &weights {
        session.load(weights)?;
    }
    drop(device);
    carry_out(&run, folder, session, checkpoint, &remark)
}

/// Trains to the end, or until an end is asked for, and shows what came of it.
fn carry_out(
    run: &Run,
    folder: Folder,
    session: Session,
    checkpoint: Option<Checkpoint>,
    remark: &str,
) -> Result<(), Failure> {
    let (steps, path) = (run.steps()?, folder.path().to_path_buf());
    let progress = Progress::new(steps, Bytes(session.plan().planned_bytes()));
    let mut screen = Screen { run, progress, failed: None };
    stop::listen();
    let learner = match checkpoint {
        Some(checkpoint) => {
            screen.say(&format!("Going on from the checkpoint of step {}.", checkpoint.about.step));
            Learner::take_up(run, folder, session, &checkpoint, &mut screen)?
        }
        None => Learner::begin(run, folder, session, remark)?,
    };
    let learnt = learner.learn(&mut || Ok(Device::open()?), &mut screen);
    screen.progress.end();
    let (mut session, summary) = learnt?;
    if stop::asked() && session.steps() < steps {
        screen.say(&format!("Ended early, after step {} of {steps}.", session.steps()));
    }
    screen.say(&outcome(run, &summary, &path));
    if let Some(text) = run.text().filter(|_| screen.is_open() && session.planned().training.sample) {
        let length = if run.config.data.source.is_of_words() { SAMPLE / 5 } else { SAMPLE };
        let mut writer = Writer::new(&mut session, &text.vocabulary, Sampling::default())?;
        screen.say(&match writer.write("", length) {
            Ok(text) => format!("\nIt writes:\n{text}"),
            // The run is saved all the same.
            Err(Error::Input(reason)) => format!("\nIt writes nothing: {reason}."),
            Err(error) => return Err(error.into()),
        });
    }
    screen.failed.map_or(Ok(()), Err)
}

/// The run in the folder `dir`, with what else was asked for.
fn resumption(args: &TrainArgs, dir: &Path) -> Result<Resumption, Error> {
    let mut resumed = Resumption::find(dir)?;
    if let Some(file) = &args.run {
        resumed.with(&Config::read(file)?)?;
    }
    resumed.with_limits(args.steps, args.memory);
    Ok(resumed)
}

/// The run as the file and the command line have it.
fn wanted(args: &TrainArgs) -> Result<Config, Error> {
    let mut config = config(args.run.as_deref())?;
    config.train.length = args.steps.map_or(config.train.length, Length::Steps);
    config.seed = args.seed.unwrap_or(config.seed);
    config.budget.memory = args.memory.or(config.budget.memory);
    Ok(config)
}

/// Where to save to: what was asked for, or a folder that is still free.
fn folder(args: &TrainArgs) -> Result<PathBuf, Error> {
    let empty = |path: &Path| path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if let Some(out) = &args.out {
        if out.is_dir() && !empty(out) && !args.force {
            let out = out.display();
            return Err(Error::Input(format!("{out} is not empty; name another folder, or add --force to save there")));
        }
        return Ok(out.clone());
    }
    let name = args.run.as_deref().and_then(Path::file_stem).unwrap_or("default".as_ref()).to_string_lossy();
    let first = Path::new("runs").join(&*name);
    let numbered = (2u64..).map(|n| Path::new("runs").join(format!("{name}-{n}")));
    let mut free = std::iter::once(first).chain(numbered).filter(|path| !path.exists() || empty(path));
    Ok(free.next().expect("numbers do not run out"))
}

/// What the saved run file cannot say.
fn remark(args: &TrainArgs) -> String {
    args.init.as_ref().map_or_else(String::new, |init| format!("started from the weights in {init:?}"))
}

/// A loss, with what goes with it: the perplexity of words, the share that is right.
fn told(run: &Run, score: &Score) -> String {
    let loss = loss(run, score.loss);
    score.accuracy.map_or_else(|| loss.clone(), |share| format!("{loss}, {:.2} % right", 100.0 * share))
}

/// A loss in its unit.
fn loss(run: &Run, loss: f64) -> String {
    match unit(&run.config) {
        "target" => format!("{loss:.4}"),
        "word" => format!("{loss:.4} nats a word, perplexity {:.1}", loss.exp()),
        unit => format!("{loss:.4} nats a {unit}"),
    }
}

/// What a run came to, in a few lines.
fn outcome(run: &Run, summary: &Summary, folder: &Path) -> String {
    let unit = unit(&run.config);
    let or = |told: Option<String>, otherwise: &str| told.unwrap_or_else(|| otherwise.to_string());
    let of_processors = summary.cpu_seconds.map(|s| format!(" ({} of processor time)", duration(s)));
    let (steps, tokens) = (summary.steps, grouped(summary.tokens));
    let trained = format!("{steps} steps, {tokens} {unit}s, in {}", duration(summary.seconds));
    let created = summary.allocations_after_first_step.map(|n| format!("{n} buffers"));
    let score = |mean: Option<f64>, accuracy| mean.map(|loss| told(run, &Score { loss, accuracy }));
    let validation = score(summary.validation_loss, summary.validation_accuracy);
    let mut rows = vec![
        ("trained", trained + &or(of_processors, "")),
        ("speed", format!("{} {unit}s a second", rounded(summary.tokens_per_second))),
        ("training loss", or(score(summary.train_loss, None), "none") + ", mean of the last 50 steps"),
        ("validation loss", or(validation, "none: nothing was held out")),
    ];
    if let Some(test) = score(summary.test_loss, summary.test_accuracy) {
        rows.push(("test loss", test));
    }
    if let Some(entropy) = summary.unigram_entropy {
        rows.push(("unigram entropy", format!("{}: what counting alone would reach", loss(run, entropy))));
    }
    if let Some(entropy) = summary.bigram_entropy.filter(|_| run.config.data.source.is_of_words()) {
        rows.push(("bigram entropy", format!("{}: pairs counted, and one added", loss(run, entropy))));
    }
    rows.extend([
        ("planned", Bytes(summary.planned_bytes).exact()),
        ("the device holds", or(summary.allocated_bytes.map(|b| Bytes(b).exact()), "not counted on this backend")),
        ("the driver", compared(&summary.driver)),
        ("created since step 1", or(created, "not counted on this backend")),
        ("saved to", folder.display().to_string()),
    ]);
    if summary.skipped_steps > 0 {
        let skipped = summary.skipped_steps;
        let text = format!("{skipped} steps changed nothing: their loss or a gradient was not finite");
        rows.push(("skipped", text));
    }
    if summary.train_loss.is_some_and(|loss| !loss.is_finite()) {
        rows.push(("note", "the loss is no number: a smaller learning_rate or a clip_norm may help".into()));
    }
    format!("\n{}", draw(&["", ""], rows.into_iter().map(|(what, is)| vec![what.to_string(), is])))
}

/// Standard output while there is something to save: if it closes, that ends the training as Ctrl-C
/// does, and nothing is lost.
struct Screen<'r> {
    run: &'r Run,
    progress: Progress,
    failed: Option<Failure>,
}

impl Screen<'_> {
    fn is_open(&self) -> bool {
        self.failed.is_none()
    }

    fn say(&mut self, text: &str) {
        if let (true, Err(failure)) = (self.is_open(), say(text)) {
            self.failed = Some(failure);
            stop::ask();
        }
    }
}

impl Watcher for Screen<'_> {
    fn wants_end(&mut self) -> bool {
        stop::asked()
    }

    fn stepped(&mut self, session: &Session, reports: &[StepReport], tally: &Tally) {
        let used = session.held().map(|held| held.bytes);
        if let Some(line) = self.progress.show(reports, tally, used) {
            self.say(&line);
        }
    }

    fn scored(&mut self, step: u64, score: &Score) {
        let told = told(self.run, score);
        self.say(&format!("validation after step {step}: {told}"));
    }

    fn told(&mut self, news: &str) {
        self.say(news);
    }
}
