//! Steps that are handed to the device in pieces are the steps that they would be in one, to the bit.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::Device;
use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::training::{Batch, Session, Training};

use sessions::{parameter_bits, run};

fn training(accumulate: u32) -> Training {
    let model = Model::new().embedding(8).recurrent(Recurrent::new(Cell::Lstm, 12)).output();
    let training = Training::new(model, Task::next_token(7), 4).window(5);
    Training { accumulate, clip_norm: Some(1.0), report_every: 3, carry_state: true, ..training }
}

fn batch(shift: u32) -> Batch {
    let of = |by: u32| (0..20).map(|i| (i * i + shift + by) % 7).collect();
    Batch::tokens(of(0), of(1))
}

/// What four steps come to on a device of its own: losses and parameters, the submissions that they took, and
/// whether it held what is planned from the first to the last.
fn trained(device: &Device, accumulate: u32) -> (Vec<u32>, Vec<u32>, u64, bool) {
    let mut session = Session::new(&training(accumulate), device).unwrap();
    run(&mut session, &[batch(0)]);
    let (before, held) = (device.submissions(), session.held());
    let mut reports = run(&mut session, &[batch(1), batch(2), batch(3), batch(4)]);
    let submissions = device.submissions() - before;
    reports.extend(session.finish().unwrap());
    let planned = held.is_none_or(|held| held.bytes == session.plan().planned_bytes());
    let losses = reports.iter().map(|report| report.loss.to_bits()).collect();
    let steady = planned && session.held() == held;
    (losses, parameter_bits(&mut session), submissions, steady)
}

#[test]
fn steps_cut_at_any_dispatch_are_the_same_steps_to_the_bit() {
    for accumulate in [1, 2] {
        let (losses, parameters, whole, steady) = trained(&Device::open().unwrap(), accumulate);
        assert!(steady && losses.len() == 4, "{losses:?}");
        // By what is assumed a dispatch takes some 50 us: one in each submission, then a few.
        for (longest, least) in [(1e-9, 4 * 24), (200e-6, 4 * 6)] {
            let mut device = Device::open().unwrap();
            device.cut_submissions(longest);
            let cut = trained(&device, accumulate);
            assert_eq!((&cut.0, &cut.1, cut.3), (&losses, &parameters, true), "cut at {longest} s");
            assert!(cut.2 >= whole + least, "{} submissions, and {whole} where nothing is cut", cut.2);
        }
    }
}
