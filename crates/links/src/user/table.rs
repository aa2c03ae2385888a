//! A table of flows whose keys outlive the flows: a late event of the host's kernel never reaches a slot's next
//! tenant.
//!
//! Used by every file here that owns host sockets.

/// Names a tenant of a [`Table`]: its slot and the slot's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

/// Generations wrap here, so that a key fits into the 56 bits that a [`Token`](super::host::Token) leaves it.
pub(super) const GENERATIONS: u32 = 1 << 24;

impl Key {
    /// The key as a number of at most 56 bits.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that [`to_bits`](Self::to_bits) gave.
    pub(super) fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 % GENERATIONS }
    }
}

struct Slot<V> {
    generation: u32,
    tenant: Option<V>,
}

/// A bounded table: constant-time insertion, look-up and removal.
pub(super) struct Table<V> {
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    limit: usize,
}

impl<V> Table<V> {
    /// An empty table that holds at most `limit` tenants.
    pub(super) fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Puts `value` into the table; gives it back when the table is full.
    pub(super) fn insert(&mut self, value: V) -> Result<Key, V> {
        if self.is_full() {
            return Err(value);
        }
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.tenant = Some(value);
            return Ok(Key { index, generation: slot.generation });
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, tenant: Some(value) });
        Ok(Key { index, generation: 0 })
    }

    pub(super) fn get(&self, key: Key) -> Option<&V> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation).then_some(slot.tenant.as_ref()?)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.tenant.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<V> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.tenant.take()?;
        slot.generation = (slot.generation + 1) % GENERATIONS;
        self.free.push(key.index);
        Some(value)
    }
}
