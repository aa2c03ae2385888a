//! The inner loops of copying and summing: whole blocks of 32 bytes, for the vectors that the processor has.
//!
//! Called by `copy` alone. Each summing kernel reads every byte once, writes it if COPY, and returns a sum that is congruent
//! to that of the 16-bit words in memory's order modulo 2^16 - 1 (RFC 1071 section 2).
//!
//! The vector kernels take a 16-bit word as a signed one, half its range less, so that one instruction multiplies by one
//! and adds neighbours, into lanes of 32 bits: three instructions a vector, and what was taken away is given back in the
//! end. [`MOST`] keeps all lanes together within 32 bits.

/// Bytes in a block.
pub(crate) const BLOCK: usize = 32;
/// Bytes of a step, where as many are left.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
const STEP: usize = 512;
/// Bytes that a vector kernel takes at once: 2^15 words of which each adds up to 2^15.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
const MOST: usize = 1 << 16;
/// Twice as many bytes are copied as two halves of this, and fewer as two that overlap, down to this many.
const HALF: usize = 32;
/// Copies of these lengths are not left to the C library, which takes a third more instructions for them, and up to a
/// quarter more time: fewer bytes are one or two vectors to it, and beyond this it knows the caches better.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
const COPIED_HERE: core::ops::RangeInclusive<usize> = 256..=1 << 16;

/// Copies `len` bytes.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, and they do not overlap.
#[inline(always)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    if COPIED_HERE.contains(&len) && x86_64::has_avx2() {
        // SAFETY: the caller's promise, and AVX2 was found.
        return unsafe { x86_64::copy_avx2(from, to, len) };
    }
    // A small message, or the headers of a frame: two overlapping halves take less than the call.
    if len.wrapping_sub(HALF) <= HALF {
        // SAFETY: the caller's promise; each half lies within `len`. Both are read before one is written.
        unsafe {
            let first: [u8; HALF] = from.cast::<[u8; HALF]>().read();
            let last: [u8; HALF] = from.add(len - HALF).cast::<[u8; HALF]>().read();
            to.cast::<[u8; HALF]>().write(first);
            to.add(len - HALF).cast::<[u8; HALF]>().write(last);
        }
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy_nonoverlapping(from, to, len) }
}

/// Copies, if COPY, and sums `len` bytes, any even number but a small one; `None`, with nothing done, where only
/// [`blocks`] will do.
///
/// # Safety
/// As for [`blocks`].
#[inline(always)]
pub(crate) unsafe fn at_once<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> Option<u64> {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    if (BLOCK..=MOST).contains(&len) && len.is_multiple_of(2) && x86_64::has_avx2() {
        // SAFETY: the caller's promise, and AVX2 was found.
        return Some(unsafe { x86_64::avx2::<COPY>(from, to, len) });
    }
    let _ = (from, to, len);
    None
}

/// Copies, if COPY, and sums `len` bytes, a multiple of [`BLOCK`].
///
/// # Safety
/// `from` is readable for `len` bytes; if COPY, `to` is writable for as many and they do not overlap.
#[inline]
pub(crate) unsafe fn blocks<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: the caller's promise; the AVX2 kernel runs only where `has_avx2` found it.
    unsafe {
        if len == 0 {
            0
        } else if len > MOST {
            in_parts::<COPY>(from, to, len)
        } else if x86_64::has_avx2() {
            x86_64::avx2::<COPY>(from, to, len)
        } else {
            x86_64::sse2::<COPY>(from, to, len)
        }
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    // SAFETY: the caller's promise.
    unsafe {
        portable::<COPY>(from, to, len)
    }
}

/// More than a vector kernel takes at once.
///
/// # Safety
/// As for [`blocks`].
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(never)]
unsafe fn in_parts<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
    // SAFETY: the caller's promise, for each part, a multiple of a block.
    let part = |at: usize| unsafe { blocks::<COPY>(from.add(at), to.wrapping_add(at), MOST.min(len - at)) };
    (0..len).step_by(MOST).map(part).sum()
}

/// Any processor: 64-bit words, two to a step.
///
/// # Safety
/// As for [`blocks`].
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
unsafe fn portable<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
    let mut sums = [0u64; 2];
    for offset in (0..len).step_by(16) {
        // SAFETY: 16 bytes remain, `len` being a multiple of them.
        let words: [u64; 2] = unsafe { from.add(offset).cast::<[u64; 2]>().read_unaligned() };
        if COPY {
            // SAFETY: as above.
            unsafe { to.add(offset).cast::<[u64; 2]>().write_unaligned(words) };
        }
        sums[0] += (words[0] & 0xffff_ffff) + (words[0] >> 32);
        sums[1] += (words[1] & 0xffff_ffff) + (words[1] >> 32);
    }
    sums[0] + sums[1]
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod x86_64 {
    use core::arch::x86_64::*;
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::{BLOCK, STEP};

    const UNKNOWN: u8 = 0;
    const ABSENT: u8 = 1;
    const PRESENT: u8 = 2;

    /// What was found; the same for every thread, so that a race only finds it twice.
    static AVX2: AtomicU8 = AtomicU8::new(UNKNOWN);

    #[inline]
    pub(super) fn has_avx2() -> bool {
        let found = AVX2.load(Ordering::Relaxed);
        found == PRESENT || (found == UNKNOWN && detect_avx2())
    }

    /// Whether the processor has AVX2 and the system keeps its registers (Intel SDM volume 1, section 14.7.1): std's
    /// macro for it is not in core.
    #[cold]
    fn detect_avx2() -> bool {
        const OSXSAVE: u32 = 1 << 27;
        const AVX: u32 = 1 << 28;
        const AVX2_BIT: u32 = 1 << 5;
        const XMM_AND_YMM: u64 = 6;
        let features = __cpuid(1).ecx;
        let present = features & (OSXSAVE | AVX) == OSXSAVE | AVX
            // SAFETY: OSXSAVE says that xgetbv exists and is allowed.
            && unsafe { _xgetbv(0) } & XMM_AND_YMM == XMM_AND_YMM
            && __cpuid(0).eax >= 7
            && __cpuid_count(7, 0).ebx & AVX2_BIT != 0;
        AVX2.store(if present { PRESENT } else { ABSENT }, Ordering::Relaxed);
        present
    }

    /// Copies `len` bytes by vectors of 32, stored where they are aligned: a store that crosses cache lines takes twice as
    /// long. The first and the last vector overlap with those between them.
    ///
    /// # Safety
    /// As for [`copy`](super::copy), of 64 bytes at least, and [`has_avx2`] is true.
    #[target_feature(enable = "avx2")]
    #[inline(never)]
    pub(super) unsafe fn copy_avx2(from: *const u8, to: *mut u8, len: usize) {
        const WIDTH: usize = size_of::<__m256i>();
        debug_assert!(len >= 2 * WIDTH, "{len} bytes");
        // SAFETY: each vector lies within `len`: the first, the last, and whole ones from the first aligned place on, which is at
        // most a vector's width from the beginning.
        unsafe {
            let last = _mm256_loadu_si256(from.add(len - WIDTH).cast());
            let last_to = to.add(len - WIDTH);
            _mm256_storeu_si256(to.cast(), _mm256_loadu_si256(from.cast()));
            let skip = WIDTH - to.addr() % WIDTH;
            let (from, to, len) = (from.add(skip), to.add(skip), len - skip);
            let mut offset = 0;
            // So many bytes, which is known to the compiler: no loop remains.
            macro_rules! step {
                ($bytes:expr) => {{
                    for index in 0..$bytes / WIDTH {
                        let vector = _mm256_loadu_si256(from.add(offset + index * WIDTH).cast());
                        _mm256_store_si256(to.add(offset + index * WIDTH).cast(), vector);
                    }
                    offset += $bytes;
                }};
            }
            while offset + STEP <= len {
                step!(STEP);
            }
            if len & (STEP / 2) != 0 {
                step!(STEP / 2);
            }
            if len & (STEP / 4) != 0 {
                step!(STEP / 4);
            }
            if len & (STEP / 8) != 0 {
                step!(STEP / 8);
            }
            if len & WIDTH != 0 {
                step!(WIDTH);
            }
            debug_assert!(len - offset < WIDTH, "the last vector has the rest");
            _mm256_storeu_si256(last_to.cast(), last);
        }
    }

    /// The sum of four lanes of 32 bits.
    #[inline(always)]
    fn total(lanes: __m128i) -> i32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe {
            let pairs = _mm_add_epi32(lanes, _mm_shuffle_epi32::<0b01_00_11_10>(lanes));
            _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32::<0b10_11_00_01>(pairs)))
        }
    }

    /// The sum of eight lanes of 32 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn total_of_eight(lanes: __m256i) -> i32 {
        total(_mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes)))
    }

    /// Of whole blocks nothing is left over.
    #[inline(always)]
    fn no_rest<const COPY: bool>(_: *const u8, _: *mut u8, len: usize) -> (__m128i, usize) {
        debug_assert_eq!(len % BLOCK, 0, "whole blocks");
        // SAFETY: every x86-64 processor has SSE2.
        (unsafe { _mm_setzero_si128() }, 0)
    }

    /// The last vector, copied if COPY, with zeros in place of what belongs to whole blocks; and how many words it stands for.
    ///
    /// # Safety
    /// As for the kernel.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn last_vector<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> (__m256i, usize) {
        /// From its n-th byte on: a vector that leaves the last n bytes of another.
        static LAST: [u8; 2 * BLOCK] = {
            let mut bytes = [0; 2 * BLOCK];
            bytes.split_at_mut(BLOCK).1.copy_from_slice(&[0xff; BLOCK]);
            bytes
        };
        debug_assert!(len >= BLOCK && len.is_multiple_of(2), "{len} bytes");
        // SAFETY: at least a vector's width of bytes is there, and less than one is left over.
        unsafe {
            let vector = _mm256_loadu_si256(from.add(len - BLOCK).cast());
            if COPY {
                _mm256_storeu_si256(to.add(len - BLOCK).cast(), vector);
            }
            let mask = _mm256_loadu_si256(LAST.as_ptr().add(len % BLOCK).cast());
            (_mm256_and_si256(vector, mask), BLOCK / 2)
        }
    }

    macro_rules! kernel {
        ($(#[$attribute:meta])* $name:ident, $vector:ty, $zero:ident, $load:ident, $store:ident, $xor:ident, $words:ident,
         $add_pairs:ident, $add:ident, $total:ident, $rest:ident) => {
            $(#[$attribute])*
            pub(super) unsafe fn $name<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
                const WIDTH: usize = size_of::<$vector>();
                // SAFETY: the blocks read, and written if COPY, lie within `len`; the instructions exist, as the
                // caller says.
                unsafe {
                    let (half, ones) = ($words(i16::MIN), $words(1));
                    // What is no whole block comes first, because a block may be stored over it: what is summed is what stays.
                    let (rest, rest_words) = $rest::<COPY>(from, to, len);
                    let mut sums = [$zero(); 2];
                    if rest_words > 0 {
                        sums[1] = $add_pairs($xor(rest, half), ones);
                    }
                    let mut offset = 0;
                    // So many bytes, which is known to the compiler: no loop remains.
                    macro_rules! step {
                        ($bytes:expr) => {{
                            for index in 0..$bytes / WIDTH {
                                let vector = $load(from.add(offset + index * WIDTH).cast());
                                if COPY {
                                    $store(to.add(offset + index * WIDTH).cast(), vector);
                                }
                                sums[index % 2] = $add(sums[index % 2], $add_pairs($xor(vector, half), ones));
                            }
                            offset += $bytes;
                        }};
                    }
                    let whole = len & !(STEP - 1);
                    while offset < whole {
                        step!(STEP);
                    }
                    if len & (STEP / 2) != 0 {
                        step!(STEP / 2);
                    }
                    if len & (STEP / 4) != 0 {
                        step!(STEP / 4);
                    }
                    if len & (STEP / 8) != 0 {
                        step!(STEP / 8);
                    }
                    if len & BLOCK != 0 {
                        step!(BLOCK);
                    }
                    debug_assert_eq!(offset, len / BLOCK * BLOCK, "all whole blocks");
                    // Hardly more than MOST bytes, so that this does not wrap, and with its half given back no word is negative.
                    let sum = i64::from($total($add(sums[0], sums[1])));
                    (sum + (offset / 2 + rest_words) as i64 * -i64::from(i16::MIN)) as u64
                }
            }
        };
    }

    kernel!(
        /// Every x86-64 processor.
        ///
        /// # Safety
        /// As for [`blocks`](super::blocks), of [`MOST`](super::MOST) bytes at most.
        #[inline(never)]
        sse2, __m128i, _mm_setzero_si128, _mm_loadu_si128, _mm_storeu_si128, _mm_xor_si128, _mm_set1_epi16,
        _mm_madd_epi16, _mm_add_epi32, total, no_rest
    );

    kernel!(
        /// Vectors of 32 bytes.
        ///
        /// # Safety
        /// As for [`blocks`](super::blocks), of [`MOST`](super::MOST) bytes at most, and [`has_avx2`] is true. But the
        /// length may be any even number from a block's on.
        #[target_feature(enable = "avx2")]
        avx2, __m256i, _mm256_setzero_si256, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_xor_si256, _mm256_set1_epi16,
        _mm256_madd_epi16, _mm256_add_epi32, total_of_eight, last_vector
    );
}

#[cfg(test)]
mod tests;
