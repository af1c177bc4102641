//! A pairwise choice: few cells in which every two values that can meet do meet.

use std::collections::BTreeSet;

use super::cast::Cell;

/// Two values of two different dimensions.
type Pair = ((u8, usize), (u8, usize));

/// Chooses from `cells`, greedily: always a cell with the most pairs that no chosen one has, the first of equals. The same
/// cells give the same choice.
pub(crate) fn pairwise(cells: &[Cell]) -> Vec<Cell> {
    let mut wanted: BTreeSet<Pair> = cells.iter().flat_map(pairs).collect();
    let mut chosen = Vec::new();
    // What a cell adds only shrinks: after the pass for `most`, none adds as much any more.
    for most in (1..=6).rev() {
        for cell in cells {
            if pairs(cell).iter().filter(|pair| wanted.contains(pair)).count() == most {
                for pair in pairs(cell) {
                    wanted.remove(&pair);
                }
                chosen.push(*cell);
            }
        }
    }
    chosen
}

fn pairs(cell: &Cell) -> [Pair; 6] {
    let [mode, level, user, end] =
        [(0, cell.mode), (1, cell.level as usize), (2, cell.user as usize), (3, cell.end as usize)];
    [(mode, level), (mode, user), (mode, end), (level, user), (level, end), (user, end)]
}

#[test]
fn every_two_values_that_can_meet_do_meet() {
    let all = Cell::all();
    // Holes as rules make them: irregular, some pairs impossible.
    let cells: Vec<Cell> = all
        .iter()
        .enumerate()
        .filter(|(n, cell)| n % 7 != 3 && cell.mode != n % 11)
        .map(|(_, cell)| *cell)
        .collect();
    let chosen = pairwise(&cells);
    // By their names, so that the choice does not judge itself.
    let of = |cells: &[Cell]| {
        let mut pairs = BTreeSet::new();
        for cell in cells {
            let name = cell.to_string();
            let words: Vec<&str> = name.split('/').collect();
            for (place, word) in words.iter().enumerate() {
                pairs.extend(words[place + 1..].iter().map(|other| format!("{word}/{other}")));
            }
        }
        pairs
    };
    assert_eq!(of(&chosen), of(&cells));
    assert!(chosen.iter().all(|cell| cells.contains(cell)));
    assert!(chosen.len() * 4 < cells.len(), "{} of {}", chosen.len(), cells.len());
    assert_eq!(pairwise(&cells), chosen);
}
