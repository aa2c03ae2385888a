//! Every step of the diagram (RFC 9293 section 3.3.2, figure 5), and none besides.

use alloc::vec::Vec;

use super::Phase::{self, *};

const ALL: [Phase; 11] =
    [Closed, Listen, SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait];

fn moves(step: impl Fn(Phase) -> Phase) -> Vec<(Phase, Phase)> {
    ALL.into_iter().map(|from| (from, step(from))).filter(|(from, to)| from != to).collect()
}

#[test]
fn the_steps_are_those_of_figure_5() {
    assert_eq!(moves(Phase::on_finish), [(Established, FinWait1), (CloseWait, LastAck)]);
    assert_eq!(moves(Phase::on_fin), [(Established, CloseWait), (FinWait1, Closing), (FinWait2, TimeWait)]);
    assert_eq!(moves(Phase::on_fin_acknowledged), [(FinWait1, FinWait2), (Closing, TimeWait), (LastAck, Closed)]);
}

#[test]
fn what_may_flow_in_which_state() {
    let those = |what: fn(Phase) -> bool| ALL.into_iter().filter(|&phase| what(phase)).collect::<Vec<_>>();
    assert_eq!(those(Phase::receives), [Established, FinWait1, FinWait2]);
    assert_eq!(those(Phase::sends), [Established, FinWait1, CloseWait, Closing, LastAck]);
    assert_eq!(those(Phase::has_finished), [FinWait1, FinWait2, Closing, LastAck, TimeWait]);
    assert_eq!(those(|phase| !phase.is_synchronized()), [Closed, Listen, SynSent, SynReceived]);
}
