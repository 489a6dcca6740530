//! Tables as they should be, and as they are.

use super::*;
use crate::data::{Order, Standardisation, Values};
use crate::storage::tests::Scratch;

fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|name| (*name).to_string()).collect()
}

fn wanted(inputs: &[&str], targets: &[&str], target: Target) -> Wanted {
    Wanted { inputs: names(inputs), targets: names(targets), target, missing: Missing::Refuse }
}

fn parsed(text: &str, wanted: &Wanted) -> Result<Table, DataError> {
    parse(text.as_bytes(), Path::new("shore.csv"), wanted)
}

fn said(text: &str, wanted: &Wanted) -> String {
    parsed(text, wanted).unwrap_err().to_string()
}

#[test]
fn chosen_columns_are_read_in_the_order_chosen() {
    let text = "\u{FEFF}a, b ,\"c, d\"\r\n1,2,3\r\n\n4 ,-5e-1,\"6\"\n";
    let table = parsed(text, &wanted(&["b", "a"], &["c, d"], Target::Number)).unwrap();
    assert_eq!((table.rows, table.inputs.values.as_slice()), (2, &[2.0, 1.0, -0.5, 4.0][..]));
    assert_eq!(table.targets, Targets::Numbers(Columns { names: names(&["c, d"]), values: vec![3.0, 6.0] }));
}

#[test]
fn a_cell_that_is_no_number_is_named_with_line_and_column() {
    let of_a = wanted(&["a"], &["b"], Target::Number);
    assert_eq!(
        said("a,b\n1,2\n\"1,5\",3\n", &of_a),
        "shore.csv, line 3, column `a`: found \"1,5\", wanted a number; \
         correct it, with a full stop for the decimals, or choose another column"
    );
    for (cell, wanted) in
        [("", "an empty cell"), ("nan", "3.4e38"), ("inf", "3.4e38"), ("1e39", "3.4e38"), ("0x1", "0x1")]
    {
        let said = said(&format!("a,b\n{cell},0\n"), &of_a);
        assert!(said.contains("line 2, column `a`") && said.contains(wanted), "{said}");
    }
}

#[test]
fn an_unknown_column_has_its_nearest_and_all_others_named() {
    let said_of = |column: &str| said("temp,rain\n1,2\n", &wanted(&[column], &["rain"], Target::Number));
    let said = said_of("tmep");
    assert!(
        said.contains("no column `tmep`") && said.contains("did you mean `temp`? there are `temp`, `rain`"),
        "{said}"
    );
    assert!(!said_of("xyz").contains("did you mean"));
}

#[test]
fn a_file_that_is_no_table_is_refused_with_a_way_out() {
    let of_a = wanted(&["a"], &["b"], Target::Number);
    for (text, wanted) in [
        ("a;b\n1;2\n", "with commas"),
        ("a,b\n", "no rows"),
        ("", "no column `a`"),
        ("a,b\n1,2,3\n", "line 2: found 3 cells, wanted 2, as in the header"),
        ("a,a,b\n1,2,3\n", "2 columns named `a`"),
    ] {
        let said = said(text, &of_a);
        assert!(said.contains(wanted), "{said}");
    }
    let said = parse(&b"a,b\n\xFF,1\n"[..], Path::new("x"), &of_a).unwrap_err().to_string();
    assert!(said.contains("wanted UTF-8"), "{said}");
    let no_targets = wanted(&["a"], &[], Target::Number);
    assert!(parsed("a,b\n1,2\n", &no_targets).unwrap_err().to_string().contains("0 target columns"));
    let said = read(&Scratch::new().path("no.csv"), &of_a).unwrap_err().to_string();
    assert!(said.ends_with("no.csv does not exist"), "{said}");
}

#[test]
fn empty_targets_are_ignored_only_where_asked_and_empty_inputs_never() {
    let of = |target| Wanted { missing: Missing::Ignore, ..wanted(&["a"], &["b"], target) };
    let table = parsed("a,b\n1,\n2,3\n", &of(Target::Number)).unwrap();
    let Targets::Numbers(columns) = table.targets else { panic!("numbers were wanted") };
    assert!(columns.values[0].is_nan() && columns.values[1] == 3.0);
    let table = parsed("a,b\n1,\n2,x\n", &of(Target::Class)).unwrap();
    assert!(matches!(table.targets, Targets::Classes { ids, .. } if ids == [IGNORE, 0]));
    assert!(said("a,b\n,1\n", &of(Target::Number)).contains("column `a`: found an empty cell"));
    assert!(said("a,b\n1,\n", &wanted(&["a"], &["b"], Target::Bit)).contains("missing = \"ignore\""));
}

#[test]
fn classes_are_labels_in_order_and_bits_are_bits() {
    let table = parsed("a,b\n1,10\n2,9\n3,10\n", &wanted(&["a"], &["b"], Target::Class)).unwrap();
    let Targets::Classes { column, classes, ids } = table.targets else { panic!("classes were wanted") };
    assert_eq!((column.as_str(), classes.names(), ids.as_slice()), ("b", &names(&["9", "10"])[..], &[1, 0, 1][..]));
    let bits = |cell: &str| parsed(&format!("a,b\n1,{cell}\n"), &wanted(&["a"], &["b"], Target::Bit));
    assert!(matches!(bits("true").unwrap().targets, Targets::Bits(columns) if columns.values == [1.0]));
    assert!(bits("2").unwrap_err().to_string().contains("0, 1, false or true"));
    let two = wanted(&["a"], &["a", "b"], Target::Class);
    assert!(said("a,b\n1,2\n", &two).contains("one column of classes"));
}

#[test]
fn standardising_looks_at_the_training_part_only() {
    let table = parsed("a,b\n1,10\n3,30\n1000,50\n", &wanted(&["a"], &["b"], Target::Number)).unwrap();
    let prepared = table.prepare(0.0, 0.34, Order::Contiguous, true).unwrap();
    let fitted = Standardisation { columns: names(&["a"]), mean: vec![2.0], std: vec![1.0] };
    assert_eq!(prepared.scaling.inputs, Some(fitted));
    assert_eq!(prepared.scaling.targets.unwrap().mean, [20.0]);
    assert_eq!((prepared.parts.train.len(), prepared.parts.test.len()), (2, 1));
    let inputs = prepared.parts.test.fields()[0].values();
    assert_eq!(inputs, &Values::Numbers(vec![-1.0, 1.0, 998.0]));
}
