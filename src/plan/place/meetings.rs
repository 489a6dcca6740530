//! Who is alive when, and with whom.

use super::problem::Problem;

/// The meetings of a problem's items.
pub(super) struct Meetings {
    /// For each moment, the items alive at it.
    pub(super) at: Vec<Vec<usize>>,
    /// For each item, those it is ever alive with.
    pub(super) of: Vec<Vec<usize>>,
}

impl Meetings {
    pub(super) fn new(problem: &Problem) -> Meetings {
        let (mut at, mut of) = (vec![Vec::new(); problem.moments], vec![Vec::new(); problem.items.len()]);
        for (k, item) in problem.items.iter().enumerate() {
            // Of those alive at its first moment, the ones that came before are in the list by now.
            for &other in &at[item.from] {
                let other: usize = other;
                of[other].push(k);
                of[k].push(other);
            }
            at[item.from..item.to].iter_mut().for_each(|alive| alive.push(k));
        }
        Meetings { at, of }
    }

    /// How many entries the lists of a problem will have, and about how many comparisons it takes to place every item
    /// once in a search.
    pub(super) fn forecast(problem: &Problem) -> (u64, u64) {
        let mut births = vec![0; problem.moments];
        let mut deaths = vec![0; problem.moments + 1];
        for item in &problem.items {
            births[item.from] += 1;
            deaths[item.to] += 1;
        }
        let (mut alive, mut entries, mut visits) = (0u64, 0, 0);
        for (born, died) in births.into_iter().zip(deaths) {
            // Whoever is born meets those that are there, both ways, and those born with it.
            alive -= died;
            entries += 2 * alive * born + born * (born - u64::from(born > 0));
            alive += born;
            entries += alive;
            visits += alive * alive;
        }
        (entries, visits + 2 * entries)
    }
}
