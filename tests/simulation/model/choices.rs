//! Nondeterminism: where the rules allow a satellite two behaviours, the model follows both.
//!
//! Model code asks [`Choices::pick`] and continues. [`every`] runs that code again until each choice was
//! taken.

/// The ways taken through one step of the model.
#[derive(Debug, Default)]
pub struct Choices {
    /// Which way at each fork, and how many there were.
    taken: Vec<(usize, usize)>,
    /// How many forks were met in this run.
    met: usize,
}

impl Choices {
    /// Which of `ways` ways to go at this fork; the first one in the first run.
    pub fn pick(&mut self, ways: usize) -> usize {
        if self.met == self.taken.len() {
            self.taken.push((0, ways));
        }
        self.met += 1;
        self.taken[self.met - 1].0
    }

    /// Turns to the next combination of ways, if there is one.
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

/// All that can become of `state` by `step`, each once.
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
