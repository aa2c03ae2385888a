//! Codings undone in pieces of every size, bounds, and streams that are cut, damaged or not what they say.

use ::http::header::{CONTENT_ENCODING, HeaderValue};
use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, DeflateEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder};

use super::{CodingError, Codings, DecodingBounds, Pulled};

/// `plain` as `encoder` codes it.
fn coded(mut encoder: impl EncodeV2, plain: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut input = PartialBuffer::new(plain);
    while !input.unwritten().is_empty() {
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        encoder.encode(&mut input, &mut output).unwrap();
        coded.extend_from_slice(output.written());
    }
    loop {
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        let whole = encoder.finish(&mut output).unwrap();
        coded.extend_from_slice(output.written());
        if whole {
            return coded;
        }
    }
}

fn code(name: &str, plain: &[u8]) -> Vec<u8> {
    match name {
        "gzip" | "x-gzip" => coded(GzipEncoder::new(Level::Default.into()), plain),
        "deflate" => coded(ZlibEncoder::new(Level::Default.into()), plain),
        "br" => coded(BrotliEncoder::new(EncoderParams::default().quality(Level::Precise(4))), plain),
        "zstd" => coded(ZstdEncoder::new(3), plain),
        _ => unreachable!(),
    }
}

const ALL: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn headers(encoding: &str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap())])
}

fn codings(encoding: &str) -> Result<Option<Codings>, CodingError> {
    Codings::of(&Method::GET, StatusCode::OK, &headers(encoding))
}

/// What comes out of `bytes`, fed in pieces of `piece` bytes.
fn decode(encoding: &str, bytes: &[u8], piece: usize, bounds: DecodingBounds) -> Result<Vec<u8>, CodingError> {
    let mut decoder = codings(encoding)?.unwrap().decoder(bounds);
    let mut pieces = bytes.chunks(piece);
    let mut plain = Vec::new();
    loop {
        match decoder.pull()? {
            Pulled::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                plain.extend_from_slice(&bytes);
            }
            Pulled::Hungry => match pieces.next() {
                Some(piece) => decoder.feed(Bytes::copy_from_slice(piece)),
                None => decoder.end(),
            },
            Pulled::End => return Ok(plain),
        }
    }
}

fn whole(encoding: &str, bytes: &[u8]) -> Result<Vec<u8>, CodingError> {
    decode(encoding, bytes, 4096, DecodingBounds::default())
}

/// Text that neither compresses to nothing nor stays as it is.
fn text(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|n: u64| format!("line {n} {:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes())
        .take(length)
        .collect()
}

#[test]
fn every_coding_is_undone_in_pieces_of_every_size() {
    let plain = text(300_000);
    for name in ALL {
        let bytes = code(name, &plain);
        assert!(bytes.len() < plain.len());
        for piece in [1, 7, 1000, 65_536, bytes.len()] {
            let got = decode(name, &bytes, piece, DecodingBounds::default()).unwrap();
            assert!(got == plain, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn names_are_read_without_regard_to_case_and_identity_is_nothing() {
    let plain = text(1000);
    assert_eq!(whole("X-GZIP", &code("gzip", &plain)).unwrap(), plain);
    assert_eq!(codings("identity").unwrap(), None);
    assert_eq!(codings(" , ").unwrap(), None);
    assert_eq!(codings("compress"), Err(CodingError::Unknown("compress".to_owned())));
}

#[test]
fn a_bare_deflate_stream_is_told_from_a_zlib_stream() {
    let plain = text(10_000);
    for piece in [1, 5000] {
        let bytes = coded(DeflateEncoder::new(Level::Default.into()), &plain);
        assert_eq!(decode("deflate", &bytes, piece, DecodingBounds::default()).unwrap(), plain);
    }
}

#[test]
fn codings_in_a_row_are_undone_from_the_last_to_the_first() {
    let plain = text(50_000);
    let bytes = code("br", &code("gzip", &plain));
    assert_eq!(whole("gzip, br", &bytes).unwrap(), plain);
    assert!(matches!(whole("br, gzip", &bytes), Err(CodingError::Damaged { coding: "gzip", .. })));
    let four = code("gzip", &code("zstd", &bytes));
    assert_eq!(whole("gzip, br, zstd, gzip", &four).unwrap(), plain);
    assert_eq!(codings("gzip, br, zstd, gzip, gzip"), Err(CodingError::TooMany(5)));
}

#[test]
fn members_and_frames_that_follow_each_other_are_one_body() {
    let (one, two) = (text(70_000), text(1000));
    for name in ["gzip", "zstd"] {
        let bytes = [code(name, &one), code(name, &two)].concat();
        for piece in [1, 4096, bytes.len()] {
            let got = decode(name, &bytes, piece, DecodingBounds::default()).unwrap();
            assert!(got == [one.clone(), two.clone()].concat(), "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_an_error() {
    let plain = text(3000);
    for name in ALL {
        let bytes = code(name, &plain);
        for length in 1..bytes.len() {
            let error = whole(name, &bytes[..length]).unwrap_err();
            assert!(
                matches!(error, CodingError::Truncated(_) | CodingError::Damaged { .. }),
                "{name} {length}: {error}"
            );
        }
    }
}

#[test]
fn bytes_after_the_end_and_damage_are_errors() {
    let plain = text(3000);
    for name in ALL {
        let mut longer = code(name, &plain);
        longer.extend_from_slice(b"and more of it");
        assert!(matches!(whole(name, &longer), Err(CodingError::Damaged { .. })), "{name}");
        assert!(matches!(whole(name, b"<html>not coded at all</html>"), Err(CodingError::Damaged { .. })), "{name}");
    }
    let mut damaged = code("gzip", &plain);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    assert!(whole("gzip", &damaged).is_err());
}

#[test]
fn an_empty_body_is_empty_whatever_its_coding() {
    for name in ALL {
        assert_eq!(whole(name, b"").unwrap(), b"");
        assert_eq!(whole(name, &code(name, b"")).unwrap(), b"");
    }
}

#[test]
fn a_bomb_is_refused_long_before_it_has_gone_off() {
    let zeros = vec![0; 64 << 20];
    let bounds = DecodingBounds { ratio: 100, free: 1 << 20, ..DecodingBounds::default() };
    for name in ALL {
        let bytes = code(name, &zeros);
        match decode(name, &bytes, 1024, bounds) {
            Err(CodingError::Bomb { decoded, ratio: 100, .. }) => assert!(decoded < 4 << 20, "{name}: {decoded}"),
            other => panic!("{name}: {:?}", other.map(|plain| plain.len())),
        }
    }
    // A bomb that comes out small: what is inside it is a bomb all the same.
    let inner = code("gzip", &code("gzip", &zeros));
    assert!(matches!(decode("gzip, gzip", &inner, 1024, bounds), Err(CodingError::Bomb { .. })));
}

#[test]
fn the_bound_on_the_whole_holds_whatever_the_ratio() {
    let plain = text(200_000);
    for name in ALL {
        let bytes = code(name, &plain);
        let bounds = DecodingBounds { bytes: 100_000, ..DecodingBounds::default() };
        assert_eq!(decode(name, &bytes, 1024, bounds), Err(CodingError::TooLarge(100_000)), "{name}");
        let bounds = DecodingBounds { bytes: 200_000, ..DecodingBounds::default() };
        assert_eq!(decode(name, &bytes, 1024, bounds).unwrap().len(), 200_000, "{name}");
    }
}

#[test]
fn what_has_no_body_or_only_a_part_of_one_is_left_alone() {
    let gzip = headers("gzip");
    for (method, status) in [
        (Method::HEAD, StatusCode::OK),
        (Method::GET, StatusCode::NO_CONTENT),
        (Method::GET, StatusCode::NOT_MODIFIED),
        (Method::GET, StatusCode::PARTIAL_CONTENT),
    ] {
        assert_eq!(Codings::of(&method, status, &gzip), Ok(None), "{method} {status}");
    }
    // Even a coding that is not known does no harm there.
    assert_eq!(Codings::of(&Method::HEAD, StatusCode::OK, &headers("compress")), Ok(None));
}

/// Streams mutated at random from a printed seed: whatever happens, nothing panics, and nothing runs for ever.
#[test]
fn no_mutation_of_a_stream_panics_or_gives_more_than_the_bounds() {
    let plain = text(2000);
    let bounds = DecodingBounds { bytes: 1 << 20, ratio: 50, free: 1 << 16 };
    let mut state = 0x5eed_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for name in ALL {
        let bytes = code(name, &plain);
        for _ in 0..500 {
            let mut mutated = bytes.clone();
            for _ in 0..1 + random() % 4 {
                let at = random() as usize % mutated.len();
                mutated[at] = random() as u8;
            }
            if let Ok(plain) = decode(name, &mutated, 1 + random() as usize % 500, bounds) {
                assert!(plain.len() as u64 <= bounds.bytes);
            }
        }
    }
}
