//! `plimsoll sample`: a trained model writes.

use plimsoll::device::Device;
use plimsoll::run::Saved;
use plimsoll::training::{Sampling, Writer};

use crate::args::SampleArgs;
use crate::output::{Failure, say};

pub(crate) fn sample(args: &SampleArgs) -> Result<(), Failure> {
    let saved = Saved::open(&args.folder)?;
    // A prompt that the model cannot read is found out before a device is opened.
    saved.vocabulary.encode(&args.prompt)?;
    let mut session = saved.session(&Device::open()?)?;
    let sampling = Sampling { temperature: args.temperature, seed: args.seed };
    let written = Writer::new(&mut session, &saved.vocabulary, sampling)?.write(&args.prompt, args.length as usize)?;
    say(&format!("{}{written}", args.prompt))
}
