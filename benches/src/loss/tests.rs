//! That the emulated runs are what the tables say they are.

use std::time::Duration;

use sim::link::Loss;

use super::cells::{self, Kind, Link};
use super::{CONTENDERS, Contender};

fn clean() -> cells::Cell {
    let mut cell = Link::new(10_000_000, Duration::from_millis(20)).cell(Kind::Loss, "no loss");
    cell.run.bytes = 2_000_000;
    cell
}

#[test]
fn every_contender_uses_a_clean_link_and_resends_little() {
    for contender in CONTENDERS {
        let outcome = contender.run(&clean(), None).expect("a cell for everybody");
        assert!(outcome.goodput() > 3e6, "{}: {outcome:?}", contender.name());
        assert!(outcome.resent_share() < 0.2, "{}: {outcome:?}", contender.name());
        assert!(outcome.received[0] >= 2_000_000);
    }
}

#[test]
fn a_run_repeats_to_the_byte() {
    let mut cell =
        Link::new(10_000_000, Duration::from_millis(20)).loss(Loss::Random(0.01)).cell(Kind::Loss, "1 % loss");
    cell.run.bytes = 1_000_000;
    for contender in CONTENDERS {
        let runs = [contender.run(&cell, None), contender.run(&cell, None)];
        let [Some(first), Some(second)] = runs else { panic!("a cell for everybody") };
        assert_eq!((first.elapsed, first.segments, first.resent), (second.elapsed, second.segments, second.resent));
        assert!(first.lost > 0 && first.resent > 0, "{}: {first:?}", contender.name());
    }
}

#[test]
fn flows_that_share_a_link_are_counted_apart() {
    let cell = cells::all().into_iter().find(|cell| cell.name.ends_with("4 flows")).expect("such a cell");
    let outcome = Contender::Wharf(stack::tcp::Algorithm::Cubic).run(&cell, None).expect("a cell for everybody");
    assert_eq!(outcome.received.len(), 4);
    assert!(outcome.fairness() > 0.5 && outcome.fairness() <= 1.0);
}

#[test]
fn no_two_cells_have_the_same_name() {
    let mut names: Vec<String> = cells::all().into_iter().map(|cell| cell.name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
