use super::{Figures, differences, uneven};

fn figures(of: &[(&str, f64)]) -> Figures {
    of.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn a_figure_may_shrink_and_grow_by_no_more_than_one_percent() {
    let committed = figures(&[("pair_rr64", 1_000.0)]);
    assert!(differences(&committed, &figures(&[("pair_rr64", 500.0)])).is_empty());
    assert!(differences(&committed, &figures(&[("pair_rr64", 1_009.0)])).is_empty());
    let faults = differences(&committed, &figures(&[("pair_rr64", 1_011.0)]));
    assert!(faults[0].starts_with("pair_rr64 has grown"), "{faults:?}");
}

#[test]
fn a_figure_that_only_one_side_has_is_a_fault() {
    let (one, other) = (figures(&[("pair_rr64", 1.0)]), figures(&[("pair_conn", 1.0)]));
    assert_eq!(differences(&one, &other).len(), 2);
}

#[test]
fn idle_connections_must_be_free() {
    assert!(uneven(&figures(&[("idle_bulk_10", 100.0), ("idle_bulk_100000", 101.9)])).is_empty());
    assert_eq!(uneven(&figures(&[("idle_bulk_10", 100.0), ("idle_bulk_100000", 102.1)])).len(), 1);
    assert_eq!(uneven(&figures(&[("idle_poll_10", 100.0), ("idle_poll_1000", 110.0)])).len(), 1);
}
