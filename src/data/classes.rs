//! The labels of classes, in a fixed order; a class's id is its place among them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Labels, each once, rising: by number if all are integers, else as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes(Vec<String>);

impl Classes {
    /// The classes that occur among `labels`.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a str>) -> Classes {
        let names: BTreeSet<&str> = labels.into_iter().collect();
        let mut names: Vec<&str> = names.into_iter().collect();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut pairs: Vec<(i64, &str)> = numbers.into_iter().zip(names).collect();
            pairs.sort_unstable();
            names = pairs.into_iter().map(|(_, name)| name).collect();
        }
        Classes(names.into_iter().map(str::to_string).collect())
    }

    /// The labels, by id.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id of a label, if it is one of these.
    pub fn id(&self, label: &str) -> Option<u32> {
        // What was read from elsewhere may be in another order, so it is not searched by halves.
        self.0.iter().position(|name| name == label).and_then(|place| u32::try_from(place).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_the_order_of_numbers_only_if_all_are_numbers() {
        assert_eq!(Classes::of(["10", "9", "-1", "9"]).names(), ["-1", "9", "10"]);
        assert_eq!(Classes::of(["10", "9", "b"]).names(), ["10", "9", "b"]);
        let classes = Classes::of(["setosa", "iris"]);
        assert_eq!((classes.id("setosa"), classes.id("rose"), classes.len()), (Some(1), None, 2));
        assert_eq!(serde_json::to_string(&classes).unwrap(), r#"["iris","setosa"]"#);
    }
}
