//! Hardware addresses for our end of a link: locally administered (IEEE 802), one station's.

use wire::ethernet::MacAddr;

/// The address that belongs to `seed`: always the same for the same bytes, hardly ever that of another seed. Made
/// from what identifies a link, it lets a DHCP server know the station again.
#[must_use]
pub fn derived(seed: &[u8]) -> MacAddr {
    // FNV-1a, then a finalizer that spreads the last bytes of the seed over the whole word.
    let mut hash = seed
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    local([
        hash as u8,
        (hash >> 8) as u8,
        (hash >> 16) as u8,
        (hash >> 24) as u8,
        (hash >> 32) as u8,
        (hash >> 40) as u8,
    ])
}

/// An address that nobody has yet, for a link that nothing identifies.
///
/// # Errors
/// When the kernel gives no randomness.
pub fn random() -> std::io::Result<MacAddr> {
    let mut octets = [0; 6];
    // Six bytes come whole: getrandom(2) cuts nothing shorter than 256.
    rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty())?;
    Ok(local(octets))
}

/// Marks the address as locally administered and as one station's.
const fn local(mut octets: [u8; 6]) -> MacAddr {
    octets[0] = (octets[0] & !0x01) | 0x02;
    MacAddr(octets)
}
