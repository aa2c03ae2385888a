//! What needs no server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::escape::{Escape, Heard};
use super::socks;

fn heard(pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut escape = Escape::new(b'~');
    let mut all = Vec::new();
    for piece in pieces {
        match escape.hear(piece) {
            Heard::Bytes(bytes) => all.extend(bytes),
            Heard::End => return None,
        }
    }
    Some(all)
}

#[test]
fn the_escape_counts_at_the_start_of_a_line_only() {
    assert_eq!(heard(&[b"a~.\r"]).unwrap(), b"a~.\r");
    assert!(heard(&[b"ls\r~."]).is_none() && heard(&[b"~", b"."]).is_none());
    assert_eq!(heard(&[b"~~.\r~x"]).unwrap(), b"~.\r~x");
    assert_eq!(heard(&[b"\r~", b"?", b"y"]).unwrap(), b"\ry");
}

async fn socks(request: &'static [u8]) -> (Option<(String, u16)>, Vec<u8>) {
    let (mut client, mut server) = tokio::io::duplex(1024);
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let asked = socks::asked(&mut server).await;
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    (asked, answer)
}

#[tokio::test]
async fn socks_names_hosts_in_three_ways_and_everything_else_is_refused() {
    let name = socks(b"\x05\x02\x02\x00\x05\x01\x00\x03\x04host\x00\x50").await;
    assert_eq!(name, (Some(("host".to_owned(), 80)), b"\x05\x00".to_vec()));
    let four = socks(b"\x05\x01\x00\x05\x01\x00\x01\x0a\x09\x00\x01\x01\xbb").await;
    assert_eq!(four.0, Some(("10.9.0.1".to_owned(), 443)));
    let six = socks(b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x16").await;
    assert_eq!(six.0, Some(("::1".to_owned(), 22)));
    assert_eq!(socks(b"\x05\x01\x02").await, (None, b"\x05\xff".to_vec()));
    let bind = socks(b"\x05\x01\x00\x05\x02\x00\x01\x0a\x09\x00\x01\x01\xbb").await;
    assert_eq!((bind.0, bind.1[3]), (None, 7));
    let kind = socks(b"\x05\x01\x00\x05\x01\x00\x09").await;
    assert_eq!((kind.0, kind.1[3]), (None, 8));
    for request in [&b"\x04\x01"[..], b"", b"\x05", b"\x05\x01\x00\x05\x01\x00\x03\x04ho"] {
        assert_eq!(socks(request).await.0, None);
    }
}
