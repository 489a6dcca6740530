//! Tables as this program draws them: titles, a line, rows, no borders.

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};
use plimsoll::bytes::Bytes;

const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none())
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none());

/// Draws a table. A title that begins with `>` has its column aligned to the right; if all titles
/// are empty, none is drawn.
pub(crate) fn draw(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
    let words: Vec<&str> = titles.iter().map(|title| title.trim_start_matches('>')).collect();
    if words.iter().any(|word| !word.is_empty()) {
        table.set_header(words);
    }
    table.add_rows(rows);
    for (at, (title, column)) in titles.iter().zip(table.column_iter_mut()).enumerate() {
        column.set_padding((if at == 0 { 0 } else { 2 }, 0));
        if title.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Text under a title, with a line between them as wide as the text.
pub(crate) fn titled(title: &str, text: &str) -> String {
    let width = text.lines().chain([title]).map(|line| line.chars().count()).max().unwrap_or(0);
    format!("{title}\n{}\n{text}", "─".repeat(width))
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(n: u64) -> String {
    Bytes(n).exact().trim_end_matches(" B").to_string()
}
