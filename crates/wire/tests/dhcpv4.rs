//! DHCP for IPv4: the message, its options, and what malformed ones do.

mod common;

use common::with_noise;
use core::net::Ipv4Addr;
use wharf_wire::Malformed;
use wharf_wire::dhcpv4::{
    Addresses, DhcpMessage, DhcpOptions, DoesNotFit, MessageType, Operation, OptionBytes, option,
};
use wharf_wire::ethernet::MacAddr;

const MAC: MacAddr = MacAddr([0x02, 0xca, 0xfe, 0, 0, 1]);

fn text(bytes: &[u8]) -> OptionBytes {
    OptionBytes::new(bytes).unwrap()
}

/// A message with these bytes as its options field, from a server.
fn raw(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&0x1122_3344u32.to_be_bytes());
    bytes[28..34].copy_from_slice(&MAC.0);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend(options);
    bytes
}

fn parse_options(options: &[u8]) -> Result<DhcpOptions, Malformed> {
    DhcpMessage::parse(&raw(options)).map(|message| message.options)
}

fn emitted(message: &DhcpMessage) -> Vec<u8> {
    let mut bytes = vec![0xee; message.len()];
    assert_eq!(message.emit(&mut bytes), Ok(bytes.len()));
    bytes
}

fn full() -> DhcpMessage {
    let ip = Ipv4Addr::new;
    DhcpMessage {
        secs: 9,
        broadcast: true,
        ciaddr: ip(10, 0, 2, 15),
        yiaddr: ip(10, 0, 2, 16),
        siaddr: ip(10, 0, 2, 17),
        giaddr: ip(10, 0, 2, 18),
        options: DhcpOptions {
            message_type: Some(MessageType::Ack),
            server_id: Some(ip(10, 0, 2, 2)),
            requested_ip: Some(ip(10, 0, 2, 19)),
            lease_time: Some(3600),
            renewal_time: Some(1800),
            rebinding_time: Some(3150),
            subnet_mask: Some(ip(255, 255, 255, 0)),
            broadcast_address: Some(ip(10, 0, 2, 255)),
            routers: [ip(10, 0, 2, 2), ip(10, 0, 2, 3)].into_iter().collect(),
            dns_servers: [ip(10, 0, 2, 4)].into_iter().collect(),
            mtu: Some(1400),
            max_message_size: Some(1500),
            hostname: text(b"quay"),
            domain_name: text(b"harbour.example"),
            domain_search: OptionBytes::EMPTY,
            client_id: text(&[1, 2, 0xca, 0xfe, 0, 0, 1]),
            parameter_list: text(&[option::SUBNET_MASK, option::ROUTERS]),
            message: text(b"welcome"),
        },
        ..DhcpMessage::new(Operation::Reply, 0x1122_3344, MAC)
    }
}

#[test]
fn a_discover_has_its_golden_bytes() {
    let mut message = DhcpMessage::new(Operation::Request, 0xdead_beef, MAC);
    message.secs = 1;
    message.broadcast = true;
    message.options.message_type = Some(MessageType::Discover);
    message.options.parameter_list = text(&[1, 3, 6]);
    let mut golden = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 1, 0x80, 0];
    golden.extend([0; 16]);
    golden.extend(MAC.0);
    golden.resize(236, 0);
    golden.extend([99, 130, 83, 99, 53, 1, 1, 55, 3, 1, 3, 6, 255]);
    golden.resize(300, 0);
    assert_eq!(emitted(&message), golden);
    assert_eq!(DhcpMessage::parse(&golden), Ok(message));
}

#[test]
fn every_field_and_option_survives_emit_and_parse() {
    let bytes = emitted(&full());
    assert_eq!(DhcpMessage::parse(&bytes), Ok(full()));
}

#[test]
fn the_subnet_mask_stands_before_the_routers() {
    let bytes = emitted(&full());
    let mut at = 240;
    let mut codes = vec![];
    while bytes[at] != option::END {
        codes.push(bytes[at]);
        at += 2 + usize::from(bytes[at + 1]);
    }
    let place = |code| codes.iter().position(|found| *found == code).unwrap();
    assert!(place(option::SUBNET_MASK) < place(option::ROUTERS));
    assert_eq!(codes.len(), 17);
}

#[test]
fn a_short_message_is_padded_to_300_bytes() {
    let message = DhcpMessage::new(Operation::Request, 1, MAC);
    assert_eq!(message.len(), 300);
    assert_eq!(emitted(&message)[241..], [0; 59]);
}

#[test]
fn options_that_do_not_fit_are_an_error() {
    let bytes = emitted(&full());
    for len in 0..bytes.len() {
        assert_eq!(full().emit(&mut vec![0; len]), Err(DoesNotFit));
    }
    let mut longer = vec![0xee; bytes.len() + 20];
    assert_eq!(full().emit(&mut longer), Ok(bytes.len()));
    assert_eq!(longer[bytes.len()..], [0xee; 20]);
}

#[test]
fn the_longest_options_fit_the_length_announced() {
    let mut message = full();
    let longest = text(&[b'x'; 255]);
    let options = &mut message.options;
    for option in [
        &mut options.hostname,
        &mut options.domain_name,
        &mut options.domain_search,
        &mut options.client_id,
        &mut options.message,
    ] {
        *option = longest;
    }
    assert_eq!(DhcpMessage::parse(&emitted(&message)), Ok(message));
    assert_eq!(OptionBytes::new(&[0; 256]), None);
}

#[test]
fn every_truncation_errs_or_loses_whole_options_only() {
    let bytes = emitted(&full());
    let end = bytes.len() - 1;
    for len in 0..240 {
        assert_eq!(DhcpMessage::parse(&bytes[..len]), Err(Malformed::Truncated), "length {len}");
    }
    for len in 240..=end {
        match DhcpMessage::parse(&bytes[..len]) {
            Ok(message) => assert!(message == full() || len < end),
            Err(reason) => assert_eq!(reason, Malformed::OptionLength),
        }
    }
}

#[test]
fn another_operation_hardware_or_cookie_is_refused() {
    for (at, value) in [(0, 0), (0, 3), (1, 6), (2, 8), (236, 0), (239, 0)] {
        let mut bytes = raw(&[255]);
        bytes[at] = value;
        assert_eq!(DhcpMessage::parse(&bytes), Err(Malformed::Value), "byte {at}");
    }
}

#[test]
fn a_message_type_that_does_not_exist_is_refused() {
    for code in [0, 9, 255] {
        assert_eq!(parse_options(&[53, 1, code, 255]), Err(Malformed::Value));
    }
}

#[test]
fn an_option_of_the_wrong_length_is_refused() {
    let wrong: [&[u8]; 14] = [
        &[53, 0],
        &[53, 2, 1, 1],
        &[54, 3, 1, 2, 3],
        &[51, 5, 0, 0, 0, 0, 0],
        &[58, 0],
        &[3, 0],
        &[3, 6, 1, 2, 3, 4, 5, 6],
        &[6, 3, 1, 2, 3],
        &[26, 1, 5],
        &[12, 5, b'a'],
        &[12],
        &[52, 0],
        &[52, 2, 1, 1],
        &[53, 1, 5, 53, 1, 5],
    ];
    for options in wrong {
        assert_eq!(parse_options(options), Err(Malformed::OptionLength), "{options:?}");
    }
}

#[test]
fn unknown_options_padding_and_a_missing_end_are_tolerated() {
    let options = parse_options(&[0, 0, 224, 3, 1, 2, 3, 0, 53, 1, 2]).unwrap();
    assert_eq!(options, DhcpOptions { message_type: Some(MessageType::Offer), ..DhcpOptions::NONE });
}

#[test]
fn nothing_after_the_end_option_is_read() {
    assert_eq!(parse_options(&[255, 53, 1, 99, 12, 200]), Ok(DhcpOptions::NONE));
}

#[test]
fn a_split_option_is_joined_in_order() {
    let options = parse_options(&[15, 3, b'a', b'b', b'c', 53, 1, 5, 15, 2, b'd', b'e', 255]).unwrap();
    assert_eq!(&*options.domain_name, b"abcde");
    // An address list may be cut in the midst of an address.
    let options = parse_options(&[6, 3, 10, 0, 2, 53, 1, 5, 6, 5, 3, 10, 0, 2, 4, 255]).unwrap();
    assert_eq!(*options.dns_servers, [Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(10, 0, 2, 4)]);
}

#[test]
fn pieces_beyond_what_is_kept_are_refused() {
    let mut options = vec![15, 200];
    options.extend([b'x'; 200]);
    options.extend([15, 56]);
    options.extend([b'y'; 56]);
    assert_eq!(parse_options(&options), Err(Malformed::OptionLength));
}

#[test]
fn of_a_list_of_domains_that_is_too_long_the_beginning_is_kept_and_the_message_is_not_lost() {
    let mut options = vec![53, 1, 5, 119, 200];
    options.extend([b'x'; 200]);
    options.extend([119, 56]);
    options.extend([b'y'; 56]);
    let options = parse_options(&options).unwrap();
    assert_eq!(*options.domain_search, [[b'x'; 200].as_slice(), &[b'y'; 55]].concat());
    assert_eq!(options.message_type, Some(MessageType::Ack));
}

/// A message whose `file` and `sname` hold these options, overloaded as `overload` says.
fn overloaded(overload: u8, file: &[u8], sname: &[u8]) -> Vec<u8> {
    let mut bytes = raw(&[52, 1, overload, 15, 1, b'a', 255]);
    bytes[108..108 + file.len()].copy_from_slice(file);
    bytes[44..44 + sname.len()].copy_from_slice(sname);
    bytes
}

#[test]
fn overloaded_fields_are_read_as_the_overload_option_says() {
    let (file, sname) = ([15, 1, b'b', 12, 1, b'f', 255], [15, 1, b'c', 56, 1, b's', 255]);
    for (overload, domain_name, hostname, message) in
        [(1, &b"ab"[..], &b"f"[..], &b""[..]), (2, b"ac", b"", b"s"), (3, b"abc", b"f", b"s")]
    {
        let options = DhcpMessage::parse(&overloaded(overload, &file, &sname)).unwrap().options;
        let read = (&*options.domain_name, &*options.hostname, &*options.message);
        assert_eq!(read, (domain_name, hostname, message), "overload {overload}");
    }
}

#[test]
fn fields_that_are_not_overloaded_are_not_options() {
    let mut bytes = raw(&[53, 1, 2, 255]);
    bytes[44..108].fill(b'x');
    bytes[108..236].fill(b'y');
    assert!(DhcpMessage::parse(&bytes).is_ok());
}

#[test]
fn a_malformed_overload_is_refused() {
    assert_eq!(DhcpMessage::parse(&overloaded(0, &[], &[])), Err(Malformed::Value));
    assert_eq!(DhcpMessage::parse(&overloaded(4, &[], &[])), Err(Malformed::Value));
    assert_eq!(DhcpMessage::parse(&overloaded(1, &[12, 127], &[])), Err(Malformed::OptionLength));
    assert_eq!(DhcpMessage::parse(&overloaded(2, &[], &[12, 63])), Err(Malformed::OptionLength));
    // One field's option does not reach into the next.
    assert!(DhcpMessage::parse(&overloaded(2, &[], &[12, 62])).is_ok());
}

#[test]
fn sizes_below_their_minimum_say_nothing() {
    let options = parse_options(&[26, 2, 0, 67, 57, 2, 0x02, 0x3f, 53, 1, 5, 255]).unwrap();
    assert_eq!((options.mtu, options.max_message_size), (None, None));
    assert_eq!(options.message_type, Some(MessageType::Ack));
    let options = parse_options(&[26, 2, 0, 68, 57, 2, 0x02, 0x40, 255]).unwrap();
    assert_eq!((options.mtu, options.max_message_size), (Some(68), Some(576)));
}

#[test]
fn a_longer_list_gives_its_first_addresses() {
    let mut options = vec![6, 40];
    for last in 1..=10 {
        options.extend([10, 0, 0, last]);
    }
    let servers = parse_options(&options).unwrap().dns_servers;
    assert_eq!(servers.len(), Addresses::MAX);
    assert_eq!(servers[7], Ipv4Addr::new(10, 0, 0, 8));
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    let overloaded = overloaded(3, &[15, 1, b'b', 255], &[12, 1, b'c', 255]);
    for golden in [&emitted(&full())[240..], &[52, 1, 3, 15, 1, b'a', 255]] {
        with_noise(golden, 100, |options| {
            let mut bytes = overloaded[..240].to_vec();
            bytes.extend(options);
            let Ok(message) = DhcpMessage::parse(&bytes) else { return };
            assert_eq!(DhcpMessage::parse(&emitted(&message)), Ok(message));
        });
    }
    with_noise(&overloaded, 300, |bytes| {
        let _ = DhcpMessage::parse(bytes);
    });
}

#[test]
fn reserved_flags_are_ignored() {
    let mut bytes = raw(&[255]);
    bytes[10..12].copy_from_slice(&[0x7f, 0xff]);
    assert!(!DhcpMessage::parse(&bytes).unwrap().broadcast);
    bytes[10] = 0x80;
    assert!(DhcpMessage::parse(&bytes).unwrap().broadcast);
}
