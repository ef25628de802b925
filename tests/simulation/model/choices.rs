//! Nondeterminism: where the rules allow a satellite two behaviours, the model follows both.
//!
//! Model code asks [`Choices::pick`] and continues. [`every`] runs that code again until each choice was
//! taken.

/// The options taken in one step of the model.
#[derive(Debug, Default)]
pub struct Choices {
    /// For each choice, the option taken and the number of options.
    taken: Vec<(usize, usize)>,
    /// How many choices came up in this run.
    met: usize,
}

impl Choices {
    /// The option to take of `ways` options. The first run takes the first one everywhere.
    pub fn pick(&mut self, ways: usize) -> usize {
        if self.met == self.taken.len() {
            self.taken.push((0, ways));
        }
        self.met += 1;
        self.taken[self.met - 1].0
    }

    /// Moves to the next combination of options. Returns `false` when there is none.
    fn advance(&mut self) -> bool {
        self.met = 0;
        while let Some((way, ways)) = self.taken.pop() {
            if way + 1 < ways {
                self.taken.push((way + 1, ways));
                return true;
            }
        }
        false
    }
}

/// Every state that `step` can lead to from `state`, without duplicates.
pub fn every<T: Clone + PartialEq>(
    state: &T,
    mut step: impl FnMut(&mut T, &mut Choices),
) -> Vec<T> {
    let mut outcomes = Vec::new();
    let mut choices = Choices::default();
    loop {
        let mut outcome = state.clone();
        step(&mut outcome, &mut choices);
        if !outcomes.contains(&outcome) {
            outcomes.push(outcome);
        }
        if !choices.advance() {
            return outcomes;
        }
    }
}
