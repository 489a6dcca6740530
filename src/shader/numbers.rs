//! Declares a tensor of floats that a kernel binds, in whatever way they are stored.
//!
//! A kernel says what it binds once, and reads and writes numbers without knowing how they lie:
//!
//! ```text
//! //: numbers 0 x H V reads (len)
//! //: numbers 1 y H V writes (len)
//! ...
//! put_y(i, tangents(get_x(i)));
//! ```
//!
//! The words are the binding, the name, the storage, how many elements one access takes (1 or 4), and
//! whether it `reads`, `writes` or `updates`; the rest is a comment. Storage and width are constants of
//! the template or expressions of them. `get_x(i)` and `put_x(i, ..)` take the index of the first element.
//!
//! | storage | means | one element | four |
//! |---|---|---|---|
//! | 0 | `f32` | `f32` | `vec4<f32>` |
//! | 1 | two halves to a word | half of a `u32` | `vec2<u32>` |
//! | 2 | halves, where the device has them | `f16` | `vec2<u32>` |
//! | 3 | words that are moved and not looked at | `u32` | |
//! | 4 | `f32` in a texture | | a texel |
//! | 5 | halves in a texture | | half a texel |
//!
//! What is in a texture lies there as [`texture`](crate::shader::texture) says, from its first texel on, and is only read.
//! A kernel that `updates` such a tensor writes it to a buffer and reads what it was from the texture: the buffer is the
//! binding that is named, the texture the next.
//!
//! Threads that each write one half of a word must not lose the other's. With storage 1 and one element
//! an access, whatever is written is therefore atomic: the half's bits are cleared and then set, so that
//! the result does not depend on who comes first.

use std::fmt::Write;

/// What the plan's texture is to a kernel. A storage texture has one level, so that a driver finds a texel by less than one
/// of a texture that is sampled, of which each thread may want another level.
const TEXTURE: &str = "texture_storage_2d<rgba32uint, read>";

/// One declaration.
pub(super) struct Numbers<'a> {
    pub binding: u32,
    pub name: &'a str,
    pub storage: u32,
    pub width: u32,
    pub writes: bool,
    pub comment: &'a str,
}

impl<'a> Numbers<'a> {
    /// Reads what follows `numbers` in a directive; `evaluate` works out an expression.
    pub(super) fn parse(text: &'a str, evaluate: impl Fn(&str) -> Option<u32>) -> Option<Self> {
        let mut rest = text.trim();
        let mut word = || {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = after.trim_start();
            word
        };
        let [binding, name, storage, width, access] = [word(), word(), word(), word(), word()];
        let (writes, updates) = match access {
            "reads" => (false, false),
            "writes" => (true, false),
            "updates" => (true, true),
            _ => return None,
        };
        let (binding, storage, width) = (evaluate(binding)?, evaluate(storage)?, evaluate(width)?);
        let in_texture = (storage == 4 && writes == updates || storage == 5 && !writes) && width == 4;
        let known = (storage <= 2 && width == 4 || storage <= 3 && width == 1 || in_texture) && !name.is_empty();
        known.then_some(Self { binding, name, storage, width, writes, comment: rest })
    }

    /// The declaration and its functions, in WGSL.
    pub(super) fn declare(&self, out: &mut String) {
        let Self { binding, name, comment, .. } = self;
        let (element, get, put) = self.forms();
        let number = match (self.storage, self.width) {
            (3, _) => "u32",
            (_, 4) => "vec4<f32>",
            _ => "f32",
        };
        let mut line = |text: String| writeln!(out, "{text}").expect("a string takes whatever is written");
        let comment = if comment.is_empty() { String::new() } else { format!(" // {comment}") };
        let is_textured = matches!(self.storage, 4 | 5);
        // Behind what is written to a buffer stands the texture that it is read from.
        let (from, at) = if is_textured && self.writes {
            (format!("{name}_was"), binding + 1)
        } else {
            (name.to_string(), *binding)
        };
        if is_textured {
            line(format!("@group(0) @binding({at}) var {from}: {element};{comment}"));
        }
        if !is_textured || self.writes {
            let element = if is_textured { number } else { element };
            line(format!("@group(0) @binding({binding}) var<storage, read_write> {name}: array<{element}>;{comment}"));
        }
        line(format!("fn get_{name}(i: u32) -> {number} {{ {} }}", get.replace('$', &from)));
        if self.writes {
            line(format!("fn put_{name}(i: u32, to: {number}) {{ {} }}", put.replace('$', name)));
        }
    }

    /// The element of the array, and how one access reads and writes; `$` stands for the name.
    fn forms(&self) -> (&'static str, &'static str, &'static str) {
        let shared = self.writes;
        match (self.storage, self.width) {
            (0, 4) => ("vec4<f32>", "return $[i / 4u];", "$[i / 4u] = to;"),
            (0, _) => ("f32", "return $[i];", "$[i] = to;"),
            (3, _) => ("u32", "return $[i];", "$[i] = to;"),
            (4, _) => (
                TEXTURE,
                "let t = i / 4u; return bitcast<vec4<f32>>(textureLoad($, vec2<u32>(t % 4096u, t / 4096u)));",
                "$[i / 4u] = to;",
            ),
            (5, _) => (
                TEXTURE,
                "let t = i / 8u; let all = textureLoad($, vec2<u32>(t % 4096u, t / 4096u)); \
                 let w = select(all.xy, all.zw, i % 8u >= 4u); \
                 return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));",
                "",
            ),
            (_, 4) => (
                "vec2<u32>",
                "let w = $[i / 4u]; return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));",
                "$[i / 4u] = vec2<u32>(halves(to.xy), halves(to.zw));",
            ),
            (2, _) => ("f16", "return f32($[i]);", "$[i] = f16(to);"),
            _ if shared => (
                "atomic<u32>",
                "return unpack2x16float(atomicLoad(&$[i / 2u]) >> (i % 2u * 16u)).x;",
                "let s = i % 2u * 16u; atomicAnd(&$[i / 2u], ~(0xffffu << s)); \
                 atomicOr(&$[i / 2u], halves(vec2<f32>(to, 0.0)) << s);",
            ),
            _ => ("u32", "return unpack2x16float($[i / 2u] >> (i % 2u * 16u)).x;", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(storage: u32, width: u32, access: &str) -> String {
        let text = format!("3 x {storage} {width} {access} (rows, cols)");
        let mut out = String::new();
        Numbers::parse(&text, |word| word.parse().ok()).unwrap().declare(&mut out);
        out
    }

    #[test]
    fn every_way_to_store_numbers_is_valid_to_read_and_to_write() {
        for (storage, width) in [(0, 1), (0, 4), (1, 1), (1, 4), (2, 1), (2, 4), (3, 1), (4, 4), (5, 4)] {
            let accesses = match storage {
                4 => &["reads", "updates"][..],
                5 => &["reads"],
                _ => &["reads", "writes", "updates"],
            };
            for access in accesses {
                let text = declared(storage, width, access);
                let put = if *access == "reads" { "" } else { "put_x(4u, get_x(0u));" };
                let enable = if storage == 2 { "enable f16;\n" } else { "" };
                let shared = include_str!("../../shaders/prelude/functions.wgsl");
                let all =
                    format!("{enable}{shared}{text}@compute @workgroup_size(1) fn f() {{ _ = get_x(0u); {put} }}");
                let module =
                    naga::front::wgsl::parse_str(&all).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&all)));
                naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{}", e.emit_to_string(&all)));
                assert!(text.contains("@binding(3)") && text.contains("// (rows, cols)"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_in_a_texture_is_read_by_fours_and_lies_as_the_texture_does() {
        for storage in [4, 5] {
            let text = declared(storage, 4, "reads");
            assert!(text.contains(&format!("% {}u", crate::shader::texture::TEXELS)), "{text}");
            assert!(text.contains(TEXTURE) && !text.contains("var<storage"), "{text}");
        }
    }

    #[test]
    fn what_is_changed_in_place_is_read_from_the_texture_beside_it() {
        let text = declared(4, 4, "updates");
        let parts = ["@binding(3) var<storage, read_write> x:", "@binding(4) var x_was: texture_storage_2d<"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(text.contains("fn get_x(") && text.contains("fn put_x("), "{text}");
    }

    #[test]
    fn halves_that_threads_share_a_word_of_are_written_atomically() {
        assert!(declared(1, 1, "writes").contains("atomicOr"));
        assert!(!declared(1, 1, "reads").contains("atomic"));
        assert!(!declared(1, 4, "writes").contains("atomic"), "four elements are whole words");
    }

    #[test]
    fn numbers_become_the_halves_of_a_word_by_the_one_function_that_leaves_nothing_open() {
        for width in [1, 4] {
            let text = declared(1, width, "writes");
            let written = text.replace("unpack2x16float", "");
            assert!(written.contains("halves(") && !written.contains("pack2x16float"), "{text}");
        }
    }

    #[test]
    fn what_is_no_declaration_is_refused() {
        let textures = ["0 x 4 1 reads", "0 x 4 4 writes", "0 x 5 1 reads", "0 x 5 4 updates", "0 x 6 4 reads"];
        let others = ["", "0 x 0 1", "0 x 0 1 tells", "0 x 3 4 reads", "0 x 0 2 reads", "b x 0 1 reads"];
        for bad in textures.into_iter().chain(others) {
            assert!(Numbers::parse(bad, |word| word.parse().ok()).is_none(), "{bad}");
        }
    }
}
