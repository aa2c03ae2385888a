//! That the idle connections are there, and that data still flows beside them.

use super::{bulk, poll};
use crate::case::Contender;

#[test]
fn both_contenders_hold_idle_connections_and_carry_data_beside_them() {
    for contender in [Contender::Wharf, Contender::Smoltcp] {
        (poll("idle_poll_100", 100).make)(contender).run(10);
        (bulk("idle_bulk_100", 100).make)(contender).run(200);
    }
}
