//! A sorted array of integers, as narrow as its widest member: what Redis calls an intset.
//!
//! - All members have the width of the widest there ever was: 16, 32 or 64 bits. The array has no spare room.

/// A set of integers in ascending order.
#[derive(Clone)]
pub(super) enum IntSet {
    I16(Box<[i16]>),
    I32(Box<[i32]>),
    I64(Box<[i64]>),
}

/// Runs the same code on the array, whichever its width.
macro_rules! on_array {
    ($set:expr, $array:ident => $code:expr) => {
        match $set {
            IntSet::I16($array) => $code,
            IntSet::I32($array) => $code,
            IntSet::I64($array) => $code,
        }
    };
}

impl IntSet {
    pub(super) fn new() -> Self {
        IntSet::I16(Box::default())
    }

    pub(super) fn len(&self) -> usize {
        on_array!(self, array => array.len())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        on_array!(self, array => size_of_val(&**array))
    }

    /// The member at `position` in ascending order.
    pub(super) fn get(&self, position: usize) -> Option<i64> {
        on_array!(self, array => array.get(position).map(|&member| widened(member)))
    }

    pub(super) fn contains(&self, member: i64) -> bool {
        self.position(member).is_ok()
    }

    /// Adds a member; returns whether it is new.
    pub(super) fn insert(&mut self, member: i64) -> bool {
        self.widen_for(member);
        match self {
            IntSet::I16(array) => i16::try_from(member).is_ok_and(|member| insert_sorted(array, member)),
            IntSet::I32(array) => i32::try_from(member).is_ok_and(|member| insert_sorted(array, member)),
            IntSet::I64(array) => insert_sorted(array, member),
        }
    }

    /// Removes a member; returns whether it was there.
    pub(super) fn remove(&mut self, member: i64) -> bool {
        let found = self.position(member);
        if let Ok(position) = found {
            on_array!(self, array => remove_at(array, position));
        }
        found.is_ok()
    }

    /// Where `member` is, or where it belongs.
    fn position(&self, member: i64) -> Result<usize, usize> {
        on_array!(self, array => array.binary_search_by(|&other| widened(other).cmp(&member)))
    }

    fn widen_for(&mut self, member: i64) {
        if matches!(self, IntSet::I16(_)) && i16::try_from(member).is_err() {
            let IntSet::I16(array) = self else { return };
            *self = IntSet::I32(array.iter().map(|&member| member.into()).collect());
        }
        if matches!(self, IntSet::I32(_)) && i32::try_from(member).is_err() {
            let IntSet::I32(array) = self else { return };
            *self = IntSet::I64(array.iter().map(|&member| member.into()).collect());
        }
    }
}

fn widened(member: impl Into<i64>) -> i64 {
    member.into()
}

fn insert_sorted<T: Ord + Copy>(array: &mut Box<[T]>, member: T) -> bool {
    let Err(position) = array.binary_search(&member) else {
        return false;
    };
    let mut members = std::mem::take(array).into_vec();
    members.reserve_exact(1);
    members.insert(position, member);
    *array = members.into_boxed_slice();
    true
}

fn remove_at<T>(array: &mut Box<[T]>, position: usize) {
    let mut members = std::mem::take(array).into_vec();
    members.remove(position);
    *array = members.into_boxed_slice();
}

/// The integer that `digits` writes in the one canonical way: no plus, no leading zeros, no minus zero.
pub(super) fn parse_canonical(digits: &[u8]) -> Option<i64> {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let canonical = match unsigned {
        [b'0'] => digits.len() == 1,
        [b'1'..=b'9', ..] => digits.len() <= 20,
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_integers() {
        let accepted = ["0", "7", "-1", "9223372036854775807", "-9223372036854775808"];
        for digits in accepted {
            assert_eq!(parse_canonical(digits.as_bytes()), digits.parse().ok());
        }
        for digits in ["", "-", "+1", "01", "-0", "00", "1 ", "1a", "9223372036854775808", "-x"] {
            assert_eq!(parse_canonical(digits.as_bytes()), None, "{digits}");
        }
    }

    #[test]
    fn the_array_widens_once_for_its_widest_member() {
        let mut set = IntSet::new();
        for member in [5, -3, 32_767] {
            assert!(set.insert(member));
        }
        assert_eq!(set.heap_bytes(), 3 * 2);
        assert!(set.insert(32_768) && !set.insert(32_768));
        assert_eq!(set.heap_bytes(), 4 * 4);
        assert!(set.insert(i64::MIN) && set.remove(i64::MIN) && !set.remove(i64::MIN));
        assert_eq!(set.heap_bytes(), 4 * 8);
        let members: Vec<_> = (0..set.len()).map_while(|position| set.get(position)).collect();
        assert_eq!(members, [-3, 5, 32_767, 32_768]);
        assert!(set.contains(5) && !set.contains(i64::MAX));
    }

    #[test]
    fn a_wide_first_member_widens_twice_at_once() {
        let mut set = IntSet::new();
        assert!(set.insert(1) && set.insert(i64::MAX));
        assert_eq!((set.get(0), set.get(1), set.get(2)), (Some(1), Some(i64::MAX), None));
    }
}
