//! What a capture file holds, byte for byte and as tshark reads it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use device::{Device, TransmitError, TxChecksum, TxFrame};
use ring::Span;
use wharf_links::capture::Capture;
use wharf_links::fd::FdLink;
use wharf_links::{Counters, Link};
use wire::ethernet::MacAddr;

/// A link that knows its name, its address and nothing else.
struct Named(FdLink);

impl Device for Named {
    fn capabilities(&self) -> device::Capabilities {
        self.0.capabilities()
    }
    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        self.0.transmit(frame)
    }
    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&device::RxFrame<'_>)) -> usize {
        self.0.receive(budget, input)
    }
}

impl Link for Named {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.fd()
    }
    fn name(&self) -> &str {
        "quay0"
    }
    fn counters(&self) -> Counters {
        self.0.counters()
    }
}

fn link() -> (Named, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let link = FdLink::from_fd(ours.into(), None).unwrap().with_mac(MacAddr([2, 0, 0, 0, 0, 1]));
    (Named(link), theirs)
}

/// A writer whose bytes can be looked at, and that fails after so many.
#[derive(Clone)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn of(size: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), size))))
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, size) = &mut *self.0.lock().unwrap();
        if written.len() + bytes.len() > *size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        written.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// 2026-11-21 10:00:00.123456789 UTC and a second more at each frame.
fn clock() -> impl FnMut() -> Duration + Send + 'static {
    let mut now = Duration::new(1_795_255_199, 123_456_789);
    move || {
        now += Duration::from_secs(1);
        now
    }
}

fn frame<'a>(header: &'a [u8], payload: &'a [Span<'a>]) -> TxFrame<'a> {
    TxFrame { header, payload, checksum: TxChecksum::Complete, segment_size: None }
}

/// Block type, length, body, length again; little endian, padded to four bytes.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    let len = (body.len() as u32 + 12).to_le_bytes();
    bytes.extend(len);
    bytes.extend(body);
    bytes.extend(len);
    bytes
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = code.to_le_bytes().to_vec();
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn file_holds_both_directions_byte_for_byte() {
    let (link, peer) = link();
    let disk = Disk::of(usize::MAX);
    let mut capture = Capture::with_clock(link, disk.clone(), clock()).unwrap();
    assert_eq!(capture.name(), "quay0");
    capture.transmit(&frame(b"abcde", &[Span::from_slice(b"fg"), Span::from_slice(b"h")])).unwrap();
    peer.send(b"xyz").unwrap();
    let mut seen = Vec::new();
    assert_eq!(capture.receive(64, &mut |frame| seen.push(frame.bytes.to_vec())), 1);
    assert_eq!(seen, [b"xyz".to_vec()]);
    capture.flush();

    let section = [
        &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..],
        &[0xff; 8],
        &option(4, concat!("Wharf ", env!("CARGO_PKG_VERSION")).as_bytes()),
        &option(0, b""),
    ]
    .concat();
    let interface = [
        &[1, 0, 0, 0, 0, 0, 0, 0][..],
        &option(2, b"quay0"),
        &option(6, &[2, 0, 0, 0, 0, 1]),
        &option(9, &[9]),
        &option(0, b""),
    ]
    .concat();
    let packet = |at: u64, bytes: &[u8], direction: u8| {
        let len = (bytes.len() as u32).to_le_bytes();
        let mut body = 0_u32.to_le_bytes().to_vec();
        body.extend(((at >> 32) as u32).to_le_bytes());
        body.extend((at as u32).to_le_bytes());
        body.extend(len);
        body.extend(len);
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(option(2, &[direction, 0, 0, 0]));
        body.extend(option(0, b""));
        body
    };
    let golden = [
        block(0x0a0d_0d0a, &section),
        block(1, &interface),
        block(6, &packet(1_795_255_200_123_456_789, b"abcdefgh", 2)),
        block(6, &packet(1_795_255_201_123_456_789, b"xyz", 1)),
    ]
    .concat();
    assert_eq!(disk.bytes(), golden);
}

/// A path of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn tshark_reads_times_names_directions_and_a_frame_of_64_kib() {
    let scratch = Scratch::new("tshark");
    let path = scratch.0.join("capture.pcapng");
    let (link, peer) = link();
    let file = io::BufWriter::new(fs::File::create(&path).unwrap());
    let mut capture = Capture::with_clock(link, file, clock()).unwrap();
    let mut header = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    let body = vec![0x5a; 65_535];
    capture.transmit(&frame(&header, &[Span::from_slice(&body)])).unwrap();
    header.extend([0; 46]);
    peer.send(&header).unwrap();
    capture.receive(64, &mut |_| ());
    // The file is read while the link works on.
    capture.flush();

    let fields =
        ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_name", "frame.packet_flags_direction"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().expect("tshark is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        ["1795255200.123456789\t65549\t65549\tquay0\t0x00000002", "1795255201.123456789\t60\t60\tquay0\t0x00000001",]
    );
    drop(capture.finish().unwrap());
}

#[test]
fn stamps_come_from_the_hosts_clock_and_never_run_backwards() {
    let scratch = Scratch::new("clock");
    let path = scratch.0.join("capture.pcapng");
    let (link, _peer) = link();
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let before = seconds();
    let mut capture = Capture::create(link, &path).unwrap();
    for _ in 0..5 {
        capture.transmit(&frame(&[0; 60], &[])).unwrap();
    }
    drop(capture.finish().unwrap());
    let after = seconds();

    let mut file = pcap_file::pcapng::PcapNgReader::new(fs::File::open(&path).unwrap()).unwrap();
    let mut last = 0;
    let mut count = 0;
    while let Some(block) = file.next_block() {
        let (block, _) = block.unwrap();
        if let pcap_file::pcapng::Block::EnhancedPacket(packet) = block {
            let at = packet.timestamp.as_nanos() as u64;
            // The two clocks may be adjusted against each other; a second is more than that ever is.
            assert!(at >= before - 1_000_000_000 && at <= after + 1_000_000_000 && at >= last);
            last = at;
            count += 1;
        }
    }
    assert_eq!(count, 5);
}

#[test]
fn refused_frames_are_not_in_the_file() {
    let (link, peer) = link();
    let disk = Disk::of(usize::MAX);
    let mut capture = Capture::with_clock(link, disk.clone(), clock()).unwrap();
    while capture.transmit(&frame(&[1; 1000], &[])).is_ok() {}
    let full = disk.bytes().len();
    assert_eq!(capture.transmit(&frame(b"kept", &[])), Err(TransmitError::Full));
    drop(peer);
    assert_eq!(capture.transmit(&frame(b"lost", &[])), Err(TransmitError::Lost));
    assert_eq!(disk.bytes().len(), full);
    assert_eq!(capture.counters().capture_lost, 0);
}

#[test]
fn full_disk_ends_the_capture_but_not_the_link() {
    let (link, peer) = link();
    let mut capture = Capture::with_clock(link, Disk::of(1500), clock()).unwrap();
    for _ in 0..4 {
        capture.transmit(&frame(&[1; 500], &[])).unwrap();
        capture.flush();
    }
    for _ in 0..4 {
        assert_eq!(peer.recv(&mut [0; 500]).unwrap(), 500);
    }
    peer.send(b"still here").unwrap();
    let mut seen = 0;
    capture.receive(64, &mut |_| seen += 1);
    assert_eq!(seen, 1);
    assert_eq!(capture.counters().capture_lost, 3, "two of four, and one that arrived");
    assert!(capture.failure().is_some());
    assert!(capture.finish().is_err());
}

#[test]
fn file_that_cannot_be_made_is_an_error() {
    let (link, _peer) = link();
    assert!(Capture::create(link, "/nowhere/capture.pcapng").is_err());
    let (link, _peer) = self::link();
    assert!(Capture::with_clock(link, Disk::of(10), clock()).is_err());
}

#[test]
fn boxed_link_is_captured_like_any_other() {
    let (link, peer) = link();
    let boxed: Box<dyn Link> = Box::new(link);
    let mut capture = Capture::with_clock(boxed, Disk::of(usize::MAX), clock()).unwrap();
    capture.transmit(&frame(b"boxed", &[])).unwrap();
    assert_eq!(peer.recv(&mut [0; 5]).unwrap(), 5);
    assert_eq!(capture.counters().transmitted, 1);
}
