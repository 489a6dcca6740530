//! A device that goes away turns into an error, not a panic. Alone in its process, for the device is gone.

use plimsoll::device::Device;
use plimsoll::error::ErrorKind;
use plimsoll::nn::Model;
use plimsoll::training::{Batch, Session, Task, Training};

#[test]
fn a_lost_device_is_an_error_that_says_so() {
    let device = Device::open().unwrap();
    let training = Training::new(Model::new().output(), Task::regression(2, 1), 2);
    let batch = Batch::numbers(vec![1.0; 4], vec![0.0; 2]);
    let mut session = Session::new(&training, &device).unwrap();
    session.step(&batch).unwrap();
    device.destroy();
    let failed = (0..3).find_map(|_| session.step(&batch).and_then(|_| session.finish()).err());
    let error = failed.expect("steps on a lost device do not succeed in silence");
    assert_eq!(error.kind(), ErrorKind::Device);
    assert!(error.to_string().contains("lost"), "{error}");
    let Err(again) = Session::new(&training, &device) else { panic!("a lost device took another run") };
    assert_eq!(again.kind(), ErrorKind::Device);
}
