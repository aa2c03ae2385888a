//! TCP's settings as the engine holds them: what every message needs of them stands beside them in nanoseconds, since to make
//! them of a `Duration` costs more than to use them.

use core::ops::Deref;

use crate::config::TcpConfig;
use crate::time::nanos_of;

/// The owner's settings, which do not change as long as the engine lives.
pub(crate) struct Tuning {
    config: TcpConfig,
    /// [`TcpConfig::rto_min`] in nanoseconds.
    pub least_rto: u64,
    /// [`TcpConfig::rto_max`] in nanoseconds.
    pub most_rto: u64,
    /// [`TcpConfig::delayed_ack`] in nanoseconds.
    pub ack_delay: u64,
}

impl Tuning {
    pub(crate) fn new(config: TcpConfig) -> Self {
        let (least_rto, most_rto) = (nanos_of(config.rto_min), nanos_of(config.rto_max));
        Self { least_rto, most_rto, ack_delay: nanos_of(config.delayed_ack), config }
    }
}

impl Deref for Tuning {
    type Target = TcpConfig;

    #[inline(always)]
    fn deref(&self) -> &TcpConfig {
        &self.config
    }
}
