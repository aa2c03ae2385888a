//! That both contenders do the whole of the work, and that it is the same work every time.

use super::{CASES, Contender, Pair, Work};

#[test]
fn every_case_runs_with_both_contenders() {
    for case in &CASES {
        for contender in [Contender::Wharf, Contender::Smoltcp] {
            let mut hosts = case.hosts(contender, false);
            case.run(&mut *hosts, 100);
            case.run(&mut *hosts, 100);
        }
    }
}

#[test]
fn a_connection_survives_more_work_of_another_kind() {
    for contender in [Contender::Wharf, Contender::Smoltcp] {
        let case = CASES.iter().find(|case| case.work == Work::RoundTrips).expect("a case of round trips");
        let mut hosts: Box<dyn Pair> = case.hosts(contender, true);
        hosts.round_trips(3);
        hosts.bulk(1 << 20);
        hosts.round_trips(3);
    }
}
