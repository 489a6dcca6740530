//! Plans a run for a device that is not here, and shows what a refusal says.
//!
//! ```text
//! cargo run --example dry_run
//! ```
use plimsoll::{Bytes, Error, Model, Target, Task, Training};

pub(crate) fn training() -> Training {
    let model = Model::new().embedding(128).rnn(512).output();
    Training::new(model, Task::next_token(100), 32).window(64)
}

fn main() -> Result<(), Error> {
    let browser = Target::profile("webgpu-default")?;
    let training = training();

    let planned = training.plan(&browser)?;
    let plan = &planned.plan;
    println!("Planned for {}: {}", browser.name, Bytes(plan.planned_bytes()).exact());
    for (role, bytes) in plan.roles() {
        println!("{:>10}  {}", Bytes(bytes), role.name());
    }
    println!("No placement could take less than {}.", Bytes(plan.lower_bound_bytes()).exact());

    if let Some(peak) = plan.peak() {
        println!("\nThe peak is dispatch {} of program `{}`. The largest there:", peak.dispatch, peak.program);
    }
    for tenant in plan.peak_tenants().iter().take(5) {
        println!("{:>10}  {}", Bytes(tenant.bytes), tenant.name);
    }

    // The same run within 16 MiB. Alternatives are found by planning them, not by estimate.
    let tight = Training { memory: Some(Bytes(16 << 20)), ..training };
    match tight.plan(&browser)?.refusal() {
        Some(refusal) => println!("\n{refusal}"),
        None => println!("\nIt fits."),
    }
    Ok(())
}
