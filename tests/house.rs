//! The house rules a compiler does not check.

use std::fs;
use std::path::Path;

/// Floors from the ground up: a module imports only from lower floors, or its own.
const FLOORS: [&str; 25] = [
    "ids", "bytes", "memory", "tensor", "random", "target", "shader", "ops", "graph", "autodiff", "narrow", "schedule",
    "plan", "engine", "host", "device", "storage", "text", "data", "config", "nn", "refusal", "error", "training",
    "run",
];

fn sources(root: &str) -> Vec<(String, String)> {
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(root)];
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        for path in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "wgsl") {
                let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap().to_string();
                found.push((name.replace('\\', "/"), fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The module of the library that a file belongs to.
fn module(path: &str) -> &str {
    path.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap()
}

/// The code without comments and without what only tests see.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_floor_imports_only_lower_floors() {
    let mut imports = 0;
    for (path, text) in sources("src") {
        if path == "src/lib.rs" {
            continue;
        }
        let floor_of = |m: &str| FLOORS.iter().position(|f| *f == m);
        let floor = floor_of(module(&path)).unwrap_or_else(|| panic!("{path} is on no floor"));
        for rest in code(&text).split("crate::").skip(1) {
            let target = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap();
            if target == "shader" && rest.starts_with("shader!") {
                continue;
            }
            let below = floor_of(target).unwrap_or_else(|| panic!("{path}: `crate::{target}` is on no floor"));
            assert!(below <= floor, "{path} (floor {floor}) imports `{target}` (floor {below})");
            imports += 1;
        }
    }
    assert!(imports > 100, "the walls were looked at: {imports}");
}

#[test]
fn only_device_names_wgpu() {
    for (path, text) in sources("src") {
        let names = code(&text).contains("wgpu::");
        assert!(!names || path.starts_with("src/device/"), "{path} names wgpu");
    }
    assert!(sources("src/device").iter().any(|(_, text)| text.contains("wgpu::")));
}

#[test]
fn unsafe_is_in_two_small_places() {
    let roots = ["src", "cli", "examples", "benches"];
    for (path, text) in roots.iter().flat_map(|root| sources(root)) {
        let interfaces = ["vulkan", "dx12", "metal"].map(|name| format!("src/device/heaps/{name}.rs"));
        let audited = path == "src/device/trust.rs" || interfaces.contains(&path);
        assert!(audited || !code(&text).contains("unsafe"), "{path} has `unsafe` in it");
    }
}

#[test]
fn no_file_forgets_its_first_sentence() {
    for (path, text) in sources("src") {
        assert!(text.starts_with("//!"), "{path} opens with no `//!` sentence");
    }
    for (path, text) in sources("shaders") {
        assert!(text.starts_with("//") || path.contains("prelude"), "{path} opens with no formula");
    }
}

#[test]
fn files_stay_short_enough_to_be_read() {
    for (path, text) in sources("src").into_iter().chain(sources("shaders")).chain(sources("cli/src")) {
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines");
    }
}

#[test]
fn nothing_is_switched_off_or_left_open() {
    // Put together here, so that this file does not find itself.
    let marks = ["#[ign", "todo", "unimplem", "FIX", "XX"].map(String::from);
    let ends = ["ore", "!(", "ented!(", "ME", "X"];
    let words: Vec<String> = marks.iter().zip(ends).map(|(a, b)| format!("{a}{b}")).collect();
    for root in ["src", "shaders", "tests", "cli", "examples", "benches"] {
        for (path, text) in sources(root) {
            for word in &words {
                assert!(!text.contains(word.as_str()), "{path} contains `{word}`");
            }
        }
    }
}
