//! Samples of two contenders taken in turn, and what may be concluded from them.
//!
//! On a machine that others use too a single figure means nothing, and a ratio of figures taken minutes apart little
//! more. So the contenders alternate, the medians are compared, and where one contender's own samples lie too far apart
//! nothing is concluded at all.

#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::Result;

/// Fewest pairs of samples from which anything is concluded.
pub(crate) const FEWEST_PAIRS: usize = 7;

/// Samples of one contender whose largest is more than this many times the smallest give no verdict.
pub(crate) const MOST_SPREAD: f64 = 1.5;

/// Samples of one contender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The sample in the middle; of an even number, the mean of the two there. Not a number when there is none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The largest over the smallest.
    pub(crate) fn spread(&self) -> f64 {
        let largest = self.0.iter().copied().fold(f64::MIN, f64::max);
        let smallest = self.0.iter().copied().fold(f64::MAX, f64::min);
        largest / smallest
    }
}

impl Extend<f64> for Series {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, samples: T) {
        self.0.extend(samples);
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<T: IntoIterator<Item = f64>>(samples: T) -> Self {
        Self(samples.into_iter().collect())
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|sample| write!(f, " {sample:.2}"))
    }
}

/// Samples of both contenders from one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compared {
    pub own: Series,
    pub peer: Series,
}

impl Compared {
    /// The spread of the contender that spreads more.
    pub(crate) fn spread(&self) -> f64 {
        self.own.spread().max(self.peer.spread())
    }

    /// The ratio of the medians, Wharf's over the peer's, where the samples allow a verdict.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (self.spread() <= MOST_SPREAD).then(|| self.own.median() / self.peer.median())
    }
}

/// Takes `pairs` pairs of samples, the contenders in turn: A B A B.
///
/// # Errors
/// The first error of either: a run that fails is no sample that may be left out.
pub(crate) fn alternate(
    pairs: usize,
    mut own: impl FnMut() -> Result<f64>,
    mut peer: impl FnMut() -> Result<f64>,
) -> Result<Compared> {
    let mut samples = Compared::default();
    for _ in 0..pairs {
        samples.own.0.push(own()?);
        samples.peer.0.push(peer()?);
    }
    Ok(samples)
}
