use std::time::{Duration, Instant};

use super::super::deadlines::Deadlines;
use super::super::table::Table;

#[test]
fn only_flows_that_stayed_idle_expire_and_the_longest_idle_goes_first() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut flows = Table::new(8);
    let mut deadlines = Deadlines::default();
    let keys: Vec<_> = (0..3).map(|n| flows.insert(at(10 + n)).unwrap()).collect();
    for &key in &keys {
        deadlines.insert(key, *flows.get(key).unwrap());
    }
    *flows.get_mut(keys[0]).unwrap() = at(30);
    assert_eq!(deadlines.expired(at(9), |key| flows.get(key).copied()), None);
    assert_eq!(deadlines.expired(at(11), |key| flows.get(key).copied()), Some(keys[1]));
    flows.remove(keys[1]);
    assert_eq!(deadlines.expired(at(11), |key| flows.get(key).copied()), None);
    assert_eq!(deadlines.earliest(|key| flows.get(key).copied()), Some(keys[2]));
    flows.remove(keys[2]);
    assert_eq!(deadlines.next(), Some(at(30)));
    flows.remove(keys[0]);
    assert_eq!(deadlines.expired(at(99), |key| flows.get(key).copied()), None);
    assert_eq!(deadlines.next(), None);
}
