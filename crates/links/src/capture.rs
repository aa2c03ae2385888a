//! Writes what crosses a link to a pcapng file (draft-ietf-opsawg-pcapng), both directions, for tshark and Wireshark.
//! Wrapped around any link by `wharf --capture FILE`.
//!
//! Frames are written as they cross: with offload that is up to 64 KiB at once, in one piece, and with transport
//! checksums that nobody has filled in yet.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};

use crate::Link;
use crate::counters::Counters;

/// The frame arrived; what the flags option of a packet says in its two lowest bits.
const INBOUND: u32 = 1;
/// The frame was sent.
const OUTBOUND: u32 = 2;

/// The time since 1970-01-01 00:00 UTC.
type Clock = Box<dyn FnMut() -> Duration + Send>;

/// A link all of whose frames are written down. Where the file cannot be written any more, the link goes on: what is
/// missing is counted, and [`failure`](Self::failure) says why.
pub struct Capture<L, W: Write = BufWriter<File>> {
    link: L,
    recorder: Recorder<W>,
}

struct Recorder<W: Write> {
    /// The pcapng stream; of no use after an error.
    writer: PcapNgWriter<W>,
    clock: Clock,
    failure: Option<io::Error>,
    /// Frames that crossed after the failure, and the one that met it.
    lost: u64,
    /// Something was written since the last flush.
    dirty: bool,
    /// Where an outgoing frame is put together.
    frame: Vec<u8>,
}

impl<L: Link> Capture<L> {
    /// Captures to a new file, or in place of what the file held.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(link: L, path: impl AsRef<Path>) -> io::Result<Self> {
        Self::to_writer(link, BufWriter::with_capacity(1 << 18, File::create(path)?))
    }
}

impl<L: Link, W: Write> Capture<L, W> {
    /// Captures to any writer. Stamps never run backwards: the host's clock is read once, and time counted from there.
    ///
    /// # Errors
    /// When the file's head cannot be written.
    pub fn to_writer(link: L, writer: W) -> io::Result<Self> {
        let began = Instant::now();
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::with_clock(link, writer, move || at.saturating_add(began.elapsed()))
    }

    /// [`to_writer`](Self::to_writer) with a clock: the time since 1970 in UTC, at each frame.
    ///
    /// # Errors
    /// When the file's head cannot be written.
    pub fn with_clock(link: L, writer: W, clock: impl FnMut() -> Duration + Send + 'static) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(concat!(
                "Wharf ",
                env!("CARGO_PKG_VERSION")
            )))],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(writer, section).map_err(to_io)?;
        let Capabilities { mac, .. } = link.capabilities();
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            // No limit: frames are never cut.
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(link.name())),
                InterfaceDescriptionOption::IfMacAddr(Cow::Borrowed(&mac.0)),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        writer.write_pcapng_block(interface).map_err(to_io)?;
        let clock = Box::new(clock);
        let recorder = Recorder { writer, clock, failure: None, lost: 0, dirty: true, frame: Vec::new() };
        Ok(Self { link, recorder })
    }

    /// Why frames are missing from the file, when some are.
    #[must_use]
    pub fn failure(&self) -> Option<&io::Error> {
        self.recorder.failure.as_ref()
    }

    /// The link within.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// Ends the capture; the link goes on without.
    ///
    /// # Errors
    /// The first error of writing, after which frames are missing.
    pub fn finish(mut self) -> io::Result<L> {
        self.recorder.flush();
        match self.recorder.failure {
            Some(error) => Err(error),
            None => Ok(self.link),
        }
    }
}

impl<W: Write> Recorder<W> {
    fn record(&mut self, frame: &[u8], direction: u32) {
        let len = match u32::try_from(frame.len()) {
            Ok(len) if self.failure.is_none() => len,
            _ => {
                self.lost += 1;
                return;
            }
        };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: (self.clock)(),
            original_len: len,
            data: Cow::Borrowed(frame),
            options: vec![EnhancedPacketOption::Flags(direction)],
        };
        match self.writer.write_pcapng_block(block) {
            Ok(_) => self.dirty = true,
            Err(error) => {
                self.failure = Some(to_io(error));
                self.lost += 1;
            }
        }
    }

    fn record_outgoing(&mut self, frame: &TxFrame<'_>) {
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.resize(frame.len(), 0);
        frame.copy_to(&mut bytes);
        self.record(&bytes, OUTBOUND);
        self.frame = bytes;
    }

    fn flush(&mut self) {
        if !self.dirty || self.failure.is_some() {
            return;
        }
        self.dirty = false;
        self.failure = self.writer.get_mut().flush().err();
    }
}

fn to_io(error: pcap_file::pcapng::PcapNgWriteError) -> io::Error {
    io::Error::other(error)
}

impl<L: Link, W: Write> Device for Capture<L, W> {
    fn capabilities(&self) -> Capabilities {
        self.link.capabilities()
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        // Not before: a frame that is refused will be offered again.
        self.link.transmit(frame)?;
        self.recorder.record_outgoing(frame);
        Ok(())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let Self { link, recorder } = self;
        link.receive(budget, &mut |frame| {
            recorder.record(frame.bytes, INBOUND);
            input(frame);
        })
    }

    /// Also brings the file up to date, so that it can be read while the link works.
    fn flush(&mut self) {
        self.link.flush();
        self.recorder.flush();
    }

    fn link_up(&self) -> bool {
        self.link.link_up()
    }
}

impl<L: Link, W: Write + Send> Link for Capture<L, W> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.link.fd()
    }

    fn wants_write(&self) -> bool {
        self.link.wants_write()
    }

    fn deadline(&self) -> Option<Instant> {
        self.link.deadline()
    }

    fn name(&self) -> &str {
        self.link.name()
    }

    fn is_private(&self) -> bool {
        self.link.is_private()
    }

    fn counters(&self) -> Counters {
        let counters = self.link.counters();
        Counters { capture_lost: counters.capture_lost + self.recorder.lost, ..counters }
    }
}
