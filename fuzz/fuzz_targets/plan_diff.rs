//! Plans as `plimsoll plan diff` reads them: no number breaks a table, and a plan does not differ from itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../cli/src/diff.rs"]
mod diff;
#[allow(dead_code, reason = "the command line draws more than this")]
#[path = "../../cli/src/table.rs"]
mod table;

fuzz_target!(|data: &[u8]| {
    // Two plans, with a zero between them; or one, beside itself.
    let at = data.iter().position(|&byte| byte == 0);
    let (before, after) = at.map_or((data, data), |at| (&data[..at], &data[at + 1..]));
    plimsoll_fuzz::within(data.len(), 1024, || {
        let parsed = [before, after].map(|plan| diff::PlanFile::parse(plan, "the input").ok());
        let [Some(first), Some(second)] = &parsed else { return };
        let told = diff::differences(first, second);
        assert!(before != after || told.starts_with("The plans take the same memory"), "{told}");
    });
});
