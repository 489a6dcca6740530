//! What the driver reserves, beside what a run asks for: told before it, and compared after it.

use plimsoll::bytes::Bytes;
use plimsoll::engine::Drawn;
use plimsoll::plan::reserved::Reserved;
use plimsoll::run::Driver;

/// What the driver will reserve for a plan.
pub(crate) fn foretold(reserved: Option<&Reserved>) -> String {
    let Some(Reserved { planned_bytes, reserved_bytes, blocks, .. }) = reserved else {
        return "not known for this device: what it reserves beside what is planned".into();
    };
    let pieces = match blocks.as_slice() {
        [] => "nothing".into(),
        [one] => format!("one block of {}", Bytes(*one)),
        [least, .., most] if least == most => format!("{} blocks of {}", blocks.len(), Bytes(*most)),
        [least, .., most] => format!("{} blocks of {} to {}", blocks.len(), Bytes(*least), Bytes(*most)),
    };
    format!("takes {} from the device for the {} planned: {pieces}", Bytes(*reserved_bytes), Bytes(*planned_bytes))
}

/// What the driver had reserved at the end of a run, beside what was foretold.
pub(crate) fn compared(Driver { expected, measured }: &Driver) -> String {
    let Some(drawn) = measured else { return "ledger only: this backend does not report what it reserves".into() };
    let amounts = |reserved, allocated| format!("{} for {} handed out", Bytes(reserved), Bytes(allocated));
    let measured = format!("took {}", amounts(drawn.reserved_bytes, drawn.allocated_bytes));
    let Some(expected) = expected else { return format!("{measured}; not foretold for this device") };
    let Reserved { reserved_bytes, allocated_bytes, .. } = *expected;
    if *drawn == (Drawn { allocated_bytes, reserved_bytes }) {
        return format!("{measured}, to the byte as planned");
    }
    let exact = |drawn: u64| Bytes(drawn).exact();
    format!(
        "took {} for {} handed out, and {} for {} were foretold",
        exact(drawn.reserved_bytes),
        exact(drawn.allocated_bytes),
        exact(reserved_bytes),
        exact(allocated_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn reserved(blocks: &[u64]) -> Reserved {
        let reserved_bytes = blocks.iter().sum();
        Reserved { planned_bytes: 3 * MIB, allocated_bytes: 4 * MIB, reserved_bytes, blocks: blocks.into() }
    }

    #[test]
    fn what_will_be_reserved_is_told_with_its_blocks() {
        let told = |blocks: &[u64]| foretold(Some(&reserved(blocks)));
        assert_eq!(told(&[4 * MIB]), "takes 4 MiB from the device for the 3 MiB planned: one block of 4 MiB");
        assert!(
            told(&[8 * MIB, 8 * MIB])
                .ends_with("takes 16 MiB from the device for the 3 MiB planned: 2 blocks of 8 MiB")
        );
        assert!(told(&[4 * MIB, 8 * MIB, 9 * MIB]).ends_with("3 blocks of 4 MiB to 9 MiB"));
        assert!(foretold(None).starts_with("not known for this device"));
    }

    #[test]
    fn what_was_reserved_is_held_against_what_was_foretold() {
        let drawn = |reserved_bytes| Some(Drawn { allocated_bytes: 4 * MIB, reserved_bytes });
        let told = |expected, measured| compared(&Driver { expected, measured });
        let foretold = || Some(reserved(&[8 * MIB]));
        assert_eq!(told(foretold(), drawn(8 * MIB)), "took 8 MiB for 4 MiB handed out, to the byte as planned");
        let off = told(foretold(), drawn(8 * MIB + 1));
        assert!(off.contains("8,388,609 B") && off.contains("8,388,608 B") && off.contains("were foretold"), "{off}");
        assert!(told(None, drawn(8 * MIB)).ends_with("not foretold for this device"));
        assert!(told(foretold(), None).starts_with("ledger only"));
    }
}
