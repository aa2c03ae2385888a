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
    /// What the table's owner wants to know of the object without asking it; it takes no room, beside the generation.
    note: u32,
    tenant: Tenant<V>,
}

enum Tenant<V> {
    Present(V),
    /// The next free slot of the chunk, or `END`.
    Free(u32),
}

/// Slots of a chunk, as a power of two.
const CHUNK_BITS: u32 = 6;
const CHUNK: usize = 1 << CHUNK_BITS;
const END: u32 = u32::MAX;

/// Slots that come and go together. So a table grows without moving what is in it and without ever having twice the
/// memory that it needs, and gives back what a burst has left behind.
struct Chunk<V> {
    slots: Vec<Slot<V>>,
    /// The first free slot among `slots`.
    free: u32,
    used: u32,
    /// The generation of slots to come: above those of the slots that went with the chunk's memory.
    floor: u32,
}

impl<V> Chunk<V> {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: END, used: 0, floor: 1 }
    }

    fn has_room(&self) -> bool {
        (self.used as usize) < CHUNK
    }

    /// Adds a free slot, where there is none.
    #[inline(never)]
    fn grow(&mut self, number: u32) {
        if self.slots.capacity() == 0 && number > 0 {
            self.slots.reserve_exact(CHUNK);
        }
        self.free = self.slots.len() as u32;
        self.slots.push(Slot { generation: self.floor, note: 0, tenant: Tenant::Free(END) });
    }

    fn give_memory_back(&mut self) {
        self.floor = self.slots.iter().map(|slot| slot.generation).fold(self.floor, u32::max);
        self.slots = Vec::new();
        self.free = END;
    }
}

/// A table of `V`s named by `Handle<T>`; constant-time insertion, look-up and removal.
pub(crate) struct Table<T, V> {
    chunks: Vec<Chunk<V>>,
    /// Chunks with room, those last that had some last.
    open: Vec<u32>,
    /// A chunk that is empty and kept, lest one object that comes and goes take its memory along each time.
    spare: Option<u32>,
    len: usize,
    kind: PhantomData<fn(T)>,
}

impl<T, V> Table<T, V> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), spare: None, len: 0, kind: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: V) -> Handle<T> {
        self.insert_noted(value, 0)
    }

    /// Adds an object with a note, which [`noted_at`](Self::noted_at) tells.
    pub(crate) fn insert_noted(&mut self, value: V, note: u32) -> Handle<T> {
        let (handle, place) = self.vacant();
        place.fill(value, note);
        handle
    }

    /// The place of the next object, which the caller puts there: a large one need not be made elsewhere and moved.
    #[inline(always)]
    pub(crate) fn vacant(&mut self) -> (Handle<T>, Vacant<'_, V>) {
        self.len += 1;
        let number = match self.open.last() {
            Some(&number) => number,
            None => self.add_chunk(),
        };
        if self.spare == Some(number) {
            self.spare = None;
        }
        let chunk = &mut self.chunks[number as usize];
        if chunk.free == END {
            chunk.grow(number);
        }
        let index = chunk.free;
        chunk.used += 1;
        if !chunk.has_room() {
            self.open.pop();
        }
        let slot = &mut chunk.slots[index as usize];
        if let Tenant::Free(next) = slot.tenant {
            chunk.free = next;
        }
        let handle = Handle { index: number << CHUNK_BITS | index, generation: slot.generation, kind: PhantomData };
        (handle, Vacant(slot))
    }

    #[inline(never)]
    fn add_chunk(&mut self) -> u32 {
        let number = self.chunks.len() as u32;
        self.chunks.push(Chunk::new());
        self.open.push(number);
        number
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, handle: Handle<T>) -> Option<V> {
        self.vacate(handle, |tenant, free| match core::mem::replace(tenant, free) {
            Tenant::Present(value) => Some(value),
            Tenant::Free(_) => None,
        })
    }

    /// Drops an object where it stands.
    #[inline(always)]
    pub(crate) fn discard(&mut self, handle: Handle<T>) {
        self.vacate(handle, |tenant, free| {
            *tenant = free;
            Some(())
        });
    }

    /// Frees a slot that has a tenant, which `evict` takes out of it.
    #[inline(always)]
    fn vacate<R>(
        &mut self,
        handle: Handle<T>,
        evict: impl FnOnce(&mut Tenant<V>, Tenant<V>) -> Option<R>,
    ) -> Option<R> {
        let number = handle.index >> CHUNK_BITS;
        let chunk = self.chunks.get_mut(number as usize)?;
        let index = handle.index & (CHUNK as u32 - 1);
        let slot = chunk.slots.get_mut(index as usize)?;
        if slot.generation != handle.generation || matches!(slot.tenant, Tenant::Free(_)) {
            return None;
        }
        let value = evict(&mut slot.tenant, Tenant::Free(chunk.free));
        slot.generation = slot.generation.wrapping_add(1).max(1);
        chunk.free = index;
        if !chunk.has_room() {
            self.open.push(number);
        }
        chunk.used -= 1;
        self.len -= 1;
        if chunk.used == 0 {
            match self.spare {
                Some(_) => chunk.give_memory_back(),
                None => self.spare = Some(number),
            }
        }
        value
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot<V>> {
        self.chunks.get((index >> CHUNK_BITS) as usize)?.slots.get(index as usize & (CHUNK - 1))
    }

    #[inline]
    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<V>> {
        self.chunks.get_mut((index >> CHUNK_BITS) as usize)?.slots.get_mut(index as usize & (CHUNK - 1))
    }

    #[inline]
    pub(crate) fn get(&self, handle: Handle<T>) -> Option<&V> {
        match self.slot(handle.index)? {
            Slot { generation, tenant: Tenant::Present(value), .. } if *generation == handle.generation => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, handle: Handle<T>) -> Option<&mut V> {
        match self.slot_mut(handle.index)? {
            Slot { generation, tenant: Tenant::Present(value), .. } if *generation == handle.generation => Some(value),
            _ => None,
        }
    }

    /// The object in slot `index`, whatever its generation: for tables inside the engine that are cleaned when
    /// the object goes.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&V> {
        match &self.slot(index)?.tenant {
            Tenant::Present(value) => Some(value),
            Tenant::Free(_) => None,
        }
    }

    /// As [`at`](Self::at), to change it.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut V> {
        match &mut self.slot_mut(index)?.tenant {
            Tenant::Present(value) => Some(value),
            Tenant::Free(_) => None,
        }
    }

    /// As [`at_mut`](Self::at_mut), with the object's full handle.
    #[inline]
    pub(crate) fn named_at(&mut self, index: u32) -> Option<(Handle<T>, &mut V)> {
        self.noted_at(index).map(|(handle, _, value)| (handle, value))
    }

    /// As [`named_at`](Self::named_at), with the object's note.
    #[inline]
    pub(crate) fn noted_at(&mut self, index: u32) -> Option<(Handle<T>, u32, &mut V)> {
        let slot = self.slot_mut(index)?;
        match &mut slot.tenant {
            Tenant::Present(value) => {
                Some((Handle { index, generation: slot.generation, kind: PhantomData }, slot.note, value))
            }
            Tenant::Free(_) => None,
        }
    }

    /// The full handle of the object in slot `index`.
    #[inline]
    pub(crate) fn handle_at(&self, index: u32) -> Option<Handle<T>> {
        let slot = self.slot(index)?;
        matches!(slot.tenant, Tenant::Present(_)).then_some(Handle {
            index,
            generation: slot.generation,
            kind: PhantomData,
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle<T>, &V)> {
        self.chunks.iter().zip(0_u32..).flat_map(|(chunk, number)| {
            chunk.slots.iter().zip(0_u32..).filter_map(move |(slot, index)| match &slot.tenant {
                Tenant::Present(value) => {
                    let index = number << CHUNK_BITS | index;
                    Some((Handle { index, generation: slot.generation, kind: PhantomData }, value))
                }
                Tenant::Free(_) => None,
            })
        })
    }
}

/// A place in a table that waits for its object.
#[must_use]
pub(crate) struct Vacant<'a, V>(&'a mut Slot<V>);

impl<'a, V> Vacant<'a, V> {
    /// Puts the object there with its note, and returns it.
    #[inline(always)]
    pub(crate) fn fill(self, value: V, note: u32) -> Option<&'a mut V> {
        let Slot { note: noted, tenant, .. } = self.0;
        *noted = note;
        // Said so that the compiler sees that nothing is dropped here, and writes the object where it will stand.
        if matches!(tenant, Tenant::Free(_)) {
            *tenant = Tenant::Present(value);
        } else {
            core::mem::forget(value);
            debug_assert!(false, "who stands among the free slots has no tenant");
        }
        match tenant {
            Tenant::Present(value) => Some(value),
            Tenant::Free(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
