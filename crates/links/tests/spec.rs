//! Names of links, read, written and opened.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use device::{Device, TxChecksum, TxFrame};
use wharf_links::spec::{LinkSpec, LinkSpecError};
use wharf_links::{Link, OpenError};

#[test]
fn names_are_read_and_written_alike() {
    let cases = [
        ("user", LinkSpec::User),
        ("tap:tap0", LinkSpec::Tap("tap0".to_owned())),
        ("tap:fifteen-letters", LinkSpec::Tap("fifteen-letters".to_owned())),
        ("tap:fd", LinkSpec::Tap("fd".to_owned())),
        ("fd:0", LinkSpec::Fd(0)),
        ("fd:5", LinkSpec::Fd(5)),
        ("fd:2147483647", LinkSpec::Fd(i32::MAX)),
    ];
    for (text, spec) in cases {
        assert_eq!(text.parse(), Ok(spec.clone()));
        assert_eq!(spec.to_string(), text);
    }
    assert_eq!(LinkSpec::default(), LinkSpec::User);
}

#[test]
fn what_names_no_link_is_refused_with_what_was_expected() {
    let error = |text: &str| text.parse::<LinkSpec>().unwrap_err();
    for text in ["", "users", "User", "user:", "tap", "tap0", "fd", "eth0", "vde:/tmp/x", " user"] {
        assert_eq!(error(text), LinkSpecError::Kind(text.to_owned()));
        assert!(error(text).to_string().contains("expected user, tap:NAME or fd:N"));
    }
    for name in ["", "sixteen-letters-", "tap 0", "a/b", "a:b", "tap%d", ".", ".."] {
        assert_eq!(error(&format!("tap:{name}")), LinkSpecError::TapName(name.to_owned()));
    }
    for number in ["", "-1", "+5", " 5", "5 ", "five", "2147483648", "0x5"] {
        assert_eq!(error(&format!("fd:{number}")), LinkSpecError::FdNumber(number.to_owned()));
    }
}

#[test]
fn descriptor_is_opened_by_number_and_stays_open() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let spec = LinkSpec::Fd(ours.as_raw_fd());
    for mtu in [None, Some(9000)] {
        let mut link = spec.open_with_mtu(mtu).unwrap();
        assert_eq!(link.name(), spec.to_string());
        assert_eq!(link.capabilities().mtu, mtu.unwrap_or(1500));
        let frame = TxFrame { header: b"hail", payload: &[], checksum: TxChecksum::Complete, segment_size: None };
        link.transmit(&frame).unwrap();
        assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 4);
    }
    assert_eq!(ours.send(b"still open").unwrap(), 10);
}

#[test]
fn number_that_is_not_open_is_told() {
    let error = LinkSpec::Fd(987_654).open().map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::NotOpen(987_654)));
    assert!(error.to_string().contains("fd:987654 is not open"), "{error}");
}

#[test]
fn user_link_is_opened_with_its_mtu() {
    let link = LinkSpec::User.open_with_mtu(Some(9000)).unwrap();
    assert_eq!((link.name(), link.capabilities().mtu), ("user", 9000));
    assert!(link.is_private());
    let error = LinkSpec::User.open_with_mtu(Some(100)).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::User(_)), "{error}");
}
