//! Values too small to be told apart in a picture, drawn together where they lie.
//!
//! ```text
//! | | || |          ......
//!  || | |    ->     ::::::     cells in which they take the most room, by role
//! ```

use super::Rectangle;
use crate::graph::Role;

/// Most values that a picture has by themselves; more would be megabytes of hairlines.
const MOST: usize = 3000;
/// The least width and height of one that is drawn by itself, in pixels.
const LEAST: [f64; 2] = [0.9, 0.7];
/// Width and height of a cell, in pixels.
const CELL: f64 = 2.0;
/// A cell is drawn from this share of it on.
const COVERED: f64 = 0.3;

/// A picture's size, and how many steps and bytes it shows.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) steps: f64,
    pub(super) bytes: f64,
}

/// A rectangle on the picture: from the left, from the top, width and height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

#[allow(clippy::cast_precision_loss, reason = "a picture has fewer pixels than a double has integers")]
impl Frame {
    pub(super) fn x(&self, step: usize) -> f64 {
        self.width * step as f64 / self.steps
    }

    pub(super) fn y(&self, bytes: u64) -> f64 {
        self.height * (1.0 - bytes as f64 / self.bytes)
    }

    pub(super) fn place(&self, of: &Rectangle) -> Area {
        let (x, y) = (self.x(of.steps.start), self.y(of.bytes.end));
        Area { x, y, width: self.x(of.steps.end) - x, height: self.y(of.bytes.start) - y }
    }
}

/// What a picture shows.
pub(super) struct Thinned {
    /// Values by themselves.
    pub(super) apart: Vec<Rectangle>,
    /// Where others lie, by role.
    pub(super) together: Vec<(Role, Vec<Area>)>,
    /// How many those are.
    pub(super) count: usize,
}

/// Leaves what can be seen apart, the largest of it where there is too much, and puts the rest together.
pub(super) fn thinned(mut all: Vec<Rectangle>, frame: &Frame) -> Thinned {
    let seen = |r: &Rectangle| {
        let place = frame.place(r);
        place.width >= LEAST[0] && place.height >= LEAST[1]
    };
    let area = |r: &Rectangle| r.steps.len() as u128 * u128::from(r.bytes.end - r.bytes.start);
    // None overlap, so that their order is of no account; it is kept where there are few.
    if all.len() > MOST {
        all.sort_by_key(|r| std::cmp::Reverse(area(r)));
    }
    let (mut apart, mut rest): (Vec<_>, Vec<_>) = all.into_iter().partition(seen);
    // One that cannot be seen beside others can be seen where there are no others.
    if apart.len() + rest.len() <= MOST {
        apart.append(&mut rest);
    }
    rest.extend(apart.drain(MOST.min(apart.len())..));
    Thinned { together: together(&rest, frame), count: rest.len(), apart }
}

/// Runs of cells that are mostly taken, by the role that takes most of each.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cells of a picture are few")]
fn together(values: &[Rectangle], frame: &Frame) -> Vec<(Role, Vec<Area>)> {
    let (columns, rows) = ((frame.width / CELL).ceil() as usize, (frame.height / CELL).ceil() as usize);
    let mut cells = vec![[0.0f64; Role::ALL.len()]; columns * rows];
    for value in values {
        let at = frame.place(value);
        let role = Role::ALL.iter().position(|r| *r == value.role).unwrap_or(0);
        let span =
            |from: f64, to: f64, most: usize| (from / CELL).max(0.0) as usize..((to / CELL).ceil() as usize).min(most);
        for row in span(at.y, at.y + at.height, rows) {
            let high = overlap(row, at.y, at.height);
            for column in span(at.x, at.x + at.width, columns) {
                cells[row * columns + column][role] += high * overlap(column, at.x, at.width);
            }
        }
    }
    let mut found: Vec<(Role, Vec<Area>)> = Role::ALL.map(|role| (role, Vec::new())).to_vec();
    for (row, line) in cells.chunks(columns.max(1)).enumerate() {
        let mut column = 0;
        while column < line.len() {
            let role = taker(&line[column]);
            let length = line[column..].iter().take_while(|cell| taker(cell) == role).count();
            if let Some(role) = role {
                found[role].1.push(run(column, row, length));
            }
            column += length;
        }
    }
    found.retain(|(_, boxes)| !boxes.is_empty());
    found
}

#[allow(clippy::cast_precision_loss, reason = "as for `Frame`")]
fn run(column: usize, row: usize, length: usize) -> Area {
    Area { x: column as f64 * CELL, y: row as f64 * CELL, width: length as f64 * CELL, height: CELL }
}

/// What of cell `at` lies between `from` and `from + length`, as a share of the cell.
#[allow(clippy::cast_precision_loss, reason = "as for `Frame`")]
fn overlap(at: usize, from: f64, length: f64) -> f64 {
    let start = at as f64 * CELL;
    ((from + length).min(start + CELL) - from.max(start)).max(0.0) / CELL
}

/// The role that takes most of a cell, if enough of it is taken.
fn taker(cell: &[f64; Role::ALL.len()]) -> Option<usize> {
    let taken: f64 = cell.iter().sum();
    let most = (0..cell.len()).max_by(|&a, &b| cell[a].total_cmp(&cell[b]))?;
    (taken >= COVERED).then_some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { width: 100.0, height: 50.0, steps: 10_000.0, bytes: 5000.0 };

    fn value(steps: std::ops::Range<usize>, bytes: std::ops::Range<u64>, role: Role) -> Rectangle {
        Rectangle { steps, bytes, role, name: "v".into() }
    }

    /// As many values as there can be, side by side, each a hundredth of a pixel wide and all of them `high` bytes.
    fn crowd(high: u64, role: Role) -> Vec<Rectangle> {
        (0..10_000).map(|i| value(i..i + 1, 1000..1000 + high, role)).collect()
    }

    #[test]
    fn few_values_are_all_drawn_however_small() {
        let few = vec![value(0..1, 0..1, Role::Input), value(5..6, 7..8, Role::Result)];
        let thinned = thinned(few.clone(), &FRAME);
        assert_eq!((thinned.apart, thinned.count), (few, 0));
        assert!(thinned.together.is_empty());
    }

    #[test]
    fn a_crowd_is_drawn_where_it_lies_and_large_values_stay_apart() {
        let large = value(2000..8000, 2000..4000, Role::Gradient);
        let all = [crowd(400, Role::Activation), vec![large.clone()]].concat();
        let thinned = thinned(all, &FRAME);
        assert_eq!((&thinned.apart, thinned.count), (&vec![large], 10_000));
        let [(Role::Activation, boxes)] = &thinned.together[..] else { panic!("one role: {:?}", thinned.together) };
        // From byte 1000 to 1400 is from 36 to 40 pixels from the top: two rows of cells.
        let (top, bottom) = (boxes.first().unwrap().y, boxes.last().map(|b| b.y + b.height).unwrap());
        assert_eq!((top, bottom), (36.0, 40.0));
        let area: f64 = boxes.iter().map(|b| b.width * b.height).sum();
        assert!((area - 400.0).abs() < 1e-6 && boxes.len() == 2, "{boxes:?}");
    }

    #[test]
    fn of_two_roles_in_a_cell_the_larger_is_drawn_and_what_is_hardly_there_is_not() {
        let mixed = [crowd(120, Role::Input), crowd(10, Role::Result)].concat();
        let roles: Vec<Role> = thinned(mixed, &FRAME).together.iter().map(|(role, _)| *role).collect();
        assert_eq!(roles, [Role::Input]);
        assert!(thinned(crowd(10, Role::Input), &FRAME).together.is_empty());
    }

    #[test]
    fn no_picture_has_more_than_it_can_show() {
        let frame = Frame { width: 20_000.0, height: 50.0, ..FRAME };
        let thinned = thinned(crowd(400, Role::Activation), &frame);
        assert_eq!((thinned.apart.len(), thinned.count), (MOST, 10_000 - MOST));
    }
}
