//! What the library depends on: how much, from where, under which licences, and why. `deny.toml` says what is
//! allowed, and `make deny` holds it, with known vulnerabilities, for all systems; this holds the most of it for the
//! one at hand, and needs nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crates that are compiled into a program that uses the library, itself included.
const MOST_CRATES: usize = 120;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What cargo knows of the workspace and all that it depends on where this test runs.
fn metadata() -> Value {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let about = run(option_env!("RUSTC").unwrap_or("rustc"), &["-vV"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let json = run(env!("CARGO"), &["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
    serde_json::from_str(&json).unwrap()
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of[key].as_array().unwrap_or_else(|| panic!("no list `{key}`"))
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {}", of["name"]))
}

/// A list of words in deny.toml.
fn allowed(table: &str, key: &str) -> Vec<String> {
    let deny: toml::Table = file("deny.toml").parse().unwrap();
    let words = deny[table][key].as_array().unwrap().iter();
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_library_is_no_more_crates_than_was_promised() {
    let metadata = metadata();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let library = list(&metadata, "packages").iter().find(|package| package["name"] == "plimsoll").unwrap();
    let (mut found, mut todo) = (BTreeSet::new(), vec![text(library, "id")]);
    while let Some(id) = todo.pop() {
        if found.insert(id) {
            let is_normal = |dep: &&Value| list(dep, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            todo.extend(list(nodes[id], "deps").iter().filter(is_normal).map(|dep| text(dep, "pkg")));
        }
    }
    assert!(found.len() > 50, "the tree was looked at: {}", found.len());
    assert!(found.len() <= MOST_CRATES, "the library is {} crates, and at most {MOST_CRATES}", found.len());
}

#[test]
fn every_licence_is_one_that_deny_toml_allows() {
    let (metadata, allowed) = (metadata(), allowed("licenses", "allow"));
    for package in list(&metadata, "packages") {
        let licence = text(package, "license");
        assert!(is_allowed(licence, &allowed), "{} is under {licence}", package["name"]);
    }
    // The judge, judged.
    let few = ["MIT".to_owned(), "ISC".to_owned()];
    for licence in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(X OR ISC) AND MIT", "X AND Y OR MIT"] {
        assert!(is_allowed(licence, &few), "{licence}");
    }
    for licence in ["X", "MIT AND X", "(MIT OR ISC) AND X", "MIT WITH exception"] {
        assert!(!is_allowed(licence, &few), "{licence}");
    }
}

/// Whether one choice among the alternatives of an SPDX expression is of allowed licences only.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // What stands in brackets is decided first, and stands for itself as a word after that.
    if let Some((before, rest)) = expression.rsplit_once('(') {
        let (inside, after) = rest.split_once(')').expect("brackets come in pairs");
        let word = if is_allowed(inside, allowed) { &allowed[0] } else { "none" };
        return is_allowed(&format!("{before}{word}{after}"), allowed);
    }
    let of_all = |all: &str| all.split(" AND ").all(|word| allowed.iter().any(|known| known == word.trim()));
    expression.replace('/', " OR ").split(" OR ").any(of_all)
}

#[test]
fn every_crate_comes_from_a_registry_that_deny_toml_allows() {
    let registries = allowed("sources", "allow-registry");
    assert!(allowed("sources", "allow-git").is_empty());
    // The lock file has the crates of all systems; those without a source are here.
    let lock: toml::Table = file("Cargo.lock").parse().unwrap();
    let sources = lock["package"].as_array().unwrap().iter().filter_map(|package| package.get("source"));
    let sources: BTreeSet<&str> = sources.map(|source| source.as_str().unwrap()).collect();
    assert!(!sources.is_empty());
    for source in sources {
        assert!(registries.iter().any(|registry| source == format!("registry+{registry}")), "{source}");
    }
}

#[test]
fn every_dependency_has_its_reason_in_architecture_md() {
    let (metadata, architecture) = (metadata(), file("ARCHITECTURE.md"));
    let table = architecture.split("## Dependencies").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let reasons: BTreeMap<&str, &str> = rows
        .flat_map(|row| {
            let (crates, reason) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            crates.split(", ").map(move |name| (name, reason))
        })
        .collect();
    let members: Vec<&Value> = list(&metadata, "workspace_members").iter().collect();
    let packages = list(&metadata, "packages").iter().filter(|package| members.contains(&&package["id"]));
    let direct: BTreeSet<&str> = packages
        .flat_map(|package| list(package, "dependencies"))
        .map(|dependency| text(dependency, "name"))
        .filter(|name| *name != "plimsoll")
        .collect();
    assert!(direct.contains("wgpu") && direct.contains("clap") && direct.contains("criterion"));
    for name in &direct {
        assert!(
            reasons.get(name).is_some_and(|reason| !reason.is_empty()),
            "ARCHITECTURE.md gives no reason for {name}"
        );
    }
    for name in reasons.keys() {
        assert!(direct.contains(name), "ARCHITECTURE.md gives a reason for {name}, which nothing depends on");
    }
}
