use super::total;

#[test]
fn the_total_is_read_from_a_profile_of_either_version() {
    assert_eq!(total("events: Ir\nfn=(1) main\n5 17\n\ntotals: 46768583\n"), Some(46_768_583));
    assert_eq!(total("version: 1\nevents: Ir\nsummary: 4711\n\nfn=(1) main\n5 17\n"), Some(4_711));
}

#[test]
fn a_profile_that_was_cut_short_has_no_total() {
    assert_eq!(total("version: 1\nevents: Ir\nfn=(1) main\n5 17\n"), None);
}
