use super::{Figure, Peer, json_line};
use crate::sampling::Compared;

#[test]
fn a_figure_is_one_object_with_six_members() {
    let peer = Peer { name: "smoltcp 0.14", value: 6_000.0 };
    let figure = Figure::counted("pair_rr64", "Ir/round trip", 3_000.0, Some(peer));
    assert_eq!(
        json_line(&figure),
        r#"{"name":"pair_rr64","value":3000.0,"unit":"Ir/round trip","peer":"smoltcp 0.14","peer_value":6000.0,"ratio":0.5}"#
    );
}

#[test]
fn a_figure_without_a_verdict_has_a_ratio_of_null() {
    let samples = Compared { own: [1.0, 2.0].into_iter().collect(), peer: [1.0, 1.0].into_iter().collect() };
    let figure = Figure::sampled("tap_tx", "Gbit/s", "smoltcp 0.14", &samples);
    assert!(json_line(&figure).ends_with(r#""ratio":null}"#));
}

#[test]
fn a_figure_without_a_peer_says_so() {
    let figure = Figure::counted("mem_listen", "bytes", 96.0, None);
    assert!(json_line(&figure).ends_with(r#""peer":null,"peer_value":null,"ratio":null}"#));
}
