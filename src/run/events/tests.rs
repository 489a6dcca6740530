//! The file is read by a small reader that knows the format and nothing of the writer.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::storage::tests::Scratch;

/// CRC-32C bit by bit, as the polynomial's definition has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn unmasked(stored: &[u8]) -> u32 {
    u32::from_le_bytes(stored.try_into().unwrap()).wrapping_sub(0xa282_ead8).rotate_left(15)
}

/// The fields of a protobuf message: number, wire type, and the number or the bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, u64, &[u8])> {
    let varint = |bytes: &mut &[u8]| {
        let mut number = 0u64;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            number |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return number;
            }
        }
        unreachable!()
    };
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (number, content) = match key & 7 {
            0 => (varint(&mut bytes), 0),
            1 => (0, 8),
            2 => (0, usize::try_from(varint(&mut bytes)).unwrap()),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        let (content, rest) = bytes.split_at(content);
        bytes = rest;
        found.push((key >> 3, key & 7, number, content));
    }
    found
}

/// What TensorBoard would show: by tag, each scalar with its step and wall time; and the texts.
#[derive(Default, Debug)]
struct Shown {
    scalars: BTreeMap<String, Vec<(u64, f32, f64)>>,
    texts: BTreeMap<String, String>,
}

fn shown(scratch: &Scratch) -> Shown {
    let names = scratch.names().into_iter().filter(|name| name.contains("tfevents"));
    let mut files: Vec<_> = names.map(|name| fs::read(scratch.path(&name)).unwrap()).collect();
    // One that is empty may be left for who reads it.
    assert!(files.len() <= 2, "{files:?}");
    files.retain(|file| !file.is_empty());
    let [file] = &files[..] else { panic!("{} files", files.len()) };
    let (mut rest, mut shown, mut number) = (&file[..], Shown::default(), 0);
    while !rest.is_empty() {
        let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
        assert_eq!(unmasked(&rest[8..12]), crc32c(&rest[..8]));
        let event = &rest[12..12 + length];
        assert_eq!(unmasked(&rest[12 + length..16 + length]), crc32c(event));
        rest = &rest[16 + length..];
        let (mut step, mut wall) = (0, 0.0);
        for (field, wire, integer, bytes) in fields(event) {
            match (field, wire) {
                (1, 1) => wall = f64::from_le_bytes(bytes.try_into().unwrap()),
                (2, 0) => step = integer,
                (3, 2) => assert_eq!((bytes, number), (&b"brain.Event:2"[..], 0)),
                (7, 2) => assert_eq!((fields(bytes)[0].2, step, number), (1, 0, 1), "a session that starts"),
                (5, 2) => fields(bytes).iter().for_each(|value| shown.add(step, wall, value.3)),
                other => panic!("field {other:?}"),
            }
        }
        assert!(wall > 1.7e9);
        number += 1;
    }
    shown
}

impl Shown {
    fn add(&mut self, step: u64, wall: f64, value: &[u8]) {
        let parts: BTreeMap<u64, &[u8]> =
            fields(value).into_iter().map(|(field, _, _, bytes)| (field, bytes)).collect();
        let tag = String::from_utf8(parts[&1].to_vec()).unwrap();
        match (parts.get(&2), parts.get(&8)) {
            (Some(scalar), None) => {
                let scalar = f32::from_le_bytes((*scalar).try_into().unwrap());
                self.scalars.entry(tag).or_default().push((step, scalar, wall));
            }
            (None, Some(tensor)) => {
                let string = fields(tensor).into_iter().find(|field| field.0 == 8).unwrap().3;
                self.texts.insert(tag, String::from_utf8(string.to_vec()).unwrap());
            }
            _ => panic!("neither a scalar nor a text: {tag}"),
        }
    }

    fn steps(&self, tag: &str) -> Vec<(u64, f32)> {
        self.scalars.get(tag).into_iter().flatten().map(|(step, scalar, _)| (*step, *scalar)).collect()
    }
}

fn report(step: u64, loss: f32) -> StepReport {
    let (learning_rate, grad_norm, tokens) = (2e-3, 0.5, 512);
    let (skipped, skipped_so_far, next_loss_scale) = (false, 0, None);
    StepReport { step, loss, learning_rate, grad_norm, tokens, skipped, skipped_so_far, next_loss_scale }
}

fn look(loss: f64) -> Score {
    Score { loss, accuracy: Some(0.75) }
}

#[test]
fn the_checksum_is_castagnolis() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    for bytes in [&b"123456789"[..], b"", &[0; 32], &[255; 32]] {
        assert_eq!(unmasked(&masked_crc(bytes)), crc32c(bytes));
    }
}

#[test]
fn every_scalar_and_the_settings_are_in_the_file() {
    let scratch = Scratch::new();
    let mut events = Events::of(&scratch.path("."));
    events.describe(&Config::default_run());
    let next_loss_scale = Some(1024.0);
    events.append(&[report(1, 0.5), StepReport { next_loss_scale, ..report(300, f32::INFINITY) }]).unwrap();
    events.append_score(300, &look(0.25)).unwrap();
    events.append_score(301, &Score { loss: 0.125, accuracy: None }).unwrap();
    let shown = shown(&scratch);
    let losses = shown.steps("train/loss");
    assert!(losses[0] == (1, 0.5) && losses[1].0 == 300 && losses[1].1.is_nan(), "{losses:?}");
    assert_eq!(shown.steps("train/learning_rate"), [(1, 2e-3), (300, 2e-3)]);
    assert_eq!(shown.steps("train/grad_norm"), [(1, 0.5), (300, 0.5)]);
    assert_eq!(shown.steps("train/next_loss_scale"), [(300, 1024.0)]);
    assert_eq!(shown.steps("validation/loss"), [(300, 0.25), (301, 0.125)]);
    assert_eq!(shown.steps("validation/accuracy"), [(300, 0.75)]);
    assert!(shown.texts["config"].contains("```toml\nseed = 1\n"), "{:?}", shown.texts);
}

#[test]
fn no_record_of_a_step_is_longer_than_the_disk_is_asked_for() {
    let longest = of_step(now(), u64::MAX, [1.0; 3], Some(1.0)).len() as u64;
    assert!((LONGEST_RECORD / 2..=LONGEST_RECORD).contains(&longest), "{longest}");
}

#[test]
fn a_run_taken_up_has_each_step_once_and_those_before_at_their_own_time() {
    let scratch = Scratch::new();
    let mut events = Events::of(&scratch.path("."));
    events.append(&[report(1, 0.5), report(2, 0.25)]).unwrap();
    events.append_score(2, &look(0.25)).unwrap();
    events.append(&[report(3, 0.125), report(4, 0.0625)]).unwrap();
    let before = shown(&scratch);
    drop(events);
    // The last record is torn, as a kill leaves it, and someone else's file lies there too.
    let name = names(&scratch.path(".")).remove(0);
    let torn = fs::read(scratch.path(&name)).unwrap();
    fs::write(scratch.path(&name), &torn[..torn.len() - 3]).unwrap();
    fs::write(scratch.path("events.out.others"), "theirs").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));

    let history = History {
        steps: vec![1, 2, 3],
        losses: vec![0.5, 0.25, 0.125],
        learning_rates: vec![2e-3; 3],
        grad_norms: vec![0.5; 3],
        looks: vec![super::super::Look { step: 2, loss: 0.25, accuracy: Some(0.75) }],
        ..History::default()
    };
    let mut events = Events::of(&scratch.path("."));
    events.describe(&Config::default_run());
    events.rewrite(&history).unwrap();
    events.append(&[report(4, 1.0)]).unwrap();
    let after = shown(&scratch);
    assert_eq!(after.steps("train/loss"), [(1, 0.5), (2, 0.25), (3, 0.125), (4, 1.0)]);
    assert_eq!(after.steps("validation/loss"), before.steps("validation/loss"));
    assert!(after.texts.contains_key("config"));
    let wall = |shown: &Shown, i: usize| shown.scalars["train/loss"][i].2;
    assert!((0..3).all(|i| wall(&after, i) == wall(&before, i)) && wall(&after, 3) > wall(&before, 3));
    let files = names(&scratch.path("."));
    assert!(files.len() == 2 && files[0] == name && fs::metadata(scratch.path(&name)).unwrap().len() == 0);
    // Taken up a second time, it leaves no third.
    let mut events = Events::of(&scratch.path("."));
    events.rewrite(&history).unwrap();
    assert_eq!(shown(&scratch).steps("train/loss").len(), 3);
    events.append(&[report(4, 1.0)]).unwrap();
    let after = shown(&scratch);
    assert!((0..3).all(|i| wall(&after, i) == wall(&before, i)));
    assert_eq!(fs::read(scratch.path("events.out.others")).unwrap(), b"theirs");
    let (first, last) = started(&scratch.path(".")).unwrap();
    assert!(first == wall(&before, 0) && last == wall(&after, 3));
}

#[cfg(target_os = "linux")]
#[test]
fn records_that_a_full_disk_does_not_take_wait_and_are_written_later() {
    let scratch = Scratch::new();
    let mut events = Events::of(&scratch.path("."));
    events.append(&[report(1, 0.5)]).unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let disk = std::mem::replace(&mut events.file.as_mut().unwrap().file, full);
    assert!(events.append(&[report(2, 0.25)]).is_err());
    events.file.as_mut().unwrap().file = disk;
    events.append(&[report(3, 0.125)]).unwrap();
    assert_eq!(shown(&scratch).steps("train/loss"), [(1, 0.5), (2, 0.25), (3, 0.125)]);
    // Nor is a folder that is not there, yet, the end of it.
    let mut events = Events::of(&scratch.path("later"));
    assert!(events.append(&[report(1, 0.5)]).is_err());
    fs::create_dir(scratch.path("later")).unwrap();
    events.append(&[report(2, 0.25)]).unwrap();
    assert_eq!(names(&scratch.path("later")).len(), 1);
}
