//! `plimsoll report`: a run as one page, which needs nothing but itself.

pub(crate) mod axis;
mod chart;
mod date;
mod folder;
pub(crate) mod html;
mod kernels;
mod measure;
mod memory;
mod page;
pub(crate) mod planned;
mod series;
mod timeline;

use std::path::Path;

use plimsoll::error::Error;
use plimsoll::storage::write_atomically;

use crate::args::ReportArgs;
use crate::output::{Failure, say};
use folder::Found;
use measure::Measurements;

pub(crate) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let found = Found::read(&args.folder)?;
    let measured = Measurements::of(&found, !args.no_measure);
    let file = args.out.clone().unwrap_or_else(|| args.folder.join("report.html"));
    write_page(&file, &page::page(&found, &measured))?;
    say(&format!("The report is in {}; any browser shows it.", file.display()))
}

/// Writes a page to a file that is called one.
pub(crate) fn write_page(file: &Path, page: &str) -> Result<(), Failure> {
    let is_page =
        file.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("html") || kind.eq_ignore_ascii_case("htm"));
    if !is_page || file.symlink_metadata().is_ok_and(|about| !about.is_file()) {
        let file = file.display();
        return Err(Error::Input(format!("{file} is no place for a page: name a file that ends with .html")).into());
    }
    write_atomically(file, page.as_bytes()).map_err(|error| Error::from(error).into())
}
