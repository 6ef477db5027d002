//! A value to which elements are added, outside of the keyspace: sparse as long as it may be.

use super::form::{self, DENSE_BYTES, Encoding, REGISTERS, Registers};
use super::sparse::{self, Raised};
use super::{dense, hash};
use crate::command::CommandError;

pub struct Growing {
    bytes: Vec<u8>,
    encoding: Encoding,
    /// All registers, where they are worth it: what does not raise one costs no search then.
    unpacked: Option<Registers>,
    max_sparse_bytes: usize,
}

impl Growing {
    /// A copy of a value, or an empty one; an error if it is no HyperLogLog, or corrupt.
    pub fn of(value: Option<&[u8]>, unpacks: bool) -> Result<Growing, CommandError> {
        let bytes = value.map_or_else(Growing::empty, <[u8]>::to_vec);
        let encoding = Encoding::of(&bytes)?;
        let unpacked = if unpacks {
            let mut registers = Registers::default();
            registers.unite(&bytes)?;
            Some(registers)
        } else {
            None
        };
        if encoding == Encoding::Sparse && unpacked.is_none() {
            sparse::check(form::registers_of(&bytes))?;
        }
        Ok(Growing { bytes, encoding, unpacked, max_sparse_bytes: sparse::MAX_BYTES })
    }

    /// It becomes dense once it would have more bytes than that.
    pub fn sparse_up_to(self, bytes: usize) -> Growing {
        Growing { max_sparse_bytes: bytes, ..self }
    }

    fn empty() -> Vec<u8> {
        let mut bytes = form::header(Encoding::Sparse);
        sparse::push_zeros(&mut bytes, REGISTERS);
        bytes
    }

    /// Adds an element; true if a register rose.
    pub fn add(&mut self, element: &[u8]) -> bool {
        let (index, count) = hash::pattern(element);
        self.raise(index, count)
    }

    /// Raises a register; true if it was lower.
    pub fn raise(&mut self, index: usize, count: u8) -> bool {
        if self.unpacked.as_ref().is_some_and(|registers| registers.get(index) >= count) {
            return false;
        }
        let rose = match self.encoding {
            Encoding::Dense => self.raise_dense(index, count),
            Encoding::Sparse => match sparse::raise(&mut self.bytes, index, count, self.max_sparse_bytes) {
                Raised::Not => false,
                Raised::Yes => true,
                Raised::TooLarge => {
                    self.become_dense();
                    self.raise_dense(index, count)
                }
            },
        };
        if rose && let Some(registers) = &mut self.unpacked {
            registers.set(index, count);
        }
        rose
    }

    fn raise_dense(&mut self, index: usize, count: u8) -> bool {
        let registers = form::registers_of_mut(&mut self.bytes);
        let rises = count > dense::get(registers, index);
        if rises {
            dense::set(registers, index, count);
        }
        rises
    }

    /// Changes the encoding; the estimate stays.
    pub fn become_dense(&mut self) {
        if self.encoding == Encoding::Dense {
            return;
        }
        let mut bytes = self.bytes[..form::HEADER_BYTES].to_vec();
        bytes.resize(DENSE_BYTES, 0);
        form::set_encoding(&mut bytes, Encoding::Dense);
        let mut first = 0;
        // Whoever made this has found all runs to be whole.
        for run in sparse::runs(form::registers_of(&self.bytes)).flatten() {
            if run.value > 0 {
                let registers = form::registers_of_mut(&mut bytes);
                (first..first + run.len).for_each(|index| dense::set(registers, index, run.value));
            }
            first += run.len;
        }
        self.bytes = bytes;
        self.encoding = Encoding::Dense;
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
