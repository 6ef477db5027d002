//! The lookup of a row by its name.
//!
//! A search hashes the ends of a name, letters folded, and compares it with one or two rows. It allocates nothing: every request
//! and every logged command makes one.

/// The longest name that is looked up; longer ones are unknown.
pub const MAX_NAME_LEN: usize = 32;

/// Open addressing: at least half of the places stay empty, so a search ends after one or two.
const PLACES: usize = 1024;

/// Where rows are found by their names.
pub struct Names {
    /// For each place the row there, as its number plus one; zero is an empty place.
    places: Box<[u16; PLACES]>,
}

impl Names {
    /// Rows are numbered in the order of these names, which are lower case and differ.
    pub fn new(names: &[&str]) -> Names {
        assert!(names.len() * 2 <= PLACES, "the table of places is too small");
        let mut places = Box::new([0; PLACES]);
        for (number, name) in names.iter().enumerate() {
            assert!(name.len() <= MAX_NAME_LEN, "the name {name} is too long");
            let mut place = first_place(name.as_bytes());
            while places[place] != 0 {
                place = (place + 1) % PLACES;
            }
            places[place] = number as u16 + 1;
        }
        Names { places }
    }

    /// The number of the row of this name, in any case; `name_of` says what a row's name is.
    #[inline]
    pub fn find(&self, name: &[u8], name_of: impl Fn(usize) -> &'static str) -> Option<usize> {
        if name.len() > MAX_NAME_LEN {
            return None;
        }
        let mut place = first_place(name);
        while let Some(number) = self.places[place].checked_sub(1) {
            let number = usize::from(number);
            if name_of(number).as_bytes().eq_ignore_ascii_case(name) {
                return Some(number);
            }
            place = (place + 1) % PLACES;
        }
        None
    }
}

/// Where the search for a name begins; the case of letters makes no difference.
fn first_place(name: &[u8]) -> usize {
    const CASE_BITS: u64 = 0x2020_2020_2020_2020;
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (first, last) = ends_of(name);
    let mut hash = name.len() as u64;
    for word in [first, last] {
        hash = (hash ^ (word | CASE_BITS)).wrapping_mul(ODD);
        hash ^= hash >> 32;
    }
    hash as usize % PLACES
}

/// The first and the last eight bytes of a name, or as many as it has; they overlap in a short one.
fn ends_of(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
    }
    (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0)
}

#[cfg(test)]
impl Names {
    /// How many rows a search for this name looks at.
    pub fn steps_to(&self, number: usize, name: &str) -> usize {
        let (mut place, mut steps) = (first_place(name.as_bytes()), 1);
        while usize::from(self.places[place]) != number + 1 {
            (place, steps) = ((place + 1) % PLACES, steps + 1);
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_any_case_and_no_other_is() {
        const NAMES: [&str; 3] = ["get", "getdel", "incrbyfloat"];
        let names = Names::new(&NAMES);
        let find = |name: &[u8]| names.find(name, |number| NAMES[number]);
        assert_eq!([find(b"GET"), find(b"getDEL"), find(b"IncrByFloat")], [Some(0), Some(1), Some(2)]);
        for name in [&b""[..], b"\0", b"g\0t", b"get\r", b"ge", &[b'x'; 33], &[0xff; 8]] {
            assert_eq!(find(name), None);
        }
    }
}
