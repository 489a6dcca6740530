//! Text as HTML: nothing that was read from a file is ever taken for markup.

/// Text as it stands between tags, or in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No page may have these; a text that a model writes may.
            '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Values as JSON that no `</script>` in them can end.
pub(super) fn script_json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// A page of its own: `body` is markup, and `title` and `footer` are text.
pub(super) fn document(title: &str, style: &str, script: &str, body: &str, footer: &str) -> String {
    let (title, footer, version) = (escape(title), escape(footer), env!("CARGO_PKG_VERSION"));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"generator\" content=\"plimsoll {version}\">\n\
         <title>{title} - Plimsoll</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{style}</style></head>\n\
         <body><main>\n{body}</main>\n<footer>{footer}</footer>\n<script>\n{script}</script>\n</body></html>\n"
    )
}

/// The numbers that are looked for first: a name, the number, and what more there is to say of it.
pub(super) fn tiles(tiles: impl IntoIterator<Item = (&'static str, String, String)>) -> String {
    let tile = |(name, is, more): (&str, String, String)| {
        let (is, more) = (escape(&is), escape(&more));
        format!("<div><span>{}</span><b>{is}</b><small>{more}</small></div>\n", escape(name))
    };
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.into_iter().map(tile).collect::<String>())
}

/// Sentences that should not be overlooked; nothing where there are none.
pub(super) fn warned<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let items: String = texts.into_iter().map(|text| format!("<li>{}</li>", escape(text))).collect();
    if items.is_empty() {
        return items;
    }
    format!("<section id=\"warnings\" class=\"warn\"><h2>To be known</h2><ul>{items}</ul></section>\n")
}

/// A cell of a table.
pub(super) enum Cell {
    Text(String),
    /// What may be broken into lines.
    Words(String),
    /// Aligned to the right.
    Number(String),
    /// A share of the whole, drawn and told.
    Bar(f64, String),
    /// A role by its place among all, with its colour.
    Role(usize, &'static str),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(text: impl Into<String>) -> Self {
        Self::Number(text.into())
    }

    fn html(&self) -> String {
        match self {
            Self::Text(text) => format!("<td>{}</td>", escape(text)),
            Self::Words(text) => format!("<td class=\"words\">{}</td>", escape(text)),
            Self::Number(text) => format!("<td class=\"n\">{}</td>", escape(text)),
            Self::Role(at, name) => format!("<td><i class=\"swatch r{at}\"></i>{}</td>", escape(name)),
            Self::Bar(share, text) => {
                let percent = (100.0 * share).clamp(0.0, 100.0);
                let text = escape(text);
                format!("<td class=\"bar\"><i style=\"width:{percent:.1}%\"></i><span>{text}</span></td>")
            }
        }
    }
}

/// A table that scrolls by itself where it is wider than the page. A title that begins with `>` is
/// aligned to the right.
pub(super) fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let title = |title: &&str| match title.strip_prefix('>') {
        Some(title) => format!("<th scope=\"col\" class=\"n\">{}</th>", escape(title)),
        None => format!("<th scope=\"col\">{}</th>", escape(title)),
    };
    let head: String = titles.iter().map(title).collect();
    let row = |cells: Vec<Cell>| format!("<tr>{}</tr>\n", cells.iter().map(Cell::html).collect::<String>());
    let body: String = rows.into_iter().map(row).collect();
    format!("<div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n")
}

/// A part of the page, under its heading.
pub(super) fn section(id: &str, title: &str, content: &str) -> String {
    format!("<section id=\"{id}\"><h2>{}</h2>\n{content}</section>\n", escape(title))
}

/// A sentence.
pub(super) fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

/// What can be opened to see more.
pub(super) fn details(title: &str, content: &str) -> String {
    format!("<details><summary>{}</summary>{content}</details>\n", escape(title))
}

/// Names and what they stand for.
pub(super) fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let row = |(name, is): (&str, String)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(&is));
    format!("<dl>\n{}</dl>\n", rows.into_iter().map(row).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_escaped_can_be_markup() {
        let text = "<script>alert('a' & \"b\")</script>\u{7}";
        assert_eq!(escape(text), "&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;\u{fffd}");
        let json = script_json(&serde_json::json!({ "</script>": "<!--\u{2028}" }));
        assert!(!json.contains('<') && !json.contains('\u{2028}'), "{json}");
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(back["</script>"], "<!--\u{2028}");
        for cell in [Cell::text("<b>"), Cell::number("<b>"), Cell::Words("<b>".into()), Cell::Bar(2.0, "<b>".into())] {
            assert!(!table(&["<b>", "><b>"], [vec![cell]]).contains("<b>"));
        }
        assert!(!(section("a", "<b>", "") + &note("<b>") + &pairs([("<b>", "<b>".into())])).contains("<b>"));
    }
}
