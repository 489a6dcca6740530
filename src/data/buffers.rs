//! Buffers to be packed, as minimalloc's CSV files have them.
//!
//! The header says what is in which column: `id` (or `buffer`, `buffer_id`), `lower` (or `begin`, `start`), `upper`
//! (or `end`), `size`, and perhaps `alignment` and `offset`. A buffer is alive from `lower` up to but not at `upper`;
//! a column named `end` is its last moment instead. Other columns are kept and not looked at.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::Path;

use ::csv::{Position, ReaderBuilder, StringRecord, Trim, Writer};

use super::csv::refused;
use super::error::{DataError, open};
use crate::plan::place::{Clash, Interval, Placement};

/// The names of each column that must be there.
const REQUIRED: [&[&str]; 4] =
    [&["id", "buffer", "buffer_id"], &["lower", "begin", "start"], &["upper", "end"], &["size"]];

/// The end of a life is its last moment if the column has this name.
const INCLUSIVE: &str = "end";

const OFFSET: &str = "offset";

/// The buffers of a file, in its order.
#[derive(Clone, Debug)]
pub struct Buffers {
    /// The file's path.
    pub name: String,
    /// What the file calls each.
    pub ids: Vec<String>,
    /// When each is alive, in ranks of the times that the file has, and how large it is.
    pub intervals: Vec<Interval>,
    /// What the offset of each is to be a multiple of.
    pub aligns: Vec<u64>,
    /// The places that the file gives them, if it does.
    pub given: Option<Vec<Placement>>,
    /// The time of each step of the intervals.
    times: Vec<u64>,
    header: StringRecord,
    records: Vec<StringRecord>,
}

/// Reads a file of buffers.
///
/// # Errors
/// [`DataError::Storage`] if the file cannot be read, else a [`DataError::Fault`] with line and column: a column that
/// is not there, a cell that is no whole number, a life that ends before it begins, sizes that cannot be added up, an id
/// that another line has.
pub fn read(path: &Path) -> Result<Buffers, DataError> {
    let (file, _) = open(path)?;
    parse(BufReader::new(file), path)
}

/// [`read`], of anything that can be read; errors call it `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(file: impl Read, path: &Path) -> Result<Buffers, DataError> {
    let name = path.display().to_string();
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| refused(path, error))?.clone();
    let columns = Columns::new(&name, &header)?;
    let mut rows = Rows::default();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| refused(path, error))? {
        let line = record.position().map_or(0, Position::line);
        rows.take(&Row { file: &name, line, header: &header, record: &record }, &columns)?;
    }
    if rows.records.is_empty() {
        let remedy = "look whether this is the right file";
        return Err(DataError::fault(&name, "", "a header and no buffers", "one buffer or more", remedy));
    }
    let times = rows.times();
    let intervals = rows.intervals(&times);
    let sizes = intervals.iter().map(|i| i.bytes);
    let placed = |offsets: Vec<u64>| offsets.into_iter().zip(sizes).map(|(offset, bytes)| Placement { offset, bytes });
    let given = columns.offset.map(|_| placed(rows.offsets).collect());
    Ok(Buffers { name, ids: rows.ids, intervals, aligns: rows.aligns, given, times, header, records: rows.records })
}

impl Buffers {
    /// What is wrong with a packing of these buffers, in the file's own names and times.
    ///
    /// # Panics
    /// If the clash is of buffers that are not here.
    #[expect(clippy::indexing_slicing, reason = "a clash is of buffers and steps that were judged")]
    pub fn describe(&self, clash: &Clash) -> String {
        let id = |buffer: usize| format!("`{}`", self.ids[buffer]);
        match *clash {
            Clash::Shared { first, second, step, byte } => {
                let time = self.times[step as usize];
                format!("{} and {} are both alive at {time} and both have byte {byte}", id(first), id(second))
            }
            Clash::Misaligned { buffer, offset, align } => {
                format!("{} is at offset {offset}, no multiple of {align}", id(buffer))
            }
            Clash::Outside { .. } | Clash::Resized { .. } => clash.to_string(),
        }
    }

    /// The file with these places in its column `offset`, which is put last if there is none.
    ///
    /// # Panics
    /// If there is not one place for each buffer.
    pub fn with_offsets(&self, placements: &[Placement]) -> Vec<u8> {
        assert_eq!(placements.len(), self.records.len(), "each buffer has a place");
        let column = self.header.iter().position(|name| name == OFFSET);
        let row = |record: &StringRecord, offset: &str| {
            let cells = record.iter().enumerate().map(|(at, cell)| if Some(at) == column { offset } else { cell });
            let cells: StringRecord = cells.chain(column.is_none().then_some(offset)).collect();
            cells
        };
        let mut writer = Writer::from_writer(Vec::new());
        let mut write = |record: StringRecord| writer.write_record(&record).expect("all rows are as wide as the first");
        write(row(&self.header, OFFSET));
        for (record, place) in self.records.iter().zip(placements) {
            write(row(record, &place.offset.to_string()));
        }
        writer.into_inner().expect("a vector takes all")
    }
}

/// Which column has what.
struct Columns {
    id: usize,
    lower: usize,
    upper: usize,
    size: usize,
    /// Whether `upper` is the last moment of a life.
    inclusive: bool,
    alignment: Option<usize>,
    offset: Option<usize>,
    gaps: Option<usize>,
}

impl Columns {
    fn new(file: &str, header: &StringRecord) -> Result<Columns, DataError> {
        let named = |names: &[&str]| {
            let mut places = (0..header.len()).filter(|&at| names.contains(&&header[at]));
            match (places.next(), places.next()) {
                (Some(first), Some(second)) => {
                    let found = format!("both `{}` and `{}`, which mean the same", &header[first], &header[second]);
                    Err(DataError::fault(file, "line 1", found, "one of them", "take one out or rename it"))
                }
                (place, _) => Ok(place),
            }
        };
        let required = REQUIRED.map(named);
        let [Ok(Some(id)), Ok(Some(lower)), Ok(Some(upper)), Ok(Some(size))] = required else {
            let places = required.into_iter().collect::<Result<Vec<_>, _>>()?;
            return Err(Columns::missing(file, header, &places));
        };
        let [alignment, offset, gaps] = [named(&["alignment"])?, named(&[OFFSET])?, named(&["gaps"])?];
        Ok(Columns { id, lower, upper, size, inclusive: &header[upper] == INCLUSIVE, alignment, offset, gaps })
    }

    /// Which of the columns that must be there are not.
    fn missing(file: &str, header: &StringRecord, places: &[Option<usize>]) -> DataError {
        let list = |names: &mut dyn Iterator<Item = &str>, joint: &str| {
            names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(joint)
        };
        let there = list(&mut header.iter(), ", ");
        let found = if header.is_empty() { "no columns".into() } else { format!("the columns {there}") };
        let missing = REQUIRED.iter().zip(places).filter(|(_, place)| place.is_none());
        let missing: Vec<String> = missing.map(|(names, _)| list(&mut names.iter().copied(), " or ")).collect();
        let remedy = "the first line must name the columns: id,lower,upper,size";
        DataError::fault(file, "line 1", found, format!("{} too", missing.join(", and ")), remedy)
    }
}

/// A line of the file.
struct Row<'a> {
    file: &'a str,
    line: u64,
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn fault(&self, at: usize, found: impl Into<String>, wanted: impl Into<String>, remedy: &str) -> DataError {
        let place = format!("line {}, column `{}`", self.line, &self.header[at]);
        DataError::fault(self.file, place, found, wanted, remedy)
    }

    fn number(&self, at: usize) -> Result<u64, DataError> {
        let text = &self.record[at];
        let found = || if text.is_empty() { "an empty cell".into() } else { format!("{text:?}") };
        let wanted = format!("a whole number from 0 to {}", u64::MAX);
        text.parse().map_err(|_| self.fault(at, found(), wanted, "correct it"))
    }
}

/// What has been read, times as the file has them.
#[derive(Default)]
struct Rows {
    ids: Vec<String>,
    lives: Vec<(u64, u64)>,
    sizes: Vec<u64>,
    aligns: Vec<u64>,
    offsets: Vec<u64>,
    records: Vec<StringRecord>,
    total: u64,
    /// The line of each id.
    lines: HashMap<String, u64>,
}

impl Rows {
    fn take(&mut self, row: &Row, columns: &Columns) -> Result<(), DataError> {
        let lower = row.number(columns.lower)?;
        let upper = row.number(columns.upper)?;
        let end = upper.saturating_add(u64::from(columns.inclusive));
        if end <= lower {
            let wanted = if columns.inclusive { format!("{lower} or more") } else { format!("more than {lower}") };
            let remedy = "a buffer is alive for a moment at least: see where it begins";
            return Err(row.fault(columns.upper, upper.to_string(), wanted, remedy));
        }
        let size = row.number(columns.size)?;
        let align = columns.alignment.map_or(Ok(1), |at| row.number(at))?;
        if align == 0 {
            let at = columns.alignment.unwrap_or_default();
            return Err(row.fault(at, "0", "1 or more", "write 1 where any offset will do"));
        }
        if let Some(at) = columns.gaps.filter(|&at| !row.record[at].is_empty()) {
            let remedy = "give each stretch of the buffer's life a line of its own, or take the gaps out";
            return Err(row.fault(at, format!("{:?}", &row.record[at]), "no gaps, which are not planned for", remedy));
        }
        let total = size.checked_add(align - 1).and_then(|bytes| self.total.checked_add(bytes));
        self.total = total.ok_or_else(|| {
            let found = format!("{size}, when the {} buffers before it have {}", self.sizes.len(), self.total);
            row.fault(columns.size, found, format!("no more than {} in all", u64::MAX), "count in a larger unit")
        })?;
        self.offsets.push(columns.offset.map_or(Ok(0), |at| row.number(at))?);
        let id = row.record[columns.id].to_string();
        // Else nobody could tell whose offset is whose.
        if let Some(first) = self.lines.insert(id.clone(), row.line) {
            let found = format!("{id:?}, which line {first} has too");
            let remedy = "rename one of the two, or take one out if they are the same buffer";
            return Err(row.fault(columns.id, found, "an id of its own for each buffer", remedy));
        }
        self.ids.push(id);
        self.lives.push((lower, end));
        self.sizes.push(size);
        self.aligns.push(align);
        self.records.push(row.record.clone());
        Ok(())
    }

    /// When someone is born or dies.
    fn times(&self) -> Vec<u64> {
        let mut times: Vec<u64> = self.lives.iter().flat_map(|&(lower, end)| [lower, end]).collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    /// With ranks for times, which may be larger than steps are.
    fn intervals(&self, times: &[u64]) -> Vec<Interval> {
        let rank = |time: u64| u32::try_from(times.partition_point(|&t| t < time)).expect("so many lines fit nowhere");
        let interval =
            |(&(lower, end), &bytes): (&(u64, u64), &u64)| Interval { start: rank(lower), end: rank(end), bytes };
        self.lives.iter().zip(&self.sizes).map(interval).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Buffers, DataError> {
        parse(text.as_bytes(), Path::new("b.csv"))
    }

    #[track_caller]
    fn assert_refused(text: &str, parts: &[&str]) {
        let said = parsed(text).map(|b| b.ids).unwrap_err().to_string();
        for part in parts {
            assert!(said.contains(part), "no `{part}` in: {said}");
        }
    }

    #[test]
    fn upper_is_past_the_end_and_end_is_the_last_moment() {
        let upper = parsed("id,lower,upper,size\na,10,30,4\nb,30,40,4\n").unwrap();
        assert_eq!(upper.intervals.iter().map(|i| (i.start, i.end)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
        let end = parsed("size, buffer_id ,end,begin\n4,a,30,10\n4,b,40,30\n").unwrap();
        assert_eq!(end.ids, ["a", "b"]);
        // 10, 30, 31, 41: they meet at 30.
        assert_eq!(end.intervals.iter().map(|i| (i.start, i.end)).collect::<Vec<_>>(), [(0, 2), (1, 3)]);
    }

    #[test]
    fn alignments_and_offsets_are_read_and_offsets_written_beside_all_that_was_there() {
        let text = "id,lower,upper,size,alignment,offset,hint\n\"a,b\",0,2,5,4,8,x\n1,1,3,0,1,0,\n";
        let buffers = parsed(text).unwrap();
        assert_eq!(buffers.aligns, [4, 1]);
        assert_eq!(buffers.given.as_ref().unwrap()[0], Placement { offset: 8, bytes: 5 });
        assert_eq!(String::from_utf8(buffers.with_offsets(buffers.given.as_ref().unwrap())).unwrap(), text);
        let without = parsed("id,start,upper,size\n7,0,2,5\n").unwrap();
        let written = without.with_offsets(&[Placement { offset: 12, bytes: 5 }]);
        assert_eq!(String::from_utf8(written.clone()).unwrap(), "id,start,upper,size,offset\n7,0,2,5,12\n");
        assert_eq!(parse(&written[..], Path::new("b.csv")).unwrap().given.unwrap()[0].offset, 12);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_both_numbers() {
        assert_refused("", &["b.csv, line 1", "no columns", "`id` or `buffer`", "`upper` or `end`, and `size`"]);
        assert_refused("id,lower,upper\n", &["line 1", "`id`, `lower`, `upper`", "wanted `size` too"]);
        assert_refused("id,buffer,lower,upper,size\n", &["both `id` and `buffer`", "rename"]);
        assert_refused("id,lower,upper,size\n", &["no buffers"]);
        assert_refused("id,lower,upper,size\n1,0,1,3\n2,0,x,3\n", &["line 3, column `upper`", "\"x\""]);
        assert_refused("id,lower,upper,size\n1,0,1,-3\n", &["line 2, column `size`", "\"-3\"", "from 0 to"]);
        assert_refused("id,lower,upper,size\n1,0,,3\n", &["line 2, column `upper`", "an empty cell"]);
        assert_refused("id,lower,upper,size\n1,5,5,3\n", &["line 2, column `upper`", "found 5", "more than 5"]);
        assert_refused("id,lower,end,size\n1,5,4,3\n", &["line 2, column `end`", "found 4", "5 or more"]);
        assert_refused("id,lower,upper,size,alignment\n1,0,1,3,0\n", &["column `alignment`", "1 or more"]);
        assert_refused("id,lower,upper,size,gaps\n1,0,9,3,2-4\n", &["column `gaps`", "2-4", "no gaps"]);
        assert_refused("id,lower,upper,size\n1,0,1\n", &["line 2", "3 cells", "wanted 4"]);
        let twice = "size,buffer,lower,upper\n3,a,0,1\n3,b,0,1\n4, a,7,9\n";
        assert_refused(
            twice,
            &["b.csv, line 4, column `buffer`", "\"a\", which line 2 has too", "of its own", "rename"],
        );
        assert_refused("id,lower,upper,size\n,0,1,3\n,5,6,3\n", &["line 3, column `id`", "\"\", which line 2"]);
        let large = format!("id,lower,upper,size\n1,0,1,{}\n2,5,6,2\n", u64::MAX - 1);
        assert_refused(&large, &["line 3, column `size`", "found 2, when the 1 buffers", "in all"]);
        assert_refused("id,lower,upper,size\n1,0,99999999999999999999,3\n", &["line 2, column `upper`"]);
    }
}
