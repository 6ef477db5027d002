//! When the entries of a leaf die: a bound for each page of cells, for searches that look for the dead.
//!
//! - No entry of a page dies before the page's bound. The bound may be too early: what removes an entry or defers its death
//!   leaves it as it is. A visit to the page makes it exact.
//! - A leaf whose entries have no deadlines pays a pointer; any other one, eight bytes for each page.

use crate::keyspace::entry::NEVER_MS;

/// Cells of a page: as many entries as a search looks at for one that is dead.
pub const PAGE_CELLS: usize = 64;

#[derive(Debug, Default)]
pub struct LeafDeadlines(Option<Box<Pages>>);

#[derive(Debug)]
struct Pages {
    /// The least of the bounds.
    earliest_ms: i64,
    bounds_ms: Box<[i64]>,
}

impl LeafDeadlines {
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// No entry of the leaf dies before this.
    pub fn earliest_ms(&self) -> i64 {
        self.0.as_ref().map_or(NEVER_MS, |pages| pages.earliest_ms)
    }

    /// The entry in a cell, of so many in the leaf, dies then.
    #[inline]
    pub fn note(&mut self, cell: usize, cells: usize, deadline_ms: i64) {
        if deadline_ms < NEVER_MS {
            self.note_some(cell, cells, deadline_ms);
        }
    }

    fn note_some(&mut self, cell: usize, cells: usize, deadline_ms: i64) {
        let pages = self.0.get_or_insert_with(|| {
            let bounds_ms = vec![NEVER_MS; cells.div_ceil(PAGE_CELLS)].into();
            Box::new(Pages { earliest_ms: NEVER_MS, bounds_ms })
        });
        let bound_ms = &mut pages.bounds_ms[cell / PAGE_CELLS];
        *bound_ms = deadline_ms.min(*bound_ms);
        pages.earliest_ms = deadline_ms.min(pages.earliest_ms);
    }

    /// The first page from `from` on in which an entry may be dead.
    pub fn due_page(&self, from: usize, now_ms: i64) -> Option<usize> {
        let pages = self.0.as_ref().filter(|pages| pages.earliest_ms <= now_ms)?;
        (from..pages.bounds_ms.len()).find(|page| pages.bounds_ms[*page] <= now_ms)
    }

    /// All entries of the page were seen; the first of them dies then.
    pub fn set_bound(&mut self, page: usize, deadline_ms: i64) {
        let Some(pages) = &mut self.0 else { return };
        pages.bounds_ms[page] = deadline_ms;
        pages.earliest_ms = pages.bounds_ms.iter().copied().fold(NEVER_MS, i64::min);
        if pages.earliest_ms == NEVER_MS {
            self.0 = None;
        }
    }
}
