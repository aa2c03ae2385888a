//! The inner loops of copying and summing: whole blocks of 32 bytes, for the vectors that the processor has.
//!
//! Called by `copy` alone. Each kernel reads every byte once, writes it if COPY, and returns a sum that is congruent
//! to that of the 16-bit words in memory's order modulo 2^16 - 1 (RFC 1071 section 2).
//!
//! The vector kernels count a 64-bit word as the sum of its halves, without ever masking: `whole` adds the words,
//! wrapping, and `upper` their upper halves. The sum of the lower halves is `whole - upper * 2^32` modulo 2^64, and
//! exact, being smaller than that. So a vector takes two additions and a shift.

/// Bytes in a block.
pub(crate) const BLOCK: usize = 32;
/// Bytes of a step, where as many are left.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
const STEP: usize = 64;

/// Copies, if COPY, and sums `len` bytes, a multiple of [`BLOCK`].
///
/// # Safety
/// `from` is readable for `len` bytes; if COPY, `to` is writable for as many and they do not overlap.
#[inline]
pub(crate) unsafe fn blocks<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: the caller's promise; the AVX2 kernel runs only where `has_avx2` found it.
    unsafe {
        if x86_64::has_avx2() { x86_64::avx2::<COPY>(from, to, len) } else { x86_64::sse2::<COPY>(from, to, len) }
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    // SAFETY: the caller's promise.
    unsafe {
        portable::<COPY>(from, to, len)
    }
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
        match AVX2.load(Ordering::Relaxed) {
            UNKNOWN => detect_avx2(),
            found => found == PRESENT,
        }
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

    macro_rules! kernel {
        ($(#[$attribute:meta])* $name:ident, $vector:ty, $zero:ident, $load:ident, $store:ident, $add:ident, $sub:ident,
         $shift_right:ident, $shift_left:ident) => {
            $(#[$attribute])*
            pub(super) unsafe fn $name<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
                const WIDTH: usize = size_of::<$vector>();
                const LANES: usize = WIDTH / 8;
                // SAFETY: the blocks read, and written if COPY, lie within `len`; the instructions exist, as the
                // caller says.
                unsafe {
                    let mut whole = [$zero(); 2];
                    let mut upper = [$zero(); 2];
                    let mut offset = 0;
                    while offset + STEP <= len {
                        let mut vectors = [$zero(); STEP / WIDTH];
                        for (index, vector) in vectors.iter_mut().enumerate() {
                            *vector = $load(from.add(offset + index * WIDTH).cast());
                        }
                        for (index, &vector) in vectors.iter().enumerate() {
                            if COPY {
                                $store(to.add(offset + index * WIDTH).cast(), vector);
                            }
                            whole[index % 2] = $add(whole[index % 2], vector);
                            upper[index % 2] = $add(upper[index % 2], $shift_right::<32>(vector));
                        }
                        offset += STEP;
                    }
                    if offset < len {
                        for index in 0..BLOCK / WIDTH {
                            let vector = $load(from.add(offset + index * WIDTH).cast());
                            if COPY {
                                $store(to.add(offset + index * WIDTH).cast(), vector);
                            }
                            whole[index % 2] = $add(whole[index % 2], vector);
                            upper[index % 2] = $add(upper[index % 2], $shift_right::<32>(vector));
                        }
                    }
                    let whole = $add(whole[0], whole[1]);
                    let upper = $add(upper[0], upper[1]);
                    let sums = $add($sub(whole, $shift_left::<32>(upper)), upper);
                    let mut lanes = [0u64; LANES];
                    $store(lanes.as_mut_ptr().cast(), sums);
                    lanes.into_iter().sum()
                }
            }
        };
    }

    kernel!(
        /// Every x86-64 processor.
        ///
        /// # Safety
        /// As for [`blocks`](super::blocks).
        sse2, __m128i, _mm_setzero_si128, _mm_loadu_si128, _mm_storeu_si128, _mm_add_epi64, _mm_sub_epi64,
        _mm_srli_epi64, _mm_slli_epi64
    );

    kernel!(
        /// Vectors of 32 bytes.
        ///
        /// # Safety
        /// As for [`blocks`](super::blocks), and [`has_avx2`] is true.
        #[target_feature(enable = "avx2")]
        avx2, __m256i, _mm256_setzero_si256, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_add_epi64,
        _mm256_sub_epi64, _mm256_srli_epi64, _mm256_slli_epi64
    );
}

#[cfg(test)]
mod tests;
