//! The table against a map, with few addresses and with many.

use alloc::collections::BTreeMap;
use core::net::Ipv4Addr;

use super::*;
use crate::entropy::Entropy;
use crate::handle::Table;

#[test]
fn few_and_many_addresses_are_found_as_a_map_finds_them() {
    let mut chance = Entropy::new([3; 32]);
    let mut interfaces = Table::new();
    let interfaces: Vec<InterfaceId> = (0..3).map(|_| interfaces.insert(())).collect();
    let mut table = Addresses::default();
    let mut model = BTreeMap::new();
    for round in 0..3_000 {
        // The table grows to some fifty addresses, and shrinks to a few.
        let many = round / 500 % 2 == 0;
        let address = IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + chance.below(64) as u32));
        if chance.below(10) < if many { 8 } else { 1 } {
            let interface = interfaces[chance.below(3) as usize];
            table.insert(address, interface);
            model.insert(address, interface);
        } else {
            table.remove(&address);
            model.remove(&address);
        }
        for bits in 0..64 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + bits));
            assert_eq!(table.get(&address), model.get(&address), "{address} in round {round}");
        }
    }
}
