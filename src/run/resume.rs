//! A run taken up: which of its checkpoints is used, which settings may be others by now, and what is
//! then no longer the same to the bit.

use std::path::Path;

use super::checkpoint::{About, Checkpoint};
use super::{Folder, Run};
use crate::bytes::Bytes;
use crate::config::{Config, Length};
use crate::error::Error;

/// A run to be taken up, in its folder.
#[derive(Debug)]
pub struct Resumption {
    /// The folder, which no other run can write to now.
    pub folder: Folder,
    /// What is to be done from here on.
    pub config: Config,
    /// Where it goes on; none where the run was ended before its first checkpoint, and begins again.
    pub checkpoint: Option<Checkpoint>,
    /// What the user should know.
    pub told: Vec<String>,
}

impl Resumption {
    /// Takes up the run in the folder `path` from its newest whole checkpoint.
    ///
    /// # Errors
    /// A folder without a run, or without a whole checkpoint of it; one that another run has; storage.
    pub fn find(path: &Path) -> Result<Self, Error> {
        // Nothing is made in a folder of something else.
        if path.is_dir() && !Folder::has_run(path)? {
            return Err(nothing_to_go_on_with(path));
        }
        let folder = Folder::reopen(path)?;
        let mut told = Vec::new();
        let checkpoint = folder.checkpoints().newest(&mut told)?;
        let config = match &checkpoint {
            Some(found) => Config::from_toml(&found.about.config, "the checkpoint's run file")?,
            None if !told.is_empty() => {
                let (told, path) = (told.join("\n"), path.display());
                return Err(Error::Input(format!("{told}\nno checkpoint in {path} is whole, so it cannot go on")));
            }
            None => {
                told.push("The run was ended before its first checkpoint; it begins again.".into());
                folder.begun()?.ok_or_else(|| nothing_to_go_on_with(path))?
            }
        };
        Ok(Self { folder, config, checkpoint, told })
    }

    /// Takes the settings that may change from one part of a run to the next from `other`: how long it
    /// is, in how many micro-steps it runs a batch, what it may use, when it reports, evaluates and saves
    /// itself, and what becomes of it at a step that is not finite.
    ///
    /// # Errors
    /// Another setting that differs; all of them are named.
    pub fn with(&mut self, other: &Config) -> Result<(), Error> {
        let mut settled = self.config.clone();
        settled.checkpoint = other.checkpoint;
        settled.budget = other.budget.clone();
        settled.data.workers = other.data.workers;
        let (train, wanted) = (&mut settled.train, &other.train);
        (train.accumulate, train.length) = (wanted.accumulate, wanted.length);
        (train.report_every, train.evaluate_every) = (wanted.report_every, wanted.evaluate_every);
        train.non_finite = wanted.non_finite;
        if settled != *other {
            let differences = line_by_line(&settled.to_toml(), &other.to_toml());
            return Err(Error::Input(format!("this is another run than the one that was begun:{differences}")));
        }
        self.config = settled;
        Ok(())
    }

    /// Takes another length and another budget.
    pub fn with_limits(&mut self, steps: Option<u64>, memory: Option<Bytes>) {
        self.config.train.length = steps.map_or(self.config.train.length, Length::Steps);
        self.config.budget.memory = memory.or(self.config.budget.memory);
    }

    /// Refuses data that are not what the run has learnt from so far.
    ///
    /// # Errors
    /// Data that have changed.
    pub fn check_data(&self, run: &Run) -> Result<(), Error> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        if run.source.fingerprint() == checkpoint.about.data {
            return Ok(());
        }
        Err(Error::Input(
            "the data are not what they were when the run was begun, so it cannot go on: put the old ones back, or \
             begin a new run from its weights with `--init`"
                .into(),
        ))
    }
}

fn nothing_to_go_on_with(path: &Path) -> Error {
    let path = path.display();
    Error::Input(format!(
        "there is no run to go on with in {path}: it has no checkpoint; `every` in `[checkpoint]` says when one is made"
    ))
}

/// The lines in which two run files differ, those of the same key beside each other.
fn line_by_line(was: &str, is: &str) -> String {
    let only = |of: &str, other: &str| -> Vec<String> {
        of.lines().filter(|line| !other.lines().any(|o| o == *line)).map(str::to_owned).collect()
    };
    let (was, is) = (only(was, is), only(is, was));
    let line = |mark: &str, line: &String| format!("\n  {mark} {line}");
    was.iter().map(|l| line("it was", l)).chain(is.iter().map(|l| line("now is", l))).collect()
}

impl About {
    /// In what a run differs, as it goes on, from how it was at the checkpoint `then`, such that numbers
    /// may come out rounded otherwise; nothing if every bit stays.
    pub fn differences(&self, then: &Self) -> Vec<String> {
        let changed = |what: &str, was: &str, is: &str| (was != is).then(|| format!("{what} was {was} and is {is}"));
        let device = |about: &Self| format!("{} ({}, {})", about.adapter, about.backend, about.driver);
        let mut all: Vec<String> = [
            changed("the device", &device(then), &device(self)),
            changed("`accumulate`", &then.accumulate.to_string(), &self.accumulate.to_string()),
            changed("Plimsoll", &then.plimsoll, &self.plimsoll),
        ]
        .into_iter()
        .flatten()
        .collect();
        if all.is_empty() && self.plan != then.plan {
            all.push("the plan is another one".into());
        }
        all
    }
}
