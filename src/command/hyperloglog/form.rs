//! The bytes of a HyperLogLog: a header, and registers in one of two encodings.
//!
//! ```text
//! "HYLL" | encoding: 0 dense, 1 sparse | 0 0 0 | estimate, 8 bytes, its highest bit set if it is out of date | registers
//! ```
//!
//! Source: `struct hllhdr` in Redis's hyperloglog.c.

use super::{dense, sparse};
use crate::command::CommandError;

pub const REGISTERS: usize = 1 << 14;
pub const HEADER_BYTES: usize = 16;
pub const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const ESTIMATE_AT: usize = 8;
/// In the last byte of the estimate.
const OUT_OF_DATE: u8 = 0x80;

pub const INVALID: CommandError =
    CommandError::Other(std::borrow::Cow::Borrowed("WRONGTYPE Key is not a valid HyperLogLog string value."));
pub const CORRUPT: CommandError =
    CommandError::Other(std::borrow::Cow::Borrowed("INVALIDOBJ Corrupted HLL object detected"));

/// How many registers have each value.
pub type Histogram = [u32; dense::MAX as usize + 1];

const NOTHING: Histogram = [0; dense::MAX as usize + 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Dense,
    Sparse,
}

impl Encoding {
    /// The encoding of a string; an error if it is no HyperLogLog. Whether a sparse one is whole is not looked at.
    pub fn of(value: &[u8]) -> Result<Encoding, CommandError> {
        if value.len() < HEADER_BYTES || !value.starts_with(MAGIC) {
            return Err(INVALID);
        }
        match value[ENCODING_AT] {
            0 if value.len() == DENSE_BYTES => Ok(Encoding::Dense),
            1 => Ok(Encoding::Sparse),
            _ => Err(INVALID),
        }
    }

    /// How many registers of a value of this encoding have each value.
    pub fn histogram(self, value: &[u8]) -> Result<Histogram, CommandError> {
        let mut histogram = NOTHING;
        match self {
            Encoding::Dense => {
                dense::values(registers_of(value)).for_each(|value| histogram[usize::from(value)] += 1);
            }
            Encoding::Sparse => {
                for run in sparse::runs(registers_of(value)) {
                    let run = run?;
                    histogram[usize::from(run.value)] += run.len as u32;
                }
            }
        }
        Ok(histogram)
    }
}

pub fn registers_of(value: &[u8]) -> &[u8] {
    &value[HEADER_BYTES..]
}

pub fn registers_of_mut(value: &mut [u8]) -> &mut [u8] {
    &mut value[HEADER_BYTES..]
}

/// The header of an empty value.
pub fn header(encoding: Encoding) -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    set_encoding(&mut header, encoding);
    header
}

pub fn set_encoding(value: &mut [u8], encoding: Encoding) {
    value[ENCODING_AT] = match encoding {
        Encoding::Dense => 0,
        Encoding::Sparse => 1,
    };
}

/// The cached estimate, unless it is out of date.
pub fn estimate(value: &[u8]) -> Option<i64> {
    let bytes = value[ESTIMATE_AT..].first_chunk::<8>()?;
    (bytes[7] & OUT_OF_DATE == 0).then(|| i64::from_le_bytes(*bytes))
}

/// Says that the cached estimate is out of date.
pub fn forget_estimate(value: &mut [u8]) {
    value[ESTIMATE_AT + 7] |= OUT_OF_DATE;
}

/// All registers, a byte each.
#[derive(Clone, Debug)]
pub struct Registers(Box<[u8]>);

impl Default for Registers {
    fn default() -> Self {
        Registers(vec![0; REGISTERS].into())
    }
}

impl Registers {
    /// Raises each register to that of another value, whose encoding is returned.
    pub fn unite(&mut self, value: &[u8]) -> Result<Encoding, CommandError> {
        let encoding = Encoding::of(value)?;
        match encoding {
            Encoding::Dense => {
                let others = dense::values(registers_of(value));
                self.0.iter_mut().zip(others).for_each(|(own, other)| *own = (*own).max(other));
            }
            Encoding::Sparse => {
                let mut first = 0;
                for run in sparse::runs(registers_of(value)) {
                    let run = run?;
                    let covered = &mut self.0[first..first + run.len];
                    covered.iter_mut().for_each(|own| *own = (*own).max(run.value));
                    first += run.len;
                }
            }
        }
        Ok(encoding)
    }

    pub fn get(&self, index: usize) -> u8 {
        self.0[index]
    }

    pub fn set(&mut self, index: usize, value: u8) {
        self.0[index] = value;
    }

    /// The registers that are not 0, with their values.
    pub fn risen(&self) -> impl Iterator<Item = (usize, u8)> {
        self.0.iter().copied().enumerate().filter(|(_, value)| *value > 0)
    }

    pub fn histogram(&self) -> Histogram {
        let mut histogram = NOTHING;
        self.0.iter().for_each(|value| histogram[usize::from(*value)] += 1);
        histogram
    }
}
