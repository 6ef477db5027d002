//! A key with its value and its deadline, in one allocation behind one thin pointer.
//!
//! ```text
//! flags and access:u32 | key_len:u8 value_len:u16            (narrow), or
//! flags and access:u32 | key_len:u32 value_len:u32           (wide)
//! deadline_ms:i64        if the flags say so, `NONE_MS` for none
//! object:*mut Object     if the flags say so; then there is no value behind the key
//! key bytes, value bytes
//! ```
//!
//! - The first word holds the flags in its low 8 bits and the access word (`access.rs`) above them. It is aligned and always read and
//!   written as an atomic, for readers that share an entry note that they have used it. The flags change under an exclusive reference
//!   only, so a reader that writes the word writes the flags that it has read. The access word is no content: it is in no digest and no
//!   record, and a clone has none.
//! - A string of 64 bytes under a key of 16 takes 87 bytes, 95 with a deadline: both fit the allocator's class of 96.
//! - A string of [`LONG_BYTES`] or more always has the deadline's word: to set and to clear a deadline moves none of its bytes.
//! - One flag tells that a string was changed in place, which OBJECT ENCODING shows as Redis does. Like the access word it is no content.
//! - The pointer's upper 16 bits hold a tag for whoever keeps entries in a table, and three [`Marks`] for whoever follows
//!   changes; user space ends below them. Both can be read without touching the allocation. They stay with an entry
//!   whatever becomes of its value, its deadline and its key; a clone starts without them.
//! - The layout is in memory only and belongs to nobody else; nothing is written to disk in it.
//!
//! Caveat: this file is unsafe for the sake of those bytes. Every access goes through [`Shape`], which is read from the
//! flags that the entry was allocated with; a change of shape is a new allocation, or moves the value within one that is resized. The tests run under AddressSanitizer.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use bitflags::bitflags;

use super::value::{Object, ValueRef};

const WIDE: u8 = 1;
const DEADLINE: u8 = 2;
const OBJECT: u8 = 4;
/// The flags that the layout follows from.
const LAYOUT: u8 = WIDE | DEADLINE | OBJECT;
/// The string was changed in place. No byte lies elsewhere for it.
const RAW: u8 = 8;

const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
const MARKS: usize = (Marks::all().bits() as usize) << ADDRESS_BITS;
const TAG_SHIFT: u32 = ADDRESS_BITS + 3;
/// A deadline that no time reaches.
pub const NEVER_MS: i64 = i64::MAX;

/// What the deadline's word holds where there is no deadline. A deadline of this very time becomes one a ms later, which is as dead.
const NONE_MS: i64 = i64::MIN;
/// A string of so many bytes has a word for a deadline whether it has one or not.
const LONG_BYTES: usize = 4 << 10;

/// Bits of an entry's tag.
pub const TAG_BITS: u32 = usize::BITS - TAG_SHIFT;

/// Where the access word begins in the first word.
const ACCESS_SHIFT: u32 = 8;
const FLAGS: u32 = (1 << ACCESS_SHIFT) - 1;

const NARROW_HEADER: usize = 7;
const WIDE_HEADER: usize = 12;
const WORD: usize = 8;

bitflags! {
    /// What a checkpoint knows of an entry; `changes.rs` says what they mean together.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Marks: u8 {
        /// Changed in an epoch of even number.
        const EVEN = 1;
        /// Changed in an epoch of odd number.
        const ODD = 1 << 1;
        /// The newest checkpoint, or the one that is being taken, has a record of the key.
        const STORED = 1 << 2;
    }
}

/// Owns its allocation. As wide as a pointer, also inside an `Option`.
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its allocation alone, and what lies in it (bytes, an Object) may itself be sent.
unsafe impl Send for Entry {}
// SAFETY: a shared entry only lends shared references to bytes and to an Object that is Sync; its first word is changed as an atomic.
unsafe impl Sync for Entry {}

/// Where things lie in an entry's allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    flags: u8,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn new(key_len: usize, value_len: usize, has_deadline: bool, is_object: bool) -> Shape {
        let narrow = u8::try_from(key_len).is_ok() && u16::try_from(value_len).is_ok();
        let has_word = has_deadline || value_len >= LONG_BYTES;
        let flags = if narrow { 0 } else { WIDE }
            | if has_word { DEADLINE } else { 0 }
            | if is_object { OBJECT } else { 0 };
        Shape { flags, key_len, value_len }
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn deadline_at(self) -> usize {
        if self.has(WIDE) { WIDE_HEADER } else { NARROW_HEADER }
    }

    fn object_at(self) -> usize {
        self.deadline_at() + if self.has(DEADLINE) { WORD } else { 0 }
    }

    fn key_at(self) -> usize {
        self.object_at() + if self.has(OBJECT) { WORD } else { 0 }
    }

    fn value_at(self) -> usize {
        self.key_at() + self.key_len
    }

    fn layout(self) -> Layout {
        let bytes = self.value_at() + self.value_len;
        Layout::from_size_align(bytes, align_of::<AtomicU32>())
            .expect("keys and values are at most some hundred MiB long")
    }

    /// Writes the header.
    ///
    /// # Safety
    /// `base` points to an allocation of this shape's layout, which nothing else reaches.
    unsafe fn write(self, base: *mut u8, access: u32) {
        // SAFETY: the header's bytes are within the allocation, which the caller vouches for; its first word is aligned as the layout is.
        unsafe {
            base.cast::<u32>().write(u32::from(self.flags) | access << ACCESS_SHIFT);
            if self.has(WIDE) {
                base.add(4).cast::<u32>().write_unaligned(wide(self.key_len));
                base.add(8).cast::<u32>().write_unaligned(wide(self.value_len));
            } else {
                base.add(4).write(self.key_len as u8);
                base.add(5).cast::<u16>().write_unaligned(self.value_len as u16);
            }
        }
    }

    /// Writes header, deadline and key.
    ///
    /// # Safety
    /// `base` points to an allocation of this shape's layout, which nothing else reaches, and the shape is one for this key and deadline.
    unsafe fn write_front(self, base: *mut u8, key: &[u8], deadline_ms: Option<i64>, access: u32) {
        // SAFETY: header, deadline and key lie within the allocation, which the caller vouches for.
        unsafe {
            self.write(base, access);
            if self.has(DEADLINE) {
                self.write_deadline(base, deadline_ms);
            }
            copy(key, base.add(self.key_at()));
        }
    }

    /// # Safety
    /// `base` points to an allocation of this shape's layout, and the shape has a word for the deadline.
    unsafe fn write_deadline(self, base: *mut u8, deadline_ms: Option<i64>) {
        let word = deadline_ms.map_or(NONE_MS, |deadline_ms| deadline_ms.max(NONE_MS + 1));
        // SAFETY: the word lies within the allocation, which the caller vouches for.
        unsafe { base.add(self.deadline_at()).cast::<i64>().write_unaligned(word) };
    }

    /// Reads the header.
    ///
    /// # Safety
    /// `base` points to the allocation of an entry.
    unsafe fn read(base: *const u8) -> Shape {
        // SAFETY: every entry begins with a header of the width that its flags tell. Its first word may be written by others meanwhile.
        unsafe {
            let flags = (first_word(base).load(Ordering::Relaxed) & FLAGS) as u8 & LAYOUT;
            let (key_len, value_len) = if flags & WIDE != 0 {
                let key_len = base.add(4).cast::<u32>().read_unaligned();
                (key_len as usize, base.add(8).cast::<u32>().read_unaligned() as usize)
            } else {
                let value_len = base.add(5).cast::<u16>().read_unaligned();
                (usize::from(base.add(4).read()), usize::from(value_len))
            };
            Shape { flags, key_len, value_len }
        }
    }
}

/// The word that holds flags and access.
///
/// # Safety
/// `base` points to the allocation of an entry, which lives as long as what is returned is used.
unsafe fn first_word<'a>(base: *const u8) -> &'a AtomicU32 {
    // SAFETY: every entry begins with this word, aligned as its layout is, and once the entry is made all access to it is atomic or
    // exclusive.
    unsafe { AtomicU32::from_ptr(base.cast_mut().cast()) }
}

fn wide(len: usize) -> u32 {
    u32::try_from(len).expect("keys and values are at most some hundred MiB long")
}

impl Entry {
    pub fn string(key: &[u8], value: &[u8], deadline_ms: Option<i64>) -> Entry {
        let shape = Shape::new(key.len(), value.len(), deadline_ms.is_some(), false);
        let entry = Entry::allocate(shape, key, deadline_ms);
        // SAFETY: the allocation has room for `value_len` bytes at `value_at`.
        unsafe { copy(value, entry.base().add(shape.value_at())) };
        entry
    }

    /// A string of `len` bytes that begins with `value`, which is no longer; the others are zero.
    fn padded_string(key: &[u8], value: &[u8], len: usize, deadline_ms: Option<i64>) -> Entry {
        assert!(value.len() <= len, "the value is to be padded");
        let shape = Shape::new(key.len(), len, deadline_ms.is_some(), false);
        let entry = Entry::allocate(shape, key, deadline_ms);
        // SAFETY: the allocation has room for `len` bytes at `value_at`, and `value` is no longer.
        unsafe {
            let start = entry.base().add(shape.value_at());
            copy(value, start);
            start.add(value.len()).write_bytes(0, len - value.len());
        }
        entry
    }

    pub fn object(key: &[u8], object: Object, deadline_ms: Option<i64>) -> Entry {
        Entry::boxed_object(key, Box::new(object), deadline_ms)
    }

    fn boxed_object(key: &[u8], object: Box<Object>, deadline_ms: Option<i64>) -> Entry {
        let shape = Shape::new(key.len(), 0, deadline_ms.is_some(), true);
        let entry = Entry::allocate(shape, key, deadline_ms);
        // SAFETY: the shape has a word for the object; the entry owns the box from here on.
        unsafe { entry.object_word(shape).write_unaligned(Box::into_raw(object)) };
        entry
    }

    /// An allocation of this shape with header, deadline and key written. The caller writes the rest.
    fn allocate(shape: Shape, key: &[u8], deadline_ms: Option<i64>) -> Entry {
        let layout = shape.layout();
        // SAFETY: the layout has at least a header's size. Header, deadline and key lie within it.
        unsafe {
            let base = alloc(layout);
            let Some(pointer) = NonNull::new(base) else { handle_alloc_error(layout) };
            assert!(base.addr() <= ADDRESS, "user space addresses leave the upper 16 bits free");
            shape.write_front(base, key, deadline_ms, 0);
            Entry(pointer)
        }
    }

    fn base(&self) -> *mut u8 {
        self.0.as_ptr().map_addr(|address| address & ADDRESS)
    }

    fn shape(&self) -> Shape {
        // SAFETY: `base` is this entry's allocation.
        unsafe { Shape::read(self.base()) }
    }

    /// # Safety
    /// The shape is this entry's and has an object.
    unsafe fn object_word(&self, shape: Shape) -> *mut *mut Object {
        // SAFETY: the word lies within the allocation.
        unsafe { self.base().add(shape.object_at()).cast() }
    }

    fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: callers take place and length from this entry's shape; those bytes were written when it was made.
        unsafe { std::slice::from_raw_parts(self.base().add(at), len) }
    }

    /// The tag that a table keeps in the pointer, of [`TAG_BITS`].
    pub fn tag(&self) -> u16 {
        (self.0.addr().get() >> TAG_SHIFT) as u16
    }

    pub fn set_tag(&mut self, tag: u16) {
        debug_assert!(u32::from(tag) < 1 << TAG_BITS);
        self.set_upper(self.upper() & MARKS | usize::from(tag) << TAG_SHIFT);
    }

    pub fn marks(&self) -> Marks {
        Marks::from_bits_truncate((self.0.addr().get() >> ADDRESS_BITS) as u8)
    }

    pub fn set_marks(&mut self, marks: Marks) {
        self.set_upper(self.upper() & !MARKS | usize::from(marks.bits()) << ADDRESS_BITS);
    }

    /// Tag and marks, where they lie in the pointer.
    fn upper(&self) -> usize {
        self.0.addr().get() & !ADDRESS
    }

    fn set_upper(&mut self, upper: usize) {
        self.0 = self.0.map_addr(|address| {
            // A non-zero address stays non-zero whatever lies above it.
            NonZero::new(address.get() & ADDRESS | upper).unwrap_or(address)
        });
    }

    /// The access word, zero until the entry is noted as used.
    #[inline]
    pub fn access(&self) -> u32 {
        // SAFETY: `base` is this entry's allocation.
        unsafe { first_word(self.base()) }.load(Ordering::Relaxed) >> ACCESS_SHIFT
    }

    /// Sets the access word, which readers that share the entry may do. It is written only if it changes; of two that write at once
    /// one wins.
    #[inline]
    pub fn set_access(&self, access: u32) {
        debug_assert!(access < 1 << (u32::BITS - ACCESS_SHIFT), "an access word has 24 bits");
        // SAFETY: `base` is this entry's allocation.
        let word = unsafe { first_word(self.base()) };
        let before = word.load(Ordering::Relaxed);
        let after = before & FLAGS | access << ACCESS_SHIFT;
        if after != before {
            word.store(after, Ordering::Relaxed);
        }
    }

    /// Whether the string was changed in place since it was set, on this node since its start.
    pub fn is_raw(&self) -> bool {
        // SAFETY: `base` is this entry's allocation.
        let word = unsafe { first_word(self.base()) }.load(Ordering::Relaxed);
        word & u32::from(RAW) != 0
    }

    /// Notes that the string was changed in place, or was not.
    pub fn set_raw(&mut self, raw: bool) {
        // SAFETY: `base` is this entry's allocation.
        let word = unsafe { first_word(self.base()) };
        let others = word.load(Ordering::Relaxed) & !u32::from(RAW);
        word.store(others | if raw { u32::from(RAW) } else { 0 }, Ordering::Relaxed);
    }

    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        self.bytes(shape.key_at(), shape.key_len)
    }

    /// Unix time in ms from which the key is dead.
    pub fn deadline_ms(&self) -> Option<i64> {
        let shape = self.shape();
        // SAFETY: the shape says that there is a word for it, which was written when the entry got this shape.
        let word = shape
            .has(DEADLINE)
            .then(|| unsafe { self.base().add(shape.deadline_at()).cast::<i64>().read_unaligned() });
        word.filter(|word| *word != NONE_MS)
    }

    /// The first deadline of the key and of a hash's fields, [`NEVER_MS`] without any.
    #[inline]
    pub fn first_deadline_ms(&self) -> i64 {
        let own_ms = self.deadline_ms().unwrap_or(NEVER_MS);
        match self.value() {
            ValueRef::Object(Object::Hash(hash)) => own_ms.min(hash.earliest_deadline().unwrap_or(NEVER_MS)),
            _ => own_ms,
        }
    }

    pub fn is_dead_at(&self, now_ms: i64) -> bool {
        self.deadline_ms().is_some_and(|deadline| deadline <= now_ms)
    }

    pub fn value(&self) -> ValueRef<'_> {
        let shape = self.shape();
        if shape.has(OBJECT) {
            // SAFETY: the word holds a box that this entry owns; it is lent for as long as the entry.
            ValueRef::Object(unsafe { &*self.object_word(shape).read_unaligned() })
        } else {
            ValueRef::String(self.bytes(shape.value_at(), shape.value_len))
        }
    }

    /// The collection, or `None` for a string.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        let shape = self.shape();
        // SAFETY: the word holds a box that this entry owns; it is lent mutably for as long as the entry.
        shape.has(OBJECT).then(|| unsafe { &mut *self.object_word(shape).read_unaligned() })
    }

    pub fn set_deadline(&mut self, deadline_ms: Option<i64>) {
        let shape = self.shape();
        if shape != Shape::new(shape.key_len, shape.value_len, deadline_ms.is_some(), shape.has(OBJECT)) {
            let key = self.key().to_vec();
            self.rebuild(&key, deadline_ms);
        } else if shape.has(DEADLINE) {
            // SAFETY: `base` is this entry's allocation, and its shape has a word for the deadline.
            unsafe { shape.write_deadline(self.base(), deadline_ms) };
        }
    }

    /// Replaces value and deadline; in place where the shape stays the same.
    pub fn set_string(&mut self, value: &[u8], deadline_ms: Option<i64>) {
        let shape = self.shape();
        if shape == Shape::new(shape.key_len, value.len(), deadline_ms.is_some(), false) {
            // SAFETY: the shape is this entry's own; the value's bytes and the deadline's word lie within it.
            unsafe { copy(value, self.base().add(shape.value_at())) };
            self.set_deadline(deadline_ms);
            self.set_raw(false);
        } else {
            self.replace(Entry::string(self.key(), value, deadline_ms));
        }
    }

    /// Grows or cuts the string to `len` bytes (new ones are zero) and lends it; `None` for a collection.
    pub fn resize_string(&mut self, len: usize) -> Option<&mut [u8]> {
        let shape = self.shape();
        if shape.has(OBJECT) {
            return None;
        }
        let raw = self.is_raw();
        let resized = Shape::new(shape.key_len, len, self.deadline_ms().is_some(), false);
        if resized.flags == shape.flags {
            self.reallocate(shape, resized);
        } else {
            let ValueRef::String(value) = self.value() else { return None };
            self.replace(Entry::padded_string(
                self.key(),
                &value[..value.len().min(len)],
                len,
                self.deadline_ms(),
            ));
        }
        self.set_raw(raw);
        // SAFETY: the entry has the resized shape now; its value's bytes are all written, and lent mutably with the entry.
        Some(unsafe { std::slice::from_raw_parts_mut(self.base().add(resized.value_at()), len) })
    }

    /// The same for a change in place, which [`is_raw`](Self::is_raw) tells of from here on.
    pub fn change_string(&mut self, len: usize) -> Option<&mut [u8]> {
        self.set_raw(!self.shape().has(OBJECT));
        self.resize_string(len)
    }

    /// Gives the allocation another length of value; the header keeps its width.
    fn reallocate(&mut self, old: Shape, new: Shape) {
        let (upper, access) = (self.upper(), self.access());
        let layout = new.layout();
        // SAFETY: `base` was allocated with the old shape's layout; what lies before the value's end is kept by realloc,
        // what is new behind it is written before anything reads it.
        unsafe {
            let base = realloc(self.base(), old.layout(), layout.size());
            let Some(pointer) = NonNull::new(base) else { handle_alloc_error(layout) };
            assert!(base.addr() <= ADDRESS, "user space addresses leave the upper 16 bits free");
            if let Some(added @ 1..) = new.value_len.checked_sub(old.value_len) {
                base.add(old.value_at() + old.value_len).write_bytes(0, added);
            }
            new.write(base, access);
            self.0 = pointer;
        }
        self.set_upper(upper);
    }

    /// A copy of value and deadline under another key.
    pub fn copied(&self, key: &[u8]) -> Entry {
        match self.value() {
            ValueRef::String(value) => {
                let mut copy = Entry::string(key, value, self.deadline_ms());
                copy.set_raw(self.is_raw());
                copy
            }
            ValueRef::Object(object) => Entry::object(key, object.clone(), self.deadline_ms()),
        }
    }

    /// The same value and deadline under another key.
    pub fn renamed(mut self, key: &[u8]) -> Entry {
        let deadline_ms = self.deadline_ms();
        self.rebuild(key, deadline_ms);
        self
    }

    /// Gives the same value another key and deadline.
    fn rebuild(&mut self, key: &[u8], deadline_ms: Option<i64>) {
        match self.take_object() {
            Some(object) => self.replace(Entry::boxed_object(key, object, deadline_ms)),
            None => self.reshape_string(key, deadline_ms),
        }
    }

    /// The string moves within its allocation, which grows or shrinks: a large one has no room in memory for a copy.
    fn reshape_string(&mut self, key: &[u8], deadline_ms: Option<i64>) {
        let (old, upper, access, raw) = (self.shape(), self.upper(), self.access(), self.is_raw());
        let new = Shape::new(key.len(), old.value_len, deadline_ms.is_some(), false);
        let (old_layout, layout) = (old.layout(), new.layout());
        // SAFETY: `base` was allocated with the old shape's layout. The value is moved while the allocation has at least the size of
        // either shape: after it has grown, or before it shrinks. Header, deadline and key are written after that; `key` is
        // none of this entry's bytes, for the entry is borrowed mutably.
        unsafe {
            let mut base = self.base();
            if layout.size() < old_layout.size() {
                base.add(old.value_at()).copy_to(base.add(new.value_at()), old.value_len);
            }
            base = realloc(base, old_layout, layout.size());
            let Some(pointer) = NonNull::new(base) else { handle_alloc_error(layout) };
            assert!(base.addr() <= ADDRESS, "user space addresses leave the upper 16 bits free");
            if layout.size() >= old_layout.size() {
                base.add(old.value_at()).copy_to(base.add(new.value_at()), old.value_len);
            }
            new.write_front(base, key, deadline_ms, access);
            self.0 = pointer;
        }
        self.set_upper(upper);
        self.set_raw(raw);
    }

    /// Takes the object out; the entry is an empty string afterwards, until it is replaced.
    fn take_object(&mut self) -> Option<Box<Object>> {
        let shape = self.shape();
        if !shape.has(OBJECT) {
            return None;
        }
        // SAFETY: the word holds a box that this entry owned until the replacement below, which does not drop it.
        let object = unsafe { Box::from_raw(self.object_word(shape).read_unaligned()) };
        let emptied = Entry::string(self.key(), b"", self.deadline_ms());
        emptied.set_access(self.access());
        let upper = self.upper();
        let old = std::mem::replace(self, emptied);
        self.set_upper(upper);
        let base = old.base();
        std::mem::forget(old);
        // SAFETY: the forgotten entry's allocation has this layout and is reached by nobody any more.
        unsafe { dealloc(base, shape.layout()) };
        Some(object)
    }

    /// Becomes another entry and keeps tag, marks and access word.
    fn replace(&mut self, other: Entry) {
        let upper = self.upper();
        other.set_access(self.access());
        *self = other;
        self.set_upper(upper);
    }

    /// Bytes of the entry with everything that it holds, as asked for. O(1).
    pub fn memory_bytes(&self) -> usize {
        match self.value() {
            ValueRef::String(_) => self.allocated_bytes(),
            ValueRef::Object(object) => self.allocated_bytes() + object.memory_bytes(),
        }
    }

    /// Bytes of the entry's own allocation, as asked for; a collection's are not among them.
    pub fn allocated_bytes(&self) -> usize {
        self.shape().layout().size()
    }
}

/// # Safety
/// `to` has room for the bytes, which it does not overlap.
unsafe fn copy(from: &[u8], to: *mut u8) {
    // SAFETY: as the caller vouches.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shape = self.shape();
        // SAFETY: the entry owns its object and its allocation, which has this shape's layout.
        unsafe {
            if shape.has(OBJECT) {
                drop(Box::from_raw(self.object_word(shape).read_unaligned()));
            }
            dealloc(self.base(), shape.layout());
        }
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        self.copied(self.key())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = String::from_utf8_lossy(self.key());
        f.debug_struct("Entry")
            .field("key", &key)
            .field("deadline_ms", &self.deadline_ms())
            .field("value", &self.value())
            .finish()
    }
}

#[cfg(test)]
mod tests;
