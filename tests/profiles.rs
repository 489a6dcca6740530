//! Profiles of devices: for each that ships, the default run is planned, and is a plan for that device.

use plimsoll::Target;
use plimsoll::config::Config;
use plimsoll::run::Run;
use plimsoll::target::DeviceKind;

#[test]
fn the_default_run_is_planned_for_every_device_and_fits() {
    let run = Run::new(Config::default_run()).unwrap();
    for name in Target::shipped() {
        let target = Target::profile(name).unwrap();
        let planned = run.plan(&target).unwrap();
        let violations = planned.plan.violations(planned.memory());
        assert!(violations.is_empty(), "{name}: {violations:?}");
        planned.plan.replay().unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
    assert!(Target::shipped().count() >= 12);
}

#[test]
fn what_wgpu_clamps_is_clamped() {
    for name in Target::shipped() {
        let Target { backend, limits, driver, .. } = Target::profile(name).unwrap();
        if backend == "vulkan" && !driver.starts_with("NVK") && !driver.starts_with("NVIDIA") {
            assert!(limits.max_buffer_size <= i32::MAX.unsigned_abs().into(), "{name}: a Linux driver's buffer");
        }
        if backend != "metal" {
            assert!(limits.max_storage_buffer_binding_size <= i32::MAX.unsigned_abs().into(), "{name}");
        }
        assert!(limits.max_storage_buffer_binding_size.is_multiple_of(4) && limits.max_immediate_size <= 256, "{name}");
    }
}

#[test]
fn a_card_with_memory_of_its_own_says_how_much_and_one_without_does_not() {
    for name in Target::shipped() {
        let target = Target::profile(name).unwrap();
        assert_eq!(target.memory_bytes.is_some(), target.device_kind == DeviceKind::Discrete, "{name}");
    }
}
