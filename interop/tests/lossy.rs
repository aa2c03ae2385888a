//! What people do with a network once more, over a link of 80 ms there and back that loses 2 % of the frames: tests of the
//! other files, each of which says what it checks. Payloads are smaller there (`World::amount`).

use wharf_interop::{again_over_a_bad_link, in_namespace_over_a_bad_link};

#[test]
fn the_link_takes_its_time_and_loses() {
    in_namespace_over_a_bad_link(|world| {
        let tap = world.tap();
        let by_hand = tap.by_hand();
        let ping = world.wharf(&["ping", "10.9.0.1", "-c", "50", "-i", "0.01", "--timeout", "1"]);
        let run = ping.arguments(&by_hand.iter().map(String::as_str).collect::<Vec<_>>()).run().succeeded();
        let after = |word: &str| run.stdout.split(word).nth(1).unwrap_or_else(|| panic!("no {word}: {run}"));
        let received: u32 = after("transmitted, ").split(' ').next().unwrap().parse().unwrap();
        assert!((25..50).contains(&received), "{run}");
        let shortest: f64 = after("mdev = ").split('/').next().unwrap().parse().unwrap();
        assert!(shortest >= 80.0, "{run}");
    });
}

#[test]
fn names_of_every_type_are_looked_up() {
    again_over_a_bad_link("commands::nslookup_knows_the_record_types");
}

#[test]
fn names_are_found_from_the_root_down_and_proven_or_refused() {
    again_over_a_bad_link("dns::trust_may_begin_at_a_digest_or_in_the_middle");
}

#[test]
fn names_come_in_the_clear_over_tls_and_over_https() {
    again_over_a_bad_link("dns::unbound_answers_in_the_clear_over_tls_and_over_https");
}

#[test]
fn failing_and_silent_name_servers_are_passed_over() {
    again_over_a_bad_link("dns::a_failing_and_a_silent_server_are_passed_over_and_the_trace_shows_it");
}

#[test]
fn a_poisoned_answer_changes_nothing() {
    again_over_a_bad_link("dns::a_poisoned_answer_changes_nothing");
}

#[test]
fn an_answer_too_large_for_a_datagram_comes_over_tcp() {
    again_over_a_bad_link("commands::an_answer_too_large_for_a_datagram_comes_over_tcp");
}

#[test]
fn an_address_is_leased_probed_and_announced() {
    again_over_a_bad_link("dhcp::the_address_is_probed_for_and_announced");
}

#[test]
fn a_tls_session_is_shown_and_resumed() {
    again_over_a_bad_link("tls::what_nginx_agrees_on_is_shown_and_a_second_connection_resumes_without_an_inet_socket");
}

#[test]
fn faults_of_certificates_are_told() {
    again_over_a_bad_link("tls::every_fault_of_a_certificate_has_its_own_message_and_status_5");
}

#[test]
fn tls_resumes_and_sends_early_data() {
    again_over_a_bad_link("tls::a_second_visit_resumes_and_may_send_early_data_as_the_server_counts");
}

#[test]
fn a_tls_server_of_ours_is_spoken_to() {
    again_over_a_bad_link("tls::our_server_is_spoken_to_by_curl_and_openssl_which_resume_and_show_certificates");
}

#[test]
fn forty_cold_requests_open_no_more_connections() {
    again_over_a_bad_link("http::forty_cold_requests_open_six_connections_or_one");
}

#[test]
fn files_arrive_whole_over_every_version_of_http() {
    again_over_a_bad_link("http::files_arrive_whole_over_every_version");
}

#[test]
fn bodies_are_sent_whole_over_every_version_of_http() {
    again_over_a_bad_link("http::bodies_are_sent_whole_over_every_version");
}

#[test]
fn many_streams_share_a_connection() {
    again_over_a_bad_link("http::trailers_come_and_no_more_streams_are_opened_than_allowed");
}

#[test]
fn http_3_is_found_and_shared() {
    again_over_a_bad_link("http::http_3_is_found_by_alt_svc");
}

#[test]
fn what_quic_does_not_reach_tcp_does() {
    again_over_a_bad_link("http::what_quic_does_not_reach_tcp_does");
}

#[test]
fn a_stale_connection_is_replaced() {
    again_over_a_bad_link("http::a_stale_connection_is_replaced_once");
}

#[test]
fn the_cache_answers_and_validates() {
    again_over_a_bad_link("http_cache::the_matrix_in_memory");
}

#[test]
fn several_pages_are_fetched_at_once() {
    again_over_a_bad_link(
        "wget::several_urls_at_once_and_those_of_a_list_are_saved_and_the_first_failure_is_the_commands",
    );
}

#[test]
fn a_download_is_gone_on_with() {
    again_over_a_bad_link("wget::what_was_cut_short_is_gone_on_with_and_has_no_name_until_it_is_whole");
}

#[test]
fn a_download_whose_way_is_cut_is_gone_on_with() {
    again_over_a_bad_link("wget::a_pulled_cable_is_told_and_after_it_is_back_the_download_goes_on");
}

#[test]
fn the_version_of_http_is_chosen() {
    again_over_a_bad_link("wget::the_version_of_http_is_the_servers_choice_or_the_commands");
}

#[test]
fn a_websocket_echoes_and_closes() {
    again_over_a_bad_link("ws::lines_are_echoed_in_the_clear_and_over_tls_and_no_inet_socket");
}

#[test]
fn large_messages_of_a_websocket_cross_whole() {
    again_over_a_bad_link("ws::binary_fragmented_and_large_messages_cross_whole");
}

#[test]
fn a_websocket_pings_and_is_pinged() {
    again_over_a_bad_link("ws::pings_are_answered_and_sent_and_headers_and_subprotocols_arrive");
}

#[test]
fn a_command_runs_on_another_host() {
    again_over_a_bad_link("ssh::no_kernel_socket_is_opened_for_ssh");
}

#[test]
fn a_terminal_on_another_host() {
    again_over_a_bad_link("ssh::a_terminal_has_its_size_and_its_modes_and_follows_the_window");
}

#[test]
fn signals_reach_another_host() {
    again_over_a_bad_link("ssh::signals_cross_and_a_death_by_signal_is_told");
}

#[test]
fn ports_lead_through_a_session() {
    again_over_a_bad_link("ssh::ports_lead_through_the_session_both_ways_and_by_socks");
}

#[test]
fn files_go_and_come_by_sftp_while_keys_are_exchanged_anew() {
    again_over_a_bad_link("sftp::files_go_and_come_whole_while_keys_are_exchanged_anew");
}

#[test]
fn a_put_whose_way_is_cut_is_gone_on_with() {
    again_over_a_bad_link("sftp::a_cable_pulled_during_put_leaves_nothing_under_the_name_and_reput_goes_on");
}
