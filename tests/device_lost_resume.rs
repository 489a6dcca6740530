//! A run whose device goes away goes on, on one opened anew, as if nothing had been. Alone in its process,
//! for devices are destroyed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use plimsoll::config::Config;
use plimsoll::device::Device;
use plimsoll::error::{Error, ErrorKind};
use plimsoll::memory::Available;
use plimsoll::run::{Folder, Learner, Resumption, Run, Tally, Watcher};
use plimsoll::target::Target;
use plimsoll::training::{Planned, Session, StepReport};

const RUN: &str = r#"
[data]
text = "TEXT"
[[layer]]
type = "embedding"
size = 4
[[layer]]
type = "gru"
hidden_size = 8
[[layer]]
type = "linear"
[train]
batch = 4
window = 5
steps = 40
report_every = 3
evaluate_every = 7
[checkpoint]
every = "5 steps"
keep = 2
"#;

/// The devices that were opened, the last of which can be destroyed.
type Devices = Rc<RefCell<Vec<Device>>>;

fn open(devices: &Devices) -> Result<Device, Error> {
    if let Some(lost) = devices.borrow().last() {
        assert!(
            lost.held().is_none_or(|held| held.bytes == 0),
            "the lost device's memory is let go of: {:?}",
            lost.held()
        );
    }
    let device = Device::open()?;
    devices.borrow_mut().push(device.clone());
    Ok(device)
}

/// Destroys the device after some steps, each once, hears what is told, and sees by which plans was trained.
struct Saboteur {
    devices: Devices,
    after: Vec<u64>,
    told: Vec<String>,
    plans: BTreeSet<String>,
}

impl Watcher for Saboteur {
    fn stepped(&mut self, session: &Session, _: &[StepReport], _: &Tally) {
        self.plans.insert(session.plan().digest().to_string());
        if self.after.first() == Some(&session.steps()) {
            self.after.remove(0);
            self.devices.borrow().last().unwrap().destroy();
        }
    }

    fn told(&mut self, news: &str) {
        self.told.push(news.to_string());
    }
}

/// Trains in `folder`, losing the device after the steps `after`; what was told, and how it ended.
fn train(run: &Run, folder: &Path, after: &[u64]) -> (Vec<String>, Result<(), Error>) {
    let (saboteur, ended) = train_by(run, |target| run.plan(target).unwrap(), folder, after);
    assert_eq!(saboteur.plans.len(), 1, "{:?}", saboteur.plans);
    (saboteur.told, ended)
}

/// The same by the plan that `plan` makes.
fn train_by(
    run: &Run,
    plan: impl Fn(&Target) -> Planned,
    folder: &Path,
    after: &[u64],
) -> (Saboteur, Result<(), Error>) {
    let devices = Devices::default();
    let device = open(&devices).unwrap();
    let session = Session::start(plan(device.target()), &device).unwrap();
    let learner = Learner::begin(run, Folder::create(folder).unwrap(), session, "").unwrap();
    let (told, plans) = (Vec::new(), BTreeSet::new());
    let mut saboteur = Saboteur { devices: devices.clone(), after: after.to_vec(), told, plans };
    let ended = learner.learn(&mut || open(&devices), &mut saboteur);
    (saboteur, ended.map(|_| ()))
}

/// The plan for a host that has a byte less than the fastest one takes, where the device's memory is the host's.
fn in_less(run: &Run, target: &Target) -> Planned {
    let whole = run.plan(target).unwrap();
    let all = Available { bytes: 1 << 40, by: "a test".into() };
    let Some(left) = run.left_for_device(&whole, &all).unwrap() else { return whole };
    let bytes = whole.plan.planned_bytes() - 1 + (all.bytes - left);
    let less = run.plan_on(target, Some(&Available { bytes, ..all })).unwrap();
    assert!(less.plan.planned_bytes() < whole.plan.planned_bytes());
    less
}

fn assert_same(a: &Path, b: &Path) {
    for file in ["metrics.jsonl", "model.safetensors"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(b.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_lost_device_is_opened_anew_once_and_no_bit_is_lost() {
    let scratch = std::env::temp_dir().join(format!("plimsoll-lost-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let path = |name: &str| -> PathBuf { scratch.join(name) };
    fs::write(path("text.txt"), "the quick brown fox jumps over the lazy dog\n".repeat(12)).unwrap();
    let text = path("text.txt").display().to_string().replace('\\', "/");
    let run = Run::new(Config::from_toml(&RUN.replace("TEXT", &text), "run.toml").unwrap()).unwrap();

    let (told, ended) = train(&run, &path("whole"), &[]);
    assert!(ended.is_ok() && told.is_empty(), "{told:?}");
    // Before the first report, between checkpoints, right at one, and after the last step.
    for after in [1, 12, 25, 40] {
        let folder = path(&format!("lost-{after}"));
        let (told, ended) = train(&run, &folder, &[after]);
        ended.unwrap_or_else(|error| panic!("{error}: {told:?}"));
        assert!(told[0].starts_with("The device was lost"), "{told:?}");
        assert!(told[1].starts_with("Going on from the checkpoint of step"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
        assert_same(&folder, &path("whole"));
    }

    // In less memory than the host has by now, it goes on as it began.
    let plan = |target: &Target| in_less(&run, target);
    let [folder, whole] = ["lost-in-less", "in-less"].map(path);
    train_by(&run, plan, &whole, &[]).1.unwrap();
    let (saboteur, ended) = train_by(&run, plan, &folder, &[12]);
    ended.unwrap_or_else(|error| panic!("{error}: {:?}", saboteur.told));
    assert_eq!((saboteur.told.len(), saboteur.plans.len()), (2, 1), "{:?}", saboteur.told);
    assert_same(&folder, &whole);

    // A second loss ends the run; it is saved, and goes on when there is a device.
    let folder = path("twice");
    let (told, ended) = train(&run, &folder, &[12, 27]);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Device);
    assert!(told.last().unwrap().contains("lost a second time"), "{told:?}");
    let Resumption { folder: taken, checkpoint, told, .. } = Resumption::find(&folder).unwrap();
    let checkpoint = checkpoint.unwrap();
    assert!(told.is_empty() && checkpoint.about.step == 25, "{told:?} {}", checkpoint.about.step);
    let device = Device::open().unwrap();
    let session = Session::start(run.plan(device.target()).unwrap(), &device).unwrap();
    let learner = Learner::take_up(&run, taken, session, &checkpoint, &mut ()).unwrap();
    learner.learn(&mut || Ok(Device::open()?), &mut ()).unwrap();
    assert_same(&folder, &path("whole"));
    fs::remove_dir_all(scratch).unwrap();
}
