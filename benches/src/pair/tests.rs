//! That both contenders do the whole of the work, and that it is the same work every time.

use super::{ERRANDS, Pair, Task, cases};
use crate::case::Contender;

#[test]
fn every_case_runs_with_both_contenders() {
    for case in cases(false) {
        for contender in [Contender::Wharf, Contender::Smoltcp] {
            let mut work = (case.make)(contender);
            work.run(100);
            work.run(100);
        }
    }
}

#[test]
fn a_connection_survives_more_work_of_another_kind() {
    for contender in [Contender::Wharf, Contender::Smoltcp] {
        let errand = ERRANDS.iter().find(|errand| errand.task == Task::RoundTrips).expect("a case of round trips");
        let mut hosts: Box<dyn Pair> = errand.hosts(contender, true);
        hosts.round_trips(3);
        hosts.bulk(1 << 20);
        hosts.round_trips(3);
    }
}
