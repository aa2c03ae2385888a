use super::super::table::{GENERATIONS, Key, Table};

#[test]
fn a_key_does_not_name_the_slots_next_tenant() {
    let mut table = Table::new(1);
    let first = table.insert("first").unwrap();
    assert_eq!(table.insert("too many"), Err("too many"));
    assert_eq!(table.remove(first), Some("first"));
    let second = table.insert("second").unwrap();
    assert_eq!(table.get(first), None);
    assert_eq!(table.get_mut(first), None);
    assert_eq!(table.remove(first), None);
    assert_eq!(table.get(second), Some(&"second"));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_key_survives_its_way_through_a_number() {
    let bits = u64::from(GENERATIONS - 1) << 32 | u64::from(u32::MAX);
    let key = Key::from_bits(bits);
    assert_eq!(key.to_bits(), bits);
    assert_eq!(Key::from_bits(key.to_bits()), key);
    assert!(key.to_bits() >> 56 == 0);
}
