use super::{Compared, Series, alternate};

fn compared(own: &[f64], peer: &[f64]) -> Compared {
    Compared { own: own.iter().copied().collect(), peer: peer.iter().copied().collect() }
}

#[test]
fn the_median_is_the_sample_in_the_middle() {
    let series: Series = [9.0, 1.0, 5.0].into_iter().collect();
    assert_eq!(series.median(), 5.0);
    let series: Series = [9.0, 1.0, 5.0, 7.0].into_iter().collect();
    assert_eq!(series.median(), 6.0);
}

#[test]
fn the_ratio_is_that_of_the_medians() {
    assert_eq!(compared(&[4.0, 4.2, 5.0], &[2.0, 2.1, 2.2]).ratio(), Some(2.0));
}

#[test]
fn samples_that_lie_too_far_apart_give_no_verdict() {
    assert_eq!(compared(&[4.0, 4.2, 6.1], &[2.0, 2.1, 2.2]).ratio(), None);
    assert_eq!(compared(&[4.0, 4.2, 5.0], &[2.0, 2.1, 3.1]).ratio(), None);
}

#[test]
fn contenders_take_turns() {
    let turns = std::cell::RefCell::new(String::new());
    let samples = alternate(
        3,
        || {
            turns.borrow_mut().push('A');
            Ok(1.0)
        },
        || {
            turns.borrow_mut().push('B');
            Ok(2.0)
        },
    );
    assert_eq!(samples.ok().and_then(|samples| samples.ratio()), Some(0.5));
    assert_eq!(*turns.borrow(), "ABABAB");
}

#[test]
fn a_failed_run_is_not_left_out() {
    let mut run = 0;
    let samples = alternate(
        7,
        || {
            run += 1;
            if run == 3 { anyhow::bail!("timed out") } else { Ok(1.0) }
        },
        || Ok(1.0),
    );
    assert!(samples.is_err());
}
