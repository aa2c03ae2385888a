//! TCP's settings as the engine holds them: what every message needs of them stands beside them in nanoseconds, since to make
//! them of a `Duration` costs more than to use them.

use core::ops::Deref;

use crate::config::TcpConfig;
use crate::tcp::tail_probe;
use crate::time::nanos_of;

/// The owner's settings, which do not change as long as the engine lives.
pub(crate) struct Tuning {
    config: TcpConfig,
    /// [`TcpConfig::rto_min`] in nanoseconds.
    pub least_rto: u64,
    /// [`TcpConfig::rto_max`] in nanoseconds.
    pub most_rto: u64,
    /// No alarm of a lone segment rings sooner, in nanoseconds: neither its retransmission timer nor its tail-loss probe.
    pub soonest_alone: u64,
    /// [`TcpConfig::delayed_ack`] in nanoseconds.
    pub ack_delay: u64,
}

impl Tuning {
    pub(crate) fn new(config: TcpConfig) -> Self {
        let (least_rto, most_rto) = (nanos_of(config.rto_min), nanos_of(config.rto_max));
        let soonest_alone = least_rto.min(most_rto).min(tail_probe::LEAST_ALONE);
        Self { least_rto, most_rto, soonest_alone, ack_delay: nanos_of(config.delayed_ack), config }
    }
}

impl Deref for Tuning {
    type Target = TcpConfig;

    #[inline(always)]
    fn deref(&self) -> &TcpConfig {
        &self.config
    }
}
