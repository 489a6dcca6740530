//! Holds the library's public items against the listing of them that is committed.
//!
//! `plimsoll-public-api RUSTDOC.json LISTING.txt [--accept]`

use std::collections::HashSet;
use std::process::ExitCode;
use std::{env, fs};

use public_api::Builder;

const REMEDY: &str = "if that is meant, `make api ACCEPT=1` writes the listing anew; CHANGELOG.md should say it too";

fn main() -> ExitCode {
    match run() {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(said) => {
            eprintln!("error: {said}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (json, listing, accept) = match &arguments[..] {
        [json, listing] => (json, listing, false),
        [json, listing, flag] if flag == "--accept" => (json, listing, true),
        _ => return Err("wanted RUSTDOC.json LISTING.txt [--accept]".into()),
    };
    // What the compiler derives for every type is left out: it would be most of the listing.
    let builder = Builder::from_rustdoc_json(json).sorted(true);
    let builder = builder.omit_blanket_impls(true).omit_auto_trait_impls(true).omit_auto_derived_impls(true);
    let api = builder.build().map_err(|error| format!("{json}: {error}; this guard is for the JSON of Rust 1.95"))?;
    // What is exported under two names has two lines of its own, and its methods are there twice under the one.
    let mut seen = HashSet::new();
    let lines = api.items().map(|item| format!("{item}\n")).filter(|line| seen.insert(line.clone()));
    let found = lines.collect::<String>();
    if accept {
        fs::write(listing, &found).map_err(|error| format!("{listing}: {error}"))?;
        return Ok(format!("{} public items written to {listing}", found.lines().count()));
    }
    let known = fs::read_to_string(listing).map_err(|error| format!("{listing}: {error}"))?;
    let changes = changes(&known, &found);
    if changes.is_empty() {
        return Ok(format!("{} public items, as {listing} has them", found.lines().count()));
    }
    Err(format!("the public API is not what {listing} says:\n{changes}{REMEDY}"))
}

/// Lines that only one of two texts has: those that are gone, then those that are new.
fn changes(known: &str, found: &str) -> String {
    let only = |sign: char, of: &str, other: &str| {
        let other: HashSet<&str> = other.lines().collect();
        let lines = of.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("  {sign} {line}\n")).collect::<String>()
    };
    only('-', known, found) + &only('+', found, known)
}
