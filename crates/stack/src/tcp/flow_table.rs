//! Who a flow belongs to: numbers by hash, in one array that is searched from where the hash points (linear probing).
//!
//! Each place holds 32 bits of the hash beside the number, so that what belongs to another flow is most often told apart
//! without a look at it, and nothing has to be hashed again when the array grows or something is taken out. The array
//! grows by a quarter, to any size: the hash as a fraction of 2^32, times the length, is the place to begin.

use alloc::vec;
use alloc::vec::Vec;

/// The number of an empty place.
const EMPTY: u32 = u32::MAX;
/// Places of the first array.
const FIRST: usize = 16;
/// So many places are kept although they are empty.
const KEPT: usize = 1_024;

#[derive(Clone, Copy)]
struct Place {
    hash: u32,
    name: u32,
}

/// The table. It knows no flows: whoever asks tells whether a number is meant.
#[derive(Default)]
pub(crate) struct FlowTable {
    places: Vec<Place>,
    /// Numbers in it.
    len: usize,
    /// How many more it takes before it grows.
    room: usize,
}

/// How many numbers an array of `places` takes: four fifths.
const fn most(places: usize) -> usize {
    places / 5 * 4 + places % 5 * 4 / 5
}

impl FlowTable {
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it keeps any memory.
    #[inline]
    pub(crate) const fn has_memory(&self) -> bool {
        self.places.capacity() > 0
    }

    /// Where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.places.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        let next = at + 1;
        if next < self.places.len() { next } else { 0 }
    }

    /// The number with this hash that is meant.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        // One place is always empty, if there are any.
        loop {
            let place = self.places.get(at)?;
            if place.name == EMPTY {
                return None;
            }
            if place.hash == hash && is_meant(place.name) {
                return Some(place.name);
            }
            at = self.after(at);
        }
    }

    /// Adds a number, which must not be there yet.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u32, name: u32) {
        debug_assert_ne!(name, EMPTY);
        if self.room == 0 {
            self.grow();
        }
        self.room -= 1;
        self.len += 1;
        self.put(Place { hash, name });
    }

    #[inline]
    fn put(&mut self, new: Place) {
        let mut at = self.home(new.hash);
        while let Some(place) = self.places.get_mut(at) {
            if place.name == EMPTY {
                *place = new;
                return;
            }
            at = self.after(at);
        }
    }

    #[inline(never)]
    fn grow(&mut self) {
        let size = (self.places.len() + self.places.len() / 4).max(FIRST);
        let old = core::mem::replace(&mut self.places, vec![Place { hash: 0, name: EMPTY }; size]);
        old.into_iter().filter(|place| place.name != EMPTY).for_each(|place| self.put(place));
        self.room = most(size) - self.len;
    }

    /// Where a number stands that was added with this hash.
    #[inline]
    fn place_of(&self, hash: u32, name: u32) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let place = self.places.get(at)?;
            if place.name == name {
                return Some(at);
            }
            if place.name == EMPTY {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Puts a number in the place of another of the same flow; false if that is not there.
    #[inline]
    pub(crate) fn replace(&mut self, hash: u32, old: u32, new: u32) -> bool {
        let Some(place) = self.place_of(hash, old).and_then(|at| self.places.get_mut(at)) else { return false };
        place.name = new;
        true
    }

    /// Takes out a number that was added with this hash.
    #[inline]
    pub(crate) fn remove(&mut self, hash: u32, name: u32) {
        let Some(at) = self.place_of(hash, name) else { return };
        self.vacate(at);
        self.len -= 1;
        self.room += 1;
        if self.len == 0 && self.places.len() > KEPT {
            // What a burst took goes back.
            *self = Self::default();
        }
    }

    /// Empties a place, and moves up whatever had to go beyond it.
    #[inline]
    fn vacate(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let place = self.places[at];
            if place.name == EMPTY {
                break;
            }
            if self.distance(self.home(place.hash), at) >= self.distance(hole, at) {
                self.places[hole] = place;
                hole = at;
            }
        }
        self.places[hole].name = EMPTY;
    }

    /// How many steps lead from one place to another.
    #[inline]
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }
}

#[cfg(test)]
mod tests;
