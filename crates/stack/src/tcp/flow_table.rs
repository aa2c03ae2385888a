//! Who a flow belongs to: numbers by hash, in one array in the order of their hashes.
//!
//! The hash as a fraction of 2^32, times the array's size, is where a search begins; what finds its place taken stands behind,
//! before whatever has a greater hash (linear probing in order: Amble and Knuth, "Ordered hash tables", 1974). So a search in
//! vain ends at the first greater hash, and what is taken out is followed by the few that had to stand behind it, however
//! full the array is. Each place holds 32 bits of the hash beside the number: most often what belongs to another flow is told
//! apart without a look at it, and nothing has to be hashed again when the array grows. It grows by a quarter, to any size.

use alloc::vec;
use alloc::vec::Vec;

/// The number of an empty place.
const EMPTY: u32 = u32::MAX;
/// Homes in the first array.
const FIRST: usize = 16;
/// So many homes are kept although nothing is there.
const KEPT: usize = 1_024;
/// Places behind the last home, at first.
const BEHIND: usize = 8;

#[derive(Clone, Copy)]
struct Place {
    hash: u32,
    name: u32,
}

/// No hash is greater: an empty place ends every search.
const NOBODY: Place = Place { hash: u32::MAX, name: EMPTY };

/// The table. It knows no flows: whoever asks tells whether a number is meant.
#[derive(Default)]
pub(crate) struct FlowTable {
    /// As many homes as `homes`, and some more places; the last one is always empty.
    places: Vec<Place>,
    homes: usize,
    /// Numbers in it.
    len: usize,
    /// How many more it takes before it grows.
    room: usize,
}

/// How many numbers an array with so many homes takes: four fifths.
const fn most(homes: usize) -> usize {
    homes / 5 * 4 + homes % 5 * 4 / 5
}

impl FlowTable {
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it keeps any memory.
    #[inline]
    pub(crate) const fn has_memory(&self) -> bool {
        self.homes > 0
    }

    /// Where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.homes as u64) >> 32) as usize
    }

    /// The number with this hash that is meant.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u32, mut is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let place = self.places.get(at)?;
            if place.hash >= hash {
                if place.name == EMPTY || place.hash != hash {
                    return None;
                }
                if is_meant(place.name) {
                    return Some(place.name);
                }
            }
            at += 1;
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
        let mut at = self.home(hash);
        let mut new = Place { hash, name };
        // Behind all that have no greater hash; and whoever stands there goes one further.
        while let Some(place) = self.places.get_mut(at) {
            if place.name == EMPTY {
                *place = new;
                if at + 1 == self.places.len() {
                    self.lengthen();
                }
                return;
            }
            if place.hash > new.hash {
                core::mem::swap(place, &mut new);
            }
            at += 1;
        }
    }

    #[cold]
    fn lengthen(&mut self) {
        self.places.reserve_exact(BEHIND);
        self.places.resize(self.places.len() + BEHIND, NOBODY);
    }

    #[inline(never)]
    fn grow(&mut self) {
        self.homes = (self.homes + self.homes / 4).max(FIRST);
        let old = core::mem::replace(&mut self.places, vec![NOBODY; self.homes + BEHIND]);
        let mut free = 0;
        for place in old.into_iter().filter(|place| place.name != EMPTY) {
            // They come in order.
            let at = free.max(self.home(place.hash));
            while at + 1 >= self.places.len() {
                self.lengthen();
            }
            self.places[at] = place;
            free = at + 1;
        }
        self.room = most(self.homes) - self.len;
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
            at += 1;
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
    #[inline(always)]
    pub(crate) fn remove(&mut self, hash: u32, name: u32) {
        let Some(mut at) = self.place_of(hash, name) else { return };
        // Those behind it move up, to the first that stands at home.
        while let Some(&place) = self.places.get(at + 1)
            && place.name != EMPTY
            && self.home(place.hash) <= at
        {
            self.places[at] = place;
            at += 1;
        }
        self.places[at] = NOBODY;
        self.len -= 1;
        self.room += 1;
        if self.len == 0 && self.homes > KEPT {
            // What a burst took goes back.
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests;
