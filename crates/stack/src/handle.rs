//! Handles that outlive what they name, and the table behind them.
//!
//! A handle is a slot and the slot's generation. When an object goes, its slot's generation moves on, so that a
//! stale handle never names the slot's next tenant.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

/// Names an object of kind `T` in one engine.
pub struct Handle<T> {
    index: u32,
    generation: u32,
    kind: PhantomData<fn(T)>,
}

impl<T> Handle<T> {
    /// The handle as one number, for tables outside the engine.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The handle that [`to_bits`](Self::to_bits) gave.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32, kind: PhantomData }
    }

    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl<T> Eq for Handle<T> {}

impl<T> PartialOrd for Handle<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Handle<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.to_bits().cmp(&other.to_bits())
    }
}

impl<T> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.to_bits());
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

struct Slot<V> {
    generation: u32,
    tenant: Tenant<V>,
}

enum Tenant<V> {
    Present(V),
    /// The next free slot's index, or `u32::MAX` at the end of the list.
    Free(u32),
}

/// A table of `V`s named by `Handle<T>`; constant-time insertion, look-up and removal.
pub(crate) struct Table<T, V> {
    slots: Vec<Slot<V>>,
    free: u32,
    len: usize,
    kind: PhantomData<fn(T)>,
}

const END: u32 = u32::MAX;

impl<T, V> Table<T, V> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: END, len: 0, kind: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: V) -> Handle<T> {
        self.len += 1;
        if self.free == END {
            let index = self.slots.len() as u32;
            self.slots.push(Slot { generation: 1, tenant: Tenant::Present(value) });
            return Handle { index, generation: 1, kind: PhantomData };
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        if let Tenant::Free(next) = slot.tenant {
            self.free = next;
        }
        slot.tenant = Tenant::Present(value);
        Handle { index, generation: slot.generation, kind: PhantomData }
    }

    pub(crate) fn remove(&mut self, handle: Handle<T>) -> Option<V> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        if slot.generation != handle.generation || matches!(slot.tenant, Tenant::Free(_)) {
            return None;
        }
        let Tenant::Present(value) = core::mem::replace(&mut slot.tenant, Tenant::Free(self.free)) else {
            return None;
        };
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free = handle.index;
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, handle: Handle<T>) -> Option<&V> {
        match self.slots.get(handle.index as usize)? {
            Slot { generation, tenant: Tenant::Present(value) } if *generation == handle.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, handle: Handle<T>) -> Option<&mut V> {
        match self.slots.get_mut(handle.index as usize)? {
            Slot { generation, tenant: Tenant::Present(value) } if *generation == handle.generation => Some(value),
            _ => None,
        }
    }

    /// The object in slot `index`, whatever its generation: for tables inside the engine that are cleaned when
    /// the object goes.
    pub(crate) fn at(&self, index: u32) -> Option<&V> {
        match &self.slots.get(index as usize)?.tenant {
            Tenant::Present(value) => Some(value),
            Tenant::Free(_) => None,
        }
    }

    /// As [`at`](Self::at), to change it.
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut V> {
        match &mut self.slots.get_mut(index as usize)?.tenant {
            Tenant::Present(value) => Some(value),
            Tenant::Free(_) => None,
        }
    }

    /// The full handle of the object in slot `index`.
    pub(crate) fn handle_at(&self, index: u32) -> Option<Handle<T>> {
        let slot = self.slots.get(index as usize)?;
        matches!(slot.tenant, Tenant::Present(_)).then_some(Handle {
            index,
            generation: slot.generation,
            kind: PhantomData,
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle<T>, &V)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.tenant {
            Tenant::Present(value) => {
                Some((Handle { index: index as u32, generation: slot.generation, kind: PhantomData }, value))
            }
            Tenant::Free(_) => None,
        })
    }
}
