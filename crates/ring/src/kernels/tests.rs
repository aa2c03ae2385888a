//! All kernels copy alike and agree on the sum.

extern crate std;
use std::vec;
use std::vec::Vec;

use super::*;

fn modulo(sum: u64) -> u64 {
    sum % 0xffff
}

#[test]
fn every_kernel_gives_the_same_copy_and_the_same_sum() {
    for blocks in [0usize, 1, 2, 3, 7, 8, 9, 17, 100, MOST / BLOCK] {
        for fill in 0..3u8 {
            let len = blocks * BLOCK;
            // Unaligned on both sides.
            let from: Vec<u8> =
                (0..len as u32 + 3).map(|i| [0xff, 0, ((i * 151) >> 3) as u8][usize::from(fill)]).collect();
            let bytes = &from[3..];
            let expected = bytes.chunks(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]]))).sum();
            type Kernel = unsafe fn(*const u8, *mut u8, usize) -> u64;
            let mut kernels: Vec<Kernel> = vec![portable::<true>, super::blocks::<true>];
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            {
                kernels.push(x86_64::sse2::<true>);
                if len > 0 && x86_64::has_avx2() {
                    kernels.push(x86_64::avx2::<true>);
                }
            }
            for kernel in kernels {
                let mut to = vec![0; len + 2];
                // SAFETY: both are `len` bytes long; AVX2 is there.
                let sum = unsafe { kernel(bytes.as_ptr(), to[1..].as_mut_ptr(), len) };
                assert_eq!(modulo(sum), modulo(expected));
                assert_eq!(&to[1..=len], bytes);
                assert_eq!((to[0], to[len + 1]), (0, 0), "a byte too many");
            }
        }
    }
}

#[test]
fn copies_of_any_length_and_alignment_are_whole_and_no_byte_longer() {
    let from: Vec<u8> = (0..70_000u32).map(|i| ((i * 151) >> 3) as u8).collect();
    let mut to = vec![0xaa; from.len() + 64];
    let lengths = (0..1200).chain([1460, 1514, 4095, 4096, 4097, 65_535, 65_536, 65_537]);
    for (round, len) in lengths.enumerate() {
        let (from_at, at) = (round % 37, 1 + round % 33);
        // SAFETY: both have as many bytes.
        unsafe { super::copy(from[from_at..].as_ptr(), to[at..].as_mut_ptr(), len) };
        assert_eq!(to[at..at + len], from[from_at..from_at + len], "{len} bytes");
        assert_eq!((to[at - 1], to[at + len]), (0xaa, 0xaa), "a byte too many of {len}");
        to[at..at + len].fill(0xaa);
    }
}

#[test]
fn sums_of_any_even_length_count_every_word_once() {
    for len in (BLOCK..2200).chain(MOST - 2 * BLOCK..=MOST).filter(|len| len % 2 == 0) {
        for fill in [0xffu8, 0x80, 0x7f, 0] {
            let from: Vec<u8> = (0..len as u32 + 3).map(|i| fill ^ ((i * 151) >> 3) as u8).collect();
            let bytes = &from[3..];
            let expected = bytes.chunks(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]]))).sum();
            let mut to = vec![0; len + 2];
            // SAFETY: both are `len` bytes long.
            let sum = unsafe { at_once::<true>(bytes.as_ptr(), to[1..].as_mut_ptr(), len) };
            let Some(sum) = sum else { return };
            assert_eq!(modulo(sum), modulo(expected), "{len} bytes");
            assert_eq!(&to[1..=len], bytes);
            assert_eq!((to[0], to[len + 1]), (0, 0), "a byte too many of {len}");
        }
    }
}

/// Every word the largest or the smallest, in every lane: more than one part of it at a time would not fit the lanes.
#[test]
fn a_long_run_is_summed_in_parts() {
    for byte in [0x00u8, 0x7f, 0x80, 0xff] {
        let from = vec![byte; 5 * MOST + 3 * BLOCK];
        let expected = from.chunks(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]]))).sum();
        let mut to = vec![0; from.len()];
        // SAFETY: both are of that length.
        let sums = unsafe {
            [
                super::blocks::<false>(from.as_ptr(), core::ptr::null_mut(), from.len()),
                super::blocks::<true>(from.as_ptr(), to.as_mut_ptr(), from.len()),
            ]
        };
        assert_eq!(sums.map(modulo), [modulo(expected); 2]);
        assert_eq!(to, from);
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[test]
fn detection_agrees_with_the_standard_library() {
    assert_eq!(x86_64::has_avx2(), std::is_x86_feature_detected!("avx2"));
}
