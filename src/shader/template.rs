//! Writes out a kernel's repeated lines: `//: for i in 0..TM` ... `//: end`, with `{expr}` put in.
//!
//! Register tiles need names for every register, and a subgroup's lane must be a constant
//! expression, so those kernels cannot be written as loops. Their files say the line once:
//!
//! ```text
//! //: for i in 0..TM
//! var c{i} = vec4<f32>(0.0);
//! //: end
//! ```
//!
//! What holds for one choice of constants only stands between `//: if A == B` and `//: end`, and
//! what holds for all others after its `//: else`.
//!
//! What several kernels say alike is a file of `shaders/prelude`. `//: include NAME` puts it in,
//! written out for the same constants and loop variables.
//!
//! `//: numbers ..` declares a tensor of floats; see `numbers.rs`.
//!
//! An expression is whole-number arithmetic (`+ - * / %`, left to right by precedence, brackets)
//! over loop variables and the shader's constants. A `{` that opens no such expression stands
//! for itself, so WGSL's own braces need no escape.

use std::collections::HashMap;

use super::numbers::Numbers;

type Scope = HashMap<String, u32>;

/// Why a template cannot be written out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shaders/{file}.wgsl:{line}: {reason}")]
pub(super) struct TemplateError {
    /// Path in `shaders`, without its ending.
    file: String,
    line: usize,
    reason: String,
}

/// A part of a kernel that others share: its name in `shaders/prelude`, and its text.
pub(super) type Prelude<'a> = (&'a str, &'a str);

/// The text of `shaders/{file}.wgsl` with what it includes of `preludes` put in, every loop unrolled
/// and every expression worked out.
pub(super) fn expand(
    file: &str,
    source: &str,
    constants: &[(&'static str, u32)],
    preludes: &[Prelude],
) -> Result<String, TemplateError> {
    let scope = constants.iter().map(|(n, v)| (n.to_string(), *v)).collect();
    let mut writer = Writer { preludes, scope, open: Vec::new(), text: String::with_capacity(source.len()) };
    writer.file(file.to_string(), source)?;
    Ok(writer.text)
}

/// A text in the making.
struct Writer<'a> {
    preludes: &'a [Prelude<'a>],
    scope: Scope,
    /// The files begun and not ended: each includes the next.
    open: Vec<String>,
    text: String,
}

impl Writer<'_> {
    fn file(&mut self, file: String, source: &str) -> Result<(), TemplateError> {
        let lines: Vec<&str> = source.lines().collect();
        self.open.push(file);
        self.lines(&lines, 0, lines.len())?;
        self.open.pop();
        Ok(())
    }

    fn lines(&mut self, lines: &[&str], from: usize, to: usize) -> Result<(), TemplateError> {
        let mut at = from;
        while at < to {
            at = match directive(lines[at]) {
                None => {
                    self.text.push_str(&substitute(lines[at], &self.scope));
                    self.text.push('\n');
                    at + 1
                }
                Some(directive) => match (included(directive), declared(directive)) {
                    (Some(name), _) => self.include(name, at)?,
                    (None, Some(text)) => self.declare(text, at)?,
                    (None, None) => self.block(directive, lines, at, to)?,
                },
            };
        }
        Ok(())
    }

    /// Puts in the prelude that line `at` names; returns the line after it.
    fn include(&mut self, name: &str, at: usize) -> Result<usize, TemplateError> {
        let Some((_, source)) = self.preludes.iter().find(|(n, _)| *n == name) else {
            let known: Vec<_> = self.preludes.iter().map(|(n, _)| *n).collect();
            return Err(self.error(at, format!("there is no `{name}` to include, but {}", known.join(", "))));
        };
        let file = format!("prelude/{name}");
        if self.open.contains(&file) {
            return Err(self.error(at, format!("`{name}` includes itself, through {}", self.open.join(" > "))));
        }
        self.file(file, source)?;
        Ok(at + 1)
    }

    /// Declares the tensor that line `at` describes; returns the line after it.
    fn declare(&mut self, text: &str, at: usize) -> Result<usize, TemplateError> {
        let numbers = Numbers::parse(text, |expression| evaluate(expression, &self.scope));
        let numbers = numbers.ok_or_else(|| {
            let reason = format!("`numbers {text}` is no `numbers BINDING NAME STORAGE WIDTH reads|writes|updates`");
            self.error(at, reason)
        })?;
        numbers.declare(&mut self.text);
        Ok(at + 1)
    }

    /// Writes the block that `directive` opens at line `start`; returns the line after its end.
    fn block(&mut self, directive: &str, lines: &[&str], start: usize, to: usize) -> Result<usize, TemplateError> {
        let end = matching_end(lines, start, to);
        let end = end.ok_or_else(|| self.error(start, format!("`{directive}` has no `//: end`")))?;
        if let Some((name, low, high)) = header(directive, &self.scope) {
            // A loop may use the name of one around it, in a file that knows nothing of that one.
            let around = self.scope.clone();
            for i in low..high {
                self.scope.insert(name.to_string(), i);
                self.lines(lines, start + 1, end)?;
            }
            self.scope = around;
        } else if let Some(holds) = condition(directive, &self.scope) {
            let middle = matching_else(lines, start, end).unwrap_or(end);
            let (from, to) = if holds { (start + 1, middle) } else { (middle + 1, end) };
            self.lines(lines, from, to)?;
        } else {
            let reason = format!("`{directive}` is no `for NAME in LOW..HIGH`, no `if A == B` and no `include NAME`");
            return Err(self.error(start, reason));
        }
        Ok(end + 1)
    }

    fn error(&self, at: usize, reason: String) -> TemplateError {
        TemplateError { file: self.open.last().expect("a line is of a file").clone(), line: at + 1, reason }
    }
}

fn directive(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("//:").map(str::trim)
}

/// What an `include` names, be it nothing.
fn included(directive: &str) -> Option<&str> {
    let (word, name) = directive.split_once(' ').unwrap_or((directive, ""));
    (word == "include").then(|| name.trim())
}

/// What a `numbers` declares.
fn declared(directive: &str) -> Option<&str> {
    directive.strip_prefix("numbers ").map(str::trim)
}

fn header<'a>(directive: &'a str, scope: &Scope) -> Option<(&'a str, u32, u32)> {
    let (name, range) = directive.strip_prefix("for ")?.split_once(" in ")?;
    let (low, high) = range.split_once("..")?;
    Some((name.trim(), evaluate(low, scope)?, evaluate(high, scope)?))
}

fn condition(directive: &str, scope: &Scope) -> Option<bool> {
    let (left, right) = directive.strip_prefix("if ")?.split_once("==")?;
    Some(evaluate(left, scope)? == evaluate(right, scope)?)
}

fn matching_end(lines: &[&str], start: usize, to: usize) -> Option<usize> {
    (start + 1..to).find(|&at| opened(&lines[start..=at]) == 0)
}

fn matching_else(lines: &[&str], start: usize, end: usize) -> Option<usize> {
    // An `else` is this block's own where no block opened since `start` is still open.
    (start + 1..end).find(|&at| directive(lines[at]) == Some("else") && opened(&lines[start + 1..at]) == 0)
}

/// Blocks that these lines open and leave open.
fn opened(lines: &[&str]) -> i32 {
    let steps = lines.iter().map(|line| match directive(line) {
        Some("end") => -1,
        Some("else") | None => 0,
        Some(directive) => i32::from(included(directive).is_none() && declared(directive).is_none()),
    });
    steps.sum()
}

fn substitute(line: &str, scope: &Scope) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        let value = inside.find('}').and_then(|close| Some((close, evaluate(&inside[..close], scope)?)));
        match value {
            Some((close, value)) => {
                out.push_str(&value.to_string());
                rest = &inside[close + 1..];
            }
            None => {
                out.push('{');
                rest = inside;
            }
        }
    }
    out.push_str(rest);
    out
}

fn evaluate(text: &str, scope: &Scope) -> Option<u32> {
    let mut parser = Parser { rest: text.trim(), scope };
    let value = parser.sum()?;
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    scope: &'a Scope,
}

impl Parser<'_> {
    fn sum(&mut self) -> Option<u32> {
        let mut value = self.product()?;
        loop {
            value = match self.take(&['+', '-']) {
                Some('+') => value.checked_add(self.product()?)?,
                Some(_) => value.checked_sub(self.product()?)?,
                None => return Some(value),
            };
        }
    }

    fn product(&mut self) -> Option<u32> {
        let mut value = self.atom()?;
        loop {
            value = match self.take(&['*', '/', '%']) {
                Some('*') => value.checked_mul(self.atom()?)?,
                Some('/') => value.checked_div(self.atom()?)?,
                Some(_) => value.checked_rem(self.atom()?)?,
                None => return Some(value),
            };
        }
    }

    fn atom(&mut self) -> Option<u32> {
        if self.take(&['(']).is_some() {
            let value = self.sum()?;
            return self.take(&[')']).map(|_| value);
        }
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let (token, rest) = self.rest.split_at(self.rest.find(word).unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        token.parse().ok().or_else(|| self.scope.get(token).copied())
    }

    fn take(&mut self, of: &[char]) -> Option<char> {
        let first = self.rest.chars().next().filter(|c| of.contains(c))?;
        self.rest = self.rest[1..].trim_start();
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file of this text becomes that has these preludes to include.
    fn expand(source: &str, constants: &[(&'static str, u32)]) -> Result<String, TemplateError> {
        let preludes = [
            ("one", "one {i + N}\n//: if N == 2\n//: include two\n//: end"),
            ("two", "//: for i in 7..9\ntwo {i}\n//: end\n"),
            ("open", "fine\n//: for i in 0..2\n"),
            ("circle", "//: include around"),
            ("around", "a\nb\n//: include circle"),
        ];
        super::expand("kernel", source, constants, &preludes)
    }

    /// File and line of what is wrong with a text.
    fn mistake(source: &str) -> (String, usize) {
        let error = expand(source, &[]).unwrap_err();
        (error.file, error.line)
    }

    #[test]
    fn loops_nest_and_expressions_are_worked_out() {
        let text = "a\n//: for i in 0..N\n//: for j in i..2\nx{i}_{j * 4 + (i+1)%2}u;\n//: end\n//: end\nb { c }\n";
        let out = expand(text, &[("N", 2)]).unwrap();
        assert_eq!(out, "a\nx0_1u;\nx0_5u;\nx1_4u;\nb { c }\n");
    }

    #[test]
    fn braces_of_the_language_stay() {
        let text = "fn f() { return { x }; }";
        assert_eq!(expand(text, &[]).unwrap(), format!("{text}\n"));
    }

    #[test]
    fn only_the_branch_that_holds_is_written() {
        let text = "//: if V == 4\nfour\n//: if W == 1\none\n//: else\nother\n//: end\n//: else\nfew\n//: end\nlast";
        assert_eq!(expand(text, &[("V", 4), ("W", 1)]).unwrap(), "four\none\nlast\n");
        assert_eq!(expand(text, &[("V", 4), ("W", 2)]).unwrap(), "four\nother\nlast\n");
        assert_eq!(expand(text, &[("V", 1), ("W", 1)]).unwrap(), "few\nlast\n");
        let alone = "//: for i in 0..3\n//: if i % 2 == 0\n{i}\n//: end\n//: end";
        assert_eq!(expand(alone, &[]).unwrap(), "0\n2\n");
    }

    #[test]
    fn what_is_included_is_written_out_for_the_same_constants_and_loops() {
        let text = "//: for i in 0..2\n//: include one\n{i}\n//: end\nlast {i}";
        assert_eq!(expand(text, &[("N", 1)]).unwrap(), "one 1\n0\none 2\n1\nlast {i}\n");
        let nested = "one 2\ntwo 7\ntwo 8\n0\none 3\ntwo 7\ntwo 8\n1\nlast {i}\n";
        assert_eq!(expand(text, &[("N", 2)]).unwrap(), nested, "a loop within leaves this one's `i` alone");
    }

    #[test]
    fn a_declaration_is_no_block_and_knows_the_constants() {
        let text = "//: for i in 0..2\n//: numbers i x{i} N 1 reads (len)\n//: end\n";
        let out = expand(&text.replace("x{i}", "x"), &[("N", 0)]).unwrap();
        assert!(out.starts_with("@group(0) @binding(0) var<storage, read_write> x: array<f32>; // (len)\n"), "{out}");
        assert!(out.contains("@binding(1)"), "{out}");
        assert_eq!(mistake("a\n//: numbers 0 x N 1 reads"), ("kernel".into(), 2), "N is no number there");
    }

    #[test]
    fn an_include_needs_no_end_and_only_the_branch_that_holds_includes() {
        let text = "//: if N == 1\n//: include two\n//: else\n//: include unknown\n//: end\n";
        assert_eq!(expand(text, &[("N", 1)]).unwrap(), "two 7\ntwo 8\n");
    }

    #[test]
    fn a_loop_without_end_or_sense_names_its_line() {
        assert_eq!(mistake("a\n//: for i in 0..2\nb"), ("kernel".into(), 2));
        assert_eq!(mistake("//: for i in 0..M\n//: end"), ("kernel".into(), 1));
        assert_eq!(mistake("//: while\n//: end"), ("kernel".into(), 1));
        assert_eq!(mistake("a\nb\n//: if V == 4\n//: end"), ("kernel".into(), 3));
        assert_eq!(mistake("a\n//: end\n"), ("kernel".into(), 2));
    }

    #[test]
    fn an_include_of_nothing_that_is_there_names_its_line() {
        for bad in ["//: include", "//: include unknown", "//: include one two", "//: include prelude/one"] {
            assert_eq!(mistake(&format!("a\n//: include two\n{bad}\n")), ("kernel".into(), 3), "{bad}");
        }
        let error = expand("//: include unknown", &[]).unwrap_err().to_string();
        assert!(error.starts_with("shaders/kernel.wgsl:1: there is no `unknown` to include, but one, two"), "{error}");
    }

    #[test]
    fn a_mistake_in_what_is_included_names_the_file_it_is_in() {
        assert_eq!(mistake("a\nb\n//: include open\n//: end"), ("prelude/open".into(), 2));
        assert_eq!(mistake("//: include one"), ("prelude/one".into(), 2), "N is no number there");
        assert_eq!(mistake("//: include circle"), ("prelude/around".into(), 3));
        assert_eq!(mistake("//: include two\n//: while"), ("kernel".into(), 2));
    }
}
