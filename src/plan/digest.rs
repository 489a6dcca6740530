//! A plan's fingerprint: two plans with the same one make the same dispatches of the same kernels on the
//! same places, so that on the same device the same numbers come out, to the bit.

use std::fmt::{self, Write};

use super::Plan;
use crate::ops::Dispatch;
use crate::shader::Shader;

/// Bytes in the words of a list of numbers, which a plan's parameters are millions of.
struct Numbers<'a>(&'a [u8]);

impl fmt::Debug for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(5 * self.0.len() + 2);
        for (at, byte) in self.0.iter().enumerate() {
            text.push_str(if at == 0 { "[" } else { ", " });
            for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
                if *byte >= least {
                    text.push(char::from(b'0' + byte / unit % 10));
                }
            }
        }
        f.write_str(if self.0.is_empty() { "[" } else { &text })?;
        f.write_str("]")
    }
}

/// FNV-1a, of 64 bits, of what is written to it.
struct Fingerprint(u64);

impl Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Plan {
    /// The plan's fingerprint, as 16 digits.
    pub fn digest(&self) -> String {
        let mut print = Fingerprint(0xcbf2_9ce4_8422_2325);
        let mut note = |part: &dyn fmt::Debug| write!(print, "{part:?};").expect("it takes whatever is written");
        for program in &self.schedule.programs {
            note(program);
        }
        // Timesteps mostly have the kernel of the one before, whose label takes longer to put in words than to compare.
        let mut last: Option<(&Shader, String)> = None;
        for step in &self.schedule.steps {
            let Dispatch { shader, params, groups, .. } = &step.dispatch;
            let again = last.take().filter(|(other, _)| *other == shader);
            let (_, label) = last.insert(again.unwrap_or_else(|| (shader, shader.label())));
            note(&(label, Numbers(params), groups));
            for access in &step.accesses {
                let place = access.writes.or(access.reads).and_then(|value| self.value(value, 0));
                note(&(access, place));
            }
        }
        note(&self.arenas);
        note(&self.slots);
        format!("{:016x}", print.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use crate::nn::{Model, Task};
    use crate::target::Target;
    use crate::training::Training;

    #[test]
    fn numbers_are_told_as_lists_of_bytes_are() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        for bytes in [&all[..], &all[..1], &all[9..11], &[]] {
            assert_eq!(format!("{:?}", Numbers(bytes)), format!("{bytes:?}"));
        }
    }

    #[test]
    fn the_same_run_has_the_same_fingerprint_and_another_has_another() {
        let target = Target::profile("webgpu-default").unwrap();
        let digest = |hidden, batch, accumulate, target: &Target| {
            let model = Model::new().embedding(4).rnn(hidden).output();
            let training = Training::new(model, Task::next_token(10), batch).window(3).accumulate(accumulate);
            training.plan(target).unwrap().plan.digest()
        };
        let one = digest(8, 4, 1, &target);
        assert_eq!(one, digest(8, 4, 1, &target));
        let software = Target::profile("lavapipe").unwrap();
        for other in
            [digest(9, 4, 1, &target), digest(8, 8, 1, &target), digest(8, 4, 2, &target), digest(8, 4, 1, &software)]
        {
            assert_ne!(one, other);
        }
    }
}
