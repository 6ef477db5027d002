//! The payload of FUNCTION DUMP: the code of each library, as Redis writes it.
//!
//! ```text
//! (245 code:string)* version:u16le crc:u64le
//! ```

use super::input::Input;
use super::string::write_string;
use super::{RdbError, Result, checked, finish};

/// What comes before the code of a library.
const LIBRARY: u8 = 245;
/// The version of Redis 7.0, which has libraries in this form.
const VERSION: u16 = 10;

/// The code of all libraries may unpack to so many bytes.
const MAX_CODE_BYTES: usize = 32 << 20;

/// The payload of libraries with this code.
pub fn dump_libraries<'c>(codes: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(LIBRARY);
        write_string(&mut out, code);
    }
    finish(&mut out, VERSION);
    out
}

/// The code of each library of a payload.
///
/// # Errors
/// [`RdbError::Footer`] where the payload's end is wrong, [`RdbError::UnknownType`] where it holds something else.
pub fn load_libraries(payload: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut input = Input::unpacking(checked(payload)?, MAX_CODE_BYTES);
    let mut codes = Vec::new();
    while !input.is_empty() {
        match input.byte()? {
            LIBRARY => codes.push(input.string()?.into_owned()),
            other => return Err(RdbError::UnknownType(other)),
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_dumped_as_by_redis() {
        let redis = b"\xf5@A#!lua name=a\nredis.register_function(\"x\",function() return 1 end)\n\x00\x9b\xb8\x1b\xc0\x08\xf6\xe4I";
        let code = b"#!lua name=a\nredis.register_function(\"x\",function() return 1 end)";
        assert_eq!(load_libraries(redis), Ok(vec![code.to_vec()]));
        assert_eq!(
            load_libraries(&dump_libraries([&code[..], code].into_iter())),
            Ok(vec![code.to_vec(); 2])
        );
        assert_eq!(dump_libraries(std::iter::empty()), b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda");
        assert_eq!(load_libraries(&redis[1..]), Err(RdbError::Footer));
        assert_eq!(load_libraries(&crate::rdb::with_footer(b"\x00\x01a", 10)), Err(RdbError::UnknownType(0)));
        assert!(load_libraries(&crate::rdb::with_footer(b"\xf5\x05a", 10)).is_err());
    }
}
