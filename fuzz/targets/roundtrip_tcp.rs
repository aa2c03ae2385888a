//! TCP headers from values: every header that can be built is emitted and parsed back.

#![no_main]

use core::time::Duration;

use libfuzzer_sys::arbitrary::{self, Unstructured};
use libfuzzer_sys::fuzz_target;
use wire::tcp::{MAX_WINDOW_SCALE, SackBlocks, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps, UserTimeout};

fn header(values: &mut Unstructured<'_>) -> arbitrary::Result<TcpHeader> {
    let mut sack = SackBlocks::EMPTY;
    for _ in 0..values.int_in_range(0..=5)? {
        let full = sack.len() == SackBlocks::MAX;
        assert_eq!(sack.push(SeqNum(values.arbitrary()?), SeqNum(values.arbitrary()?)), !full);
    }
    let timestamps = match values.arbitrary()? {
        true => Some(Timestamps { value: values.arbitrary()?, echo: values.arbitrary()? }),
        false => None,
    };
    Ok(TcpHeader {
        src_port: values.arbitrary()?,
        dst_port: values.arbitrary()?,
        seq: SeqNum(values.arbitrary()?),
        ack: SeqNum(values.arbitrary()?),
        flags: TcpFlags(values.arbitrary()?),
        window: values.arbitrary()?,
        urgent: values.arbitrary()?,
        options: TcpOptions {
            mss: values.arbitrary()?,
            window_scale: values.arbitrary()?,
            sack_permitted: values.arbitrary()?,
            timestamps,
            user_timeout: values.arbitrary::<Option<Duration>>()?.map(UserTimeout::of),
            sack,
        },
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut header) = header(&mut Unstructured::new(bytes)) else { return };
    let mut segment = vec![0; header.len()];
    assert_eq!(header.emit(&mut segment), segment.len());
    assert!(segment.len() <= 60 && segment.len().is_multiple_of(4));
    let (parsed, payload) = TcpHeader::parse(&segment).unwrap();
    assert!(payload.is_empty());
    // What emission is documented to change: a scale over the maximum, and SACK blocks that do not fit.
    header.options.window_scale = header.options.window_scale.map(|shift| shift.min(MAX_WINDOW_SCALE));
    assert!(parsed.options.sack.iter().eq(header.options.sack.iter().take(parsed.options.sack.len())));
    header.options.sack = parsed.options.sack;
    assert_eq!(parsed, header);
});
