//! That every step can be taken.

use super::cases;
use crate::case::Contender;

#[test]
fn every_step_can_be_taken_over_and_over() {
    for case in cases() {
        (case.make)(Contender::Wharf).run(1_000);
        if case.peer.is_some() {
            (case.make)(Contender::Smoltcp).run(1_000);
        }
    }
}
