//! The header of a `.npy` file: a Python dictionary of three known keys, and nothing else.

use std::io::{self, Read};

const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// Bytes of a header that are read; NumPy's own have some hundred.
const MOST_BYTES: u32 = 1 << 16;

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DType {
    F4,
    F8,
    I4,
    I8,
    U1,
    Bool,
}

impl DType {
    pub(super) fn of(descr: &str) -> Option<DType> {
        match descr {
            "<f4" => Some(DType::F4),
            "<f8" => Some(DType::F8),
            "<i4" => Some(DType::I4),
            "<i8" => Some(DType::I8),
            "|u1" => Some(DType::U1),
            "|b1" => Some(DType::Bool),
            _ => None,
        }
    }

    /// Bytes of one element.
    pub(super) fn bytes(self) -> u64 {
        match self {
            DType::F8 | DType::I8 => 8,
            DType::F4 | DType::I4 => 4,
            DType::U1 | DType::Bool => 1,
        }
    }
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// The header's text; inside, what was found instead of one.
pub(super) fn text(file: &mut impl Read) -> io::Result<Result<String, String>> {
    let start = up_to(file, 8)?;
    let Some((&MAGIC, &[major, _])) = start.split_first_chunk() else {
        return Ok(Err("other bytes than \\x93NUMPY and a version".into()));
    };
    let length = match major {
        1 => up_to(file, 2)?,
        2 | 3 => up_to(file, 4)?,
        version => return Ok(Err(format!("version {version} of the format, and 1 to 3 are known"))),
    };
    let len = match *length.as_slice() {
        [a, b] if major == 1 => u32::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => return Ok(Err("a file cut short in its header".into())),
    };
    if len > MOST_BYTES {
        return Ok(Err(format!("a header of {len} bytes, and at most {MOST_BYTES} are read")));
    }
    let header = up_to(file, len)?;
    if header.len() < len as usize {
        return Ok(Err("a file cut short in its header".into()));
    }
    Ok(String::from_utf8(header).map_err(|_| "a header that is no text".into()))
}

/// The next `len` bytes, or all that there are.
fn up_to(file: &mut impl Read, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(len.into()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Header {
    /// The header that `text` is; else what was found.
    pub(super) fn parse(text: &str) -> Result<Header, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = Rest(text.trim_end_matches(['\n', ' ']));
        rest.take("{")?;
        while !rest.have("}") {
            let key = rest.string()?;
            rest.take(":")?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(rest.string()?).is_some(),
                "fortran_order" => fortran_order.replace(rest.truth()?).is_some(),
                "shape" => shape.replace(rest.tuple()?).is_some(),
                _ => return Err(format!("the key {key:?} in the header")),
            };
            if repeated {
                return Err(format!("the key {key:?} twice in the header"));
            }
            if !rest.have(",") {
                rest.take("}")?;
                break;
            }
        }
        rest.end()?;
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
            _ => Err("a header that lacks descr, fortran_order or shape".into()),
        }
    }
}

/// What is yet to be read of a header.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn wrong<T>(&self) -> Result<T, String> {
        Err(format!("{:?} in the header", self.0.chars().take(20).collect::<String>()))
    }

    /// Steps over `mark`, if it is next.
    fn have(&mut self, mark: &str) -> bool {
        let rest = self.0.trim_start_matches(' ');
        let found = rest.strip_prefix(mark);
        self.0 = found.unwrap_or(rest);
        found.is_some()
    }

    fn take(&mut self, mark: &str) -> Result<(), String> {
        if self.have(mark) { Ok(()) } else { self.wrong() }
    }

    fn end(&self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { self.wrong() }
    }

    fn string(&mut self) -> Result<String, String> {
        for quote in ["'", "\""] {
            if self.have(quote) {
                let Some((text, rest)) = self.0.split_once(quote) else { return self.wrong() };
                self.0 = rest;
                return Ok(text.into());
            }
        }
        // Such as a list of fields, where elements are records.
        self.wrong()
    }

    fn truth(&mut self) -> Result<bool, String> {
        match () {
            () if self.have("True") => Ok(true),
            () if self.have("False") => Ok(false),
            () => self.wrong(),
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut sizes = Vec::new();
        self.take("(")?;
        while !self.have(")") {
            let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = self.0.split_at(digits);
            let Ok(size) = number.parse() else { return self.wrong() };
            self.0 = rest;
            sizes.push(size);
            if !self.have(",") {
                self.take(")")?;
                break;
            }
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        for (shape, sizes) in [("()", vec![]), ("(3,)", vec![3]), ("(3, 4)", vec![3, 4])] {
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}      \n");
            let header = Header { descr: "<f4".into(), fortran_order: false, shape: sizes };
            assert_eq!(Header::parse(&text).unwrap(), header);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3), 'more': 1}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x",
            "{'descr': '<f4",
        ] {
            assert!(Header::parse(text).is_err(), "{text}");
        }
    }
}
