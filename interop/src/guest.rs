//! The library on a TAP device: Wharf as a host of the namespace.

use std::net::Ipv4Addr;
use std::time::Duration;

use wharf::{AddressCheck, Cidr, Net, NetBuilder};

use crate::world::Tap;

impl Tap {
    /// Wharf's address on the device when it is set by hand: host 2 of the network.
    #[must_use]
    pub fn guest_address(&self) -> Ipv4Addr {
        self.host(2)
    }

    /// Wharf on the device with that address, once it may use it, and with the kernel as its gateway.
    ///
    /// # Panics
    ///
    /// When the device cannot be opened, or the address cannot be had.
    #[must_use]
    pub fn guest(&self) -> Net {
        let link = links::tap::Tap::open(&self.device()).unwrap_or_else(|error| panic!("{error}"));
        self.guest_of(Net::builder().link(link))
    }

    /// The same with an engine on each of so many queues of the device, which was made for several.
    ///
    /// # Panics
    ///
    /// As [`guest`](Self::guest).
    #[must_use]
    pub fn guest_on_queues(&self, count: usize) -> Net {
        let queues = links::tap::Tap::open_queues(self.name, count).unwrap_or_else(|error| panic!("{error}"));
        self.guest_of(Net::builder().queues(queues))
    }

    fn guest_of(&self, builder: NetBuilder) -> Net {
        let address = Cidr::new(self.guest_address().into(), 24).expect("24 bits fit an IPv4 address");
        let builder = builder.address(address).gateway(self.address.into());
        let net = builder.address_check(AddressCheck::BRIEF).build();
        let net = net.unwrap_or_else(|error| panic!("{error}"));
        net.wait_configured(Duration::from_secs(20)).unwrap_or_else(|error| panic!("{error}"));
        net
    }
}
