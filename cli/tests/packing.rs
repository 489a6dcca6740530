//! `plimsoll pack` as its users meet it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Five buffers, of which 7 bytes are alive at once.
const BUFFERS: &str = "id,lower,upper,size\na,0,4,3\nb,2,6,3\nc,5,9,3\nd,3,5,1\ne,8,12,4\n";

/// A file of this test's own, removed afterwards.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let file = File(std::env::temp_dir().join(format!("plimsoll-pack-{}-{name}.csv", std::process::id())));
        fs::write(&file.0, text).unwrap();
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What the program prints when it exits with `code`.
fn pack(file: &File, args: &str, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    let output = command.arg("pack").arg(&file.0).args(args.split_whitespace()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn json(file: &File, args: &str, code: i32) -> Value {
    serde_json::from_str(&pack(file, &format!("{args} --json"), code)).unwrap()
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn what_is_packed_is_shown_written_and_seen_to_be_right_when_read_again() {
    let file = File::new("right", BUFFERS);
    let out = File::new("right-out", "");
    let text = pack(&file, &format!("--out {}", out.0.display()), 0);
    assert_has(&text, &["5 buffers", "lower bound", "7 B", "height", "gap", "OPTIMAL"]);
    let written = fs::read_to_string(&out.0).unwrap();
    assert!(written.starts_with("id,lower,upper,size,offset\na,0,4,3,"), "{written}");
    let report = json(&out, "", 0);
    assert_eq!(report["given_bytes"], report["height_bytes"]);
    assert_eq!(report["given_clash"], Value::Null);
    // All at the floor: whatever else they are, two of them clash.
    let clash = File::new("clash", "id,lower,upper,size,offset\na,0,4,3,0\nb,2,6,3,0\n");
    assert_has(&pack(&clash, "", 0), &["given", "`a` and `b` are both alive at 2 and both have byte 0", "OPTIMAL"]);
}

#[test]
fn a_capacity_that_is_met_exits_with_0_and_one_that_is_not_with_3() {
    let file = File::new("capacity", BUFFERS);
    let least = json(&file, "", 0)["height_bytes"].as_u64().unwrap();
    assert_has(&pack(&file, &format!("--capacity {}", least + 2), 0), &["FITS", "to spare"]);
    let text = pack(&file, &format!("--capacity {}", least - 1), 3);
    assert_has(&text, &["REFUSED: no packing fits", &format!("{least} B are needed whatever")]);
    let report = json(&file, "--capacity 3", 3);
    assert_eq!((&report["fits"], &report["capacity_bytes"]), (&false.into(), &3.into()));
    // With no effort nothing is proved that is not seen at once.
    let hard = File::new("hard", include_str!("../../tests/data/minimalloc/A.1048576.csv"));
    assert_has(&pack(&hard, "--capacity 1MiB --effort 0", 3), &["REFUSED", "Whether a packing fits is open"]);
    assert_has(&pack(&hard, "--capacity 1MiB", 0), &["FITS: 1,048,576 B of 1,048,576 B; 0 B to spare", "by search"]);
}

#[test]
fn the_same_effort_gives_the_same_packing() {
    let file = File::new("effort", include_str!("../../tests/data/minimalloc/D.1048576.csv"));
    let of = |effort: u64| {
        let out = File::new(&format!("effort-{effort}-out"), "");
        let height = json(&file, &format!("--effort {effort} --out {}", out.0.display()), 0)["height_bytes"].clone();
        (height.as_u64().unwrap(), fs::read_to_string(&out.0).unwrap())
    };
    let (once, again, less) = (of(40_000), of(40_000), of(0));
    assert_eq!(once, again);
    assert!(once.0 < less.0, "{} {}", once.0, less.0);
}

#[test]
fn alignments_and_inclusive_ends_count() {
    // `a` and `b` meet at 4, though one ends and the other begins there.
    let file = File::new("inclusive", "buffer,begin,end,size,alignment\na,0,4,3,1\nb,4,6,5,8\n");
    let out = File::new("inclusive-out", "");
    let report = json(&file, &format!("--out {}", out.0.display()), 0);
    assert_eq!((&report["height_bytes"], &report["optimal"]), (&8.into(), &true.into()));
    assert!(fs::read_to_string(&out.0).unwrap().contains("b,4,6,5,8,0"), "the only multiple of 8 that will do");
}

#[test]
fn what_is_wrong_exits_with_2_and_names_its_line() {
    let file = File::new("wrong", "id,lower,upper,size\na,0,4,3\nb,6,2,3\n");
    assert_has(&pack(&file, "", 2), &["line 3, column `upper`", "found 2", "more than 6"]);
    let file = File::new("columns", "id,lower,size\n");
    assert_has(&pack(&file, "", 2), &["line 1", "`upper` or `end`"]);
    // Offsets under one id would be nobody's.
    let file = File::new("twice", "id,lower,upper,size\na,0,4,3\nb,2,6,3\na,5,9,3\n");
    let name = file.0.display().to_string();
    assert_has(&pack(&file, "", 2), &[&name, "line 4, column `id`", "\"a\", which line 2 has too", "rename one"]);
    let right = File::new("time", BUFFERS);
    assert_has(&pack(&right, "--time soon", 2), &["`soon` is no length of time", "500ms"]);
    assert_has(&pack(&right, "--time 10ss", 2), &["is no length of time"]);
    assert_has(&pack(&File(PathBuf::from("no-such.csv")), "", 2), &["no-such.csv"]);
}
