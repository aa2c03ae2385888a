//! Copying and summing in one pass gives the bytes and the Internet checksum, however the bytes are cut.

use wharf_ring as ring;
use wharf_ring::Span;
use wire::checksum::Sum;

/// RFC 1071 by the letter: big-endian words one after the other.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pattern(len: usize) -> Vec<u8> {
    let mut state = len as u32 ^ 0x9e37_79b9;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// Ones-complement zero has two forms, which mean the same sum.
fn assert_same(sum: Sum, bytes: &[u8], what: &str) {
    assert_eq!(sum.finish() % 0xffff, naive(bytes) % 0xffff, "{what}");
}

#[test]
fn one_pass_equals_a_naive_sum_at_every_length_and_alignment() {
    let all = pattern(400);
    for from in 0..17 {
        for len in 0..260 {
            let bytes = &all[from..from + len];
            let span = Span::from_slice(bytes);
            let mut to = vec![0; len + from % 8];
            let at = to.len() - len;
            assert_same(span.copy_to_and_sum(&mut to[at..]), bytes, &format!("{from}+{len}"));
            assert_eq!(&to[at..], bytes);
            assert_same(span.sum(), bytes, &format!("{from}+{len}"));
        }
    }
}

#[test]
fn long_spans_of_ones_do_not_overflow_the_accumulators() {
    for len in [65535, 65536, 1 << 20, (1 << 20) + 3] {
        let bytes = vec![0xff; len];
        let mut to = vec![0; len];
        assert_same(Span::from_slice(&bytes).copy_to_and_sum(&mut to), &bytes, &format!("{len}"));
        assert_eq!(to, bytes);
    }
}

#[test]
fn ranges_over_odd_pieces_sum_as_one() {
    let all = pattern(700);
    let (first, rest) = all.split_at(13);
    let (second, rest) = rest.split_at(1);
    let (third, fourth) = rest.split_at(257);
    let pieces = [first, &[], second, third, fourth].map(Span::from_slice);
    assert_eq!(ring::total_len(&pieces), all.len());
    for offset in 0..40 {
        for len in [0, 1, 2, 12, 13, 14, 15, 100, 271, 272, 500, 660] {
            let expected = &all[offset..offset + len];
            let mut to = vec![0; len];
            assert_same(ring::copy_range_and_sum(&pieces, offset, &mut to), expected, &format!("{offset}+{len}"));
            assert_eq!(to, expected);
            assert_same(ring::sum_range(&pieces, offset, len), expected, &format!("{offset}+{len}"));
            to.fill(0);
            ring::copy_range(&pieces, offset, &mut to);
            assert_eq!(to, expected);
        }
    }
}

#[test]
#[should_panic(expected = "spans end 1 bytes before the range")]
fn a_range_past_the_spans_is_refused() {
    ring::copy_range(&[Span::from_slice(&[1, 2, 3])], 1, &mut [0; 3]);
}

#[test]
fn a_segment_is_summed_on_its_way_into_and_out_of_a_ring() {
    // A first chunk of 64 bytes and an odd position put several odd pieces under each segment.
    let (mut producer, mut consumer) = ring::heap_with_first_chunk(2000, 64);
    let mut out = vec![0; 2000];
    assert_eq!(producer.write(&[7; 33]), 33);
    for len in 1..300 {
        let bytes = pattern(len);
        let sum = producer.write_at_and_sum(0, &bytes).expect("room");
        assert_same(sum, &bytes, &format!("in, {len}"));
        producer.publish(len);
        let before = consumer.len() - len;
        let (n, sum) = consumer.copy_at_and_sum(before, &mut out[..len]);
        assert_eq!((n, &out[..len]), (len, &bytes[..]));
        assert_same(sum, &bytes, &format!("out, {len}"));
        let spans = consumer.spans(before, len);
        let part = spans.len().min(len);
        assert_same(ring::sum_range(spans.as_slice(), 0, part), &bytes[..part], &format!("spans, {len}"));
        consumer.consume(before.min(len + 1));
    }
    assert!(producer.write_at_and_sum(1990, &[0; 11]).is_none());
}
