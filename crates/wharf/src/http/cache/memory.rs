//! The cache in memory. Called by `cache`.

use std::collections::HashMap;

use bytes::Bytes;

use super::rules::{Asked, Meta};

/// Responses by URL, the longest unused of which make room.
pub(super) struct Memory {
    capacity: u64,
    /// Bytes taken by all.
    taken: u64,
    entries: HashMap<String, Vec<Entry>>,
    /// Counts the uses, by which the longest unused is known.
    ticks: u64,
}

struct Entry {
    meta: Meta,
    body: Bytes,
    size: u64,
    used: u64,
}

impl Memory {
    pub(super) fn new(capacity: u64) -> Self {
        Self { capacity, taken: 0, entries: HashMap::new(), ticks: 0 }
    }

    /// The newest response that `asked` selects.
    pub(super) fn find(&mut self, key: &str, asked: &Asked<'_>) -> Option<(Meta, Bytes)> {
        self.ticks += 1;
        let entries = self.entries.get_mut(key)?;
        let selected = entries.iter_mut().filter(|entry| entry.meta.is_selected_by(asked.headers));
        let entry = selected.max_by_key(|entry| entry.meta.received)?;
        entry.used = self.ticks;
        Some((entry.meta.clone(), entry.body.clone()))
    }

    /// Puts a response in place of the one that the same requests select. How many had to go for it.
    pub(super) fn store(&mut self, meta: Meta, body: Bytes) -> u64 {
        let size = size(&meta, body.len());
        if size > self.capacity {
            return 0;
        }
        self.ticks += 1;
        self.forget_variant(&meta);
        self.taken += size;
        let entry = Entry { body, size, used: self.ticks, meta };
        self.entries.entry(entry.meta.url.clone()).or_default().push(entry);
        let mut evicted = 0;
        while self.taken > self.capacity && self.evict() {
            evicted += 1;
        }
        evicted
    }

    pub(super) fn forget_variant(&mut self, meta: &Meta) {
        let variant = meta.variant();
        self.retain(&meta.url, |entry| entry.meta.variant() != variant);
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.retain(key, |_| false);
    }

    fn retain(&mut self, key: &str, keep: impl Fn(&Entry) -> bool) {
        let Some(entries) = self.entries.get_mut(key) else { return };
        let taken = &mut self.taken;
        entries.retain(|entry| {
            let kept = keep(entry);
            if !kept {
                *taken -= entry.size;
            }
            kept
        });
        if entries.is_empty() {
            self.entries.remove(key);
        }
    }

    fn evict(&mut self) -> bool {
        let all = self.entries.values().flatten();
        let Some(oldest) = all.min_by_key(|entry| entry.used).map(|entry| entry.meta.clone()) else { return false };
        self.forget_variant(&oldest);
        true
    }
}

/// What a response costs: its bytes, and something for the maps around them.
fn size(meta: &Meta, body: usize) -> u64 {
    let fields = |headers: &super::HeaderMap| {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum::<usize>()
    };
    (body + fields(&meta.headers) + fields(&meta.selecting) + 2 * meta.url.len() + 256) as u64
}
