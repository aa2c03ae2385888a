//! What may be agreed on, the RFC's own examples, and payloads that are none.

use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Both ends of a connection: the client's, the server's.
fn pair(agreed: Agreed) -> (Deflate, Deflate) {
    (Deflate::new(agreed, true), Deflate::new(agreed, false))
}

const LIMIT: usize = 1 << 20;

#[test]
fn answers_to_the_offer_are_held_to_or_refused() {
    let answered = |value: &str| agreed_by_server(&headers(&[value]), true);
    assert_eq!(agreed_by_server(&headers(&[]), true), Ok(None));
    assert_eq!(answered("permessage-deflate"), Ok(Some(Agreed::default())));
    let both = Agreed { server_forgets: true, client_forgets: true };
    assert_eq!(answered("Permessage-Deflate; server_no_context_takeover;client_no_context_takeover"), Ok(Some(both)));
    assert_eq!(answered("permessage-deflate; server_max_window_bits=\"10\""), Ok(Some(Agreed::default())));
    for wrong in [
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; more",
        "permessage-deflate, permessage-deflate",
        "x-webkit-deflate-frame",
    ] {
        assert!(answered(wrong).is_err(), "{wrong}");
    }
    assert!(agreed_by_server(&headers(&["permessage-deflate"]), false).unwrap_err().contains("not asked for"));
}

#[test]
fn of_the_offers_the_first_that_can_be_held_to_is_taken() {
    let answer = |values: &[&str]| agreed_by_client(&headers(values)).map(|(_, answer)| answer);
    assert_eq!(answer(&[]), None);
    assert_eq!(answer(&["permessage-deflate; client_max_window_bits"]).unwrap(), "permessage-deflate");
    assert_eq!(
        answer(&[
            "other; x=1",
            "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_no_context_takeover"
        ])
        .unwrap(),
        "permessage-deflate; server_no_context_takeover"
    );
    assert_eq!(
        answer(&["permessage-deflate; server_max_window_bits=15"]).unwrap(),
        "permessage-deflate; server_max_window_bits=15"
    );
    assert_eq!(answer(&["permessage-deflate; server_max_window_bits=9"]), None);
    assert_eq!(answer(&["permessage-deflate; unknown"]), None);
}

#[test]
fn the_rfcs_own_examples_are_expanded() {
    let (mut client, _) = pair(Agreed::default());
    // RFC 7692 sections 7.2.3.1 to 7.2.3.4: one block, the same with the window kept, no compression, a last block.
    for payload in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
    ] {
        assert_eq!(client.expand(payload, LIMIT).unwrap(), b"Hello", "{payload:x?}");
    }
    // Section 7.2.3.6: nothing.
    assert_eq!(client.expand(&[0x00], LIMIT).unwrap(), b"");
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(client.expand(&two, LIMIT).unwrap(), b"Hello");
}

#[test]
fn messages_of_every_size_cross_and_a_window_that_is_kept_makes_them_shorter() {
    for forgets in [false, true] {
        let (mut client, mut server) = pair(Agreed { server_forgets: forgets, client_forgets: forgets });
        let mut lengths = Vec::new();
        for size in [0, 1, 2, 100, 100, 16_383, 16_384, 16_385, 300_000, 1 << 20, 5] {
            let scattered = |n: u64| (n.wrapping_mul(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
            let message: Vec<u8> = (0..size as u64).map(scattered).collect();
            let payload = client.compress(&message);
            lengths.push(payload.len());
            assert!(server.expand(&payload, LIMIT).unwrap() == message, "{size} bytes");
            let answer = server.compress(&message);
            assert!(client.expand(&answer, LIMIT).unwrap() == message, "{size} bytes back");
        }
        assert_eq!(lengths[4] < lengths[3] / 4, !forgets, "{lengths:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let (mut client, mut server) = pair(Agreed::default());
    let payload = client.compress(&vec![0; 1 << 20]);
    assert!(payload.len() < 2_000);
    assert_eq!(server.expand(&payload, (1 << 20) - 1), Err(Fault::TooLarge));
    let (mut client, mut server) = pair(Agreed::default());
    let payload = client.compress(&vec![0; 1 << 20]);
    assert_eq!(server.expand(&payload, 1 << 20).map(|message| message.len()), Ok(1 << 20));
}

#[test]
fn no_payload_however_mutated_panics_or_exceeds_the_limit() {
    let text: Vec<u8> = (0..2_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let payload = pair(Agreed::default()).0.compress(&text);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for _ in 0..3_000 {
        let mut bytes = payload.to_vec();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(random() % (bytes.len() + 1));
        let expanded = pair(Agreed::default()).1.expand(&bytes, 30_000);
        assert!(expanded.is_err() || expanded.is_ok_and(|message| message.len() <= 30_000));
    }
}
