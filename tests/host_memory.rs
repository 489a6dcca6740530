//! A host that cannot hold a run: what is left for a software device is bargained about, and the rest refused with what
//! would fit.

#[path = "common/pasted.rs"]
mod pasted;

use pasted::pasted;
use plimsoll::bytes::Bytes;
use plimsoll::config::Config;
use plimsoll::error::{Error, ErrorKind};
use plimsoll::memory::Available;
use plimsoll::refusal::Refusal;
use plimsoll::run::{HostUse, Run};
use plimsoll::target::Target;

/// On the text that ships with the library, in batches of which the host holds as much as of the state.
fn run(train: &str) -> Run {
    let layers = "[[layer]]\ntype = \"embedding\"\nsize = 8\n[[layer]]\ntype = \"gru\"\nhidden_size = 16\n\
                  [[layer]]\ntype = \"linear\"\n";
    Run::new(Config::from_toml(&format!("{layers}[train]\n{train}\n"), "run.toml").unwrap()).unwrap()
}

/// Examples of 40 numbers, with a class for each.
fn examples(folder: &std::path::Path, more: &str) -> Run {
    let name = folder.join("examples.csv");
    let head: Vec<String> = (0..40).map(|i| format!("x{i}")).collect();
    let row = |i: usize| (0..40).map(|j| ((i * j) % 7).to_string()).collect::<Vec<_>>().join(",");
    let rows: String = (0..60).map(|i| format!("{},{}\n", row(i), i % 3)).collect();
    std::fs::write(&name, format!("{},y\n{rows}", head.join(","))).unwrap();
    let inputs = head.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",");
    let text = format!(
        "[data]\ntype = \"table\"\nfile = {name:?}\ninputs = [{inputs}]\ntargets = [\"y\"]\ntarget = \"class\"\n\
         workers = 8\n[[layer]]\ntype = \"linear\"\nout_features = 12\n[[layer]]\ntype = \"relu\"\n\
         [[layer]]\ntype = \"linear\"\n[train]\nbatch = 2000\n{more}\n"
    );
    Run::new(Config::from_toml(&text, "run.toml").unwrap()).unwrap()
}

fn target(profile: &str) -> Target {
    Target::profile(profile).unwrap()
}

fn host(bytes: u64) -> Available {
    Available { bytes, by: "the limit of a test".into() }
}

/// What the run holds beside its data, on a host with any memory.
fn held(run: &Run, target: &Target) -> HostUse {
    let used = HostUse::of(run, &run.plan(target).unwrap()).unwrap();
    HostUse { data_bytes: 0, ..used }
}

/// Why the run is refused on `target` and a host with so much.
fn refusal(run: &Run, target: &Target, bytes: u64) -> Option<Refusal> {
    let host = host(bytes);
    run.refusal(&run.plan_on(target, Some(&host)).unwrap(), Some(&host)).unwrap()
}

/// Each alternative, pasted into the run file, runs in what there is, planned to what it says.
fn check(run: &Run, target: &Target, bytes: u64) -> Refusal {
    let refusal = refusal(run, target, bytes).unwrap();
    for offer in &refusal.alternatives {
        let run = Run::new(pasted(&run.config, &offer.lines)).unwrap();
        let (host, said) = (host(bytes), &offer.lines);
        let planned = run.plan_on(target, Some(&host)).unwrap();
        assert_eq!(planned.plan.planned_bytes(), offer.planned_bytes, "{said:?}");
        assert_eq!(run.refusal(&planned, Some(&host)).unwrap(), None, "{said:?}");
        let used = HostUse::of(&run, &planned).unwrap();
        assert!(used.bytes() - used.data_bytes <= bytes, "{said:?}: {used:?}");
    }
    refusal
}

#[test]
fn a_software_device_gets_what_batches_and_state_leave_of_the_host() {
    let (run, target) = (run("batch = 48\nwindow = 48"), target("lavapipe"));
    let used = held(&run, &target);
    let beside = used.batches_bytes + used.state_bytes;
    assert!(beside > 100_000 && used.device_bytes > 1_000_000, "{used:?}");
    let plan = |bytes| run.plan_on(&target, Some(&host(bytes))).unwrap();
    let whole = plan(used.bytes());
    assert!(whole.bargain.is_none() && whole.plan.planned_bytes() == used.device_bytes);
    // One byte less is had from staging, much less by a bargain.
    let staged = plan(used.bytes() - 1);
    assert!(staged.bargain.is_none() && staged.plan.planned_bytes() < used.device_bytes);
    for share in [2, 3] {
        let left = used.device_bytes / share;
        let smaller = plan(beside + left);
        assert!(smaller.bargain.is_some() && smaller.plan.planned_bytes() <= left, "{share}");
        assert_eq!(run.refusal(&smaller, Some(&host(beside + left))).unwrap(), None);
    }
    // Without the host it would not have been.
    assert!(run.plan(&target).unwrap().bargain.is_none());
}

#[test]
fn where_nothing_is_left_for_the_device_the_refusal_tells_all_numbers_and_what_would_fit() {
    let (run, target) = (run("batch = 4096\nwindow = 16\n[budget]\nbargain = false"), target("lavapipe"));
    let used = held(&run, &target);
    let bytes = used.batches_bytes + used.state_bytes + used.device_bytes / 6;
    let refused = check(&run, &target, bytes);
    let said = refused.to_string();
    for part in [
        "REFUSED: the host cannot hold the run, whose plan needs",
        &format!("the host's available_memory allows {}, by the limit of a test, and the run", Bytes(bytes)),
        &format!(
            "batches {}, a copy of the state {}, the device's",
            Bytes(used.batches_bytes),
            Bytes(used.state_bytes)
        ),
        &format!("needs {}", Bytes(used.bytes())),
        "the same updates, in",
        "the largest batch that fits",
        "the largest window that fits",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert_eq!(Error::Refused(Box::new(refused)).kind(), ErrorKind::Refused);
}

#[test]
fn a_device_with_memory_of_its_own_takes_none_of_the_hosts() {
    let (run, target) = (run("batch = 4096\nwindow = 32"), target("radv-rx6700xt"));
    let used = held(&run, &target);
    assert_eq!(used.device_bytes, 0);
    assert_eq!(refusal(&run, &target, used.bytes()), None);
    let bytes = used.bytes() - 400_000;
    let refused = check(&run, &target, bytes);
    assert_eq!(refused.violations.iter().map(|v| v.limit).collect::<Vec<_>>(), ["available_memory"]);
    assert_eq!((refused.violations[0].needed, refused.violations[0].allowed), (used.bytes(), bytes));
    // No other way to make the same updates takes less of it, smaller batches and windows do: a row of a window is
    // read as two numbers a timestep, and its state carried.
    let [first, second] = &refused.alternatives[..] else { panic!("{refused}") };
    let (batch, window) = if first.batch < 4096 { (first, second) } else { (second, first) };
    assert!(batch.batch < 4096 && batch.window == 32 && window.window < 32 && window.batch == 4096, "{refused}");
    for (rows, timesteps) in [(batch.batch + 1, 32), (4096, window.window + 1)] {
        let mut config = run.config.clone();
        (config.train.batch, config.train.window) = (rows, Some(timesteps));
        assert!(refusal(&Run::new(config).unwrap(), &target, bytes).is_some(), "{rows} x {timesteps} would fit");
    }
}

#[test]
fn of_examples_fewer_workers_make_the_same_updates() {
    let folder = std::env::temp_dir().join(format!("plimsoll-host-memory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (profile, more) in [("radv-rx6700xt", ""), ("lavapipe", ""), ("lavapipe", "[budget]\nbargain = false")] {
        let (run, target) = (examples(&folder, more), target(profile));
        let used = held(&run, &target);
        let ready = used.batches_bytes * 16 / 17;
        let of = |share: u64| check(&run, &target, used.bytes() - ready * share / 8);
        let said = |refused: &Refusal| refused.alternatives[0].lines.join(" ");
        if profile != "lavapipe" || !more.is_empty() {
            assert_eq!(said(&of(3)), "[data] workers = 5", "{profile}");
        }
        // Less than staging could give up.
        let tight = check(&run, &target, used.bytes() - ready - used.device_bytes * 2 / 3);
        match (profile, more) {
            ("lavapipe", "") => assert!(said(&tight).starts_with("[data] workers = 0 "), "{tight}"),
            ("lavapipe", _) => assert!(tight.alternatives.iter().all(|a| a.workers.is_none()), "{tight}"),
            _ => assert_eq!(said(&tight), "[data] workers = 0", "{tight}"),
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_no_host_could_hold_less_of_says_what_the_least_is() {
    let (run, target) = (run("batch = 4\nwindow = 4"), target("radv-rx6700xt"));
    let refused = refusal(&run, &target, 1000).unwrap();
    assert_eq!(refused.alternatives, []);
    assert!(refused.least.is_some() && refused.to_string().contains("only a smaller model or a larger limit will do"));
}
