//! Counters of one interface.

/// Traffic of one interface since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// Frames handed to the device.
    pub tx_packets: u64,
    /// Frames received.
    pub rx_packets: u64,
    // Not beside the frames, lest two additions become one to a vector, which takes six instructions more.
    /// Bytes handed to the device, Ethernet headers included.
    pub tx_bytes: u64,
    /// Bytes received, Ethernet headers included.
    pub rx_bytes: u64,
}
